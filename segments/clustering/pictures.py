"""What a run of a clustering found, as pictures, each with its figures as a table.

What the figures mean is documented in `segments.analytics.outcomes`; how pictures are drawn is in `cdp.cluster_charts`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from cdp.charts import Column, Figure, Height
from cdp.cluster_charts import Group, Joint, Knife, Profile, curve, dendrogram, radar, scatter, silhouettes
from segments.analytics.methods import NOISE
from segments.analytics.outcomes import Choice, Meaning, Picture, Quality, Tree
from segments.clustering.models import Cluster
from segments.clustering.showing import figure

# A radar with more spokes is a hedge: those features are drawn in which clusters differ most.
MOST_SPOKES = 8
FEWEST_SPOKES = 3
REACH = 2.0  # standard deviations
BOUNDS = (0.25, 0.75, 1.5)  # of the steps of the heat map, in standard deviations


@dataclass(frozen=True, kw_only=True)
class Named:
    """The clusters of a run by their number in the fit, and in which order they are told."""

    labels: Mapping[int, str]
    places: Mapping[int, int]

    @classmethod
    def of(cls, clusters: Sequence[Cluster]) -> "Named":
        """By identity, so that a cluster keeps its colour in all runs."""
        return cls(
            labels={one.fit_number: one.label for one in clusters},
            places={one.fit_number: -1 if one.is_noise else one.number - 1 for one in clusters},
        )

    def label(self, fit_number: int) -> str:
        return self.labels.get(fit_number, "Not in any cluster" if fit_number == NOISE else f"Cluster {fit_number + 1}")

    def place(self, fit_number: int) -> int:
        return self.places.get(fit_number, fit_number)


def plane(picture: Picture, named: Named) -> Figure:
    """People as points in the two directions in which they differ most."""
    by_cluster: dict[int, list[tuple[float, float]]] = {}
    for point in picture.points:
        by_cluster.setdefault(point.cluster, []).append((point.x, point.y))
    order = sorted(by_cluster, key=lambda fit: (fit == NOISE, named.place(fit)))
    groups = [
        Group(
            name=named.label(fit),
            number=named.place(fit),
            points=points,
            centre=None if fit == NOISE else (fmean(x for x, _ in points), fmean(y for _, y in points)),
        )
        for fit, points in ((fit, by_cluster[fit]) for fit in order)
    ]
    shown = picture.x.variance + picture.y.variance
    about = (
        f"{picture.looked_at:,} of {picture.people:,} people in two directions that tell {shown:.0%} of how they differ, "
        f"coloured by cluster. Mostly across: {_mostly(picture.x.loadings)}. Mostly upwards: {_mostly(picture.y.loadings)}."
    )
    rows = [
        (name, f"{across:+.2f}", f"{dict(picture.y.loadings).get(name, 0.0):+.2f}")
        for name, across in picture.x.loadings
    ]
    return Figure(
        id="plane",
        title="People in two dimensions",
        about=about,
        options=scatter(
            groups=groups,
            across=f"{_mostly(picture.x.loadings)} ({picture.x.variance:.0%})",
            up=f"{_mostly(picture.y.loadings)} ({picture.y.variance:.0%})",
            about=about,
        ),
        columns=[Column(label="Feature", is_number=False), Column(label="Across"), Column(label="Upwards")],
        rows=rows,
        height=Height.HIGH,
    )


def _mostly(loadings: Sequence[tuple[str, float]]) -> str:
    """The two features that a direction is mostly about."""
    return ", ".join(("less " if loading < 0 else "") + name for name, loading in loadings[:2])


def elbow(choice: Choice) -> Figure:
    return _curve(
        choice,
        identity="elbow",
        title="How far people are from their cluster's centre",
        name="Inertia",
        values=[one.inertia for one in choice.tried],
        said="falls with each cluster more; where it bends, another one no longer helps much",
    )


def silhouette_curve(choice: Choice) -> Figure:
    return _curve(
        choice,
        identity="silhouette-curve",
        title="How well people fit their cluster",
        name="Silhouette",
        values=[one.silhouette for one in choice.tried],
        said="is highest where people are close to their own cluster and far from the next",
    )


def _curve(choice: Choice, *, identity: str, title: str, name: str, values: Sequence[float], said: str) -> Figure:
    counts = [one.clusters for one in choice.tried]
    about = f"{name} for {counts[0]} to {counts[-1]} clusters; it {said}. {choice.used} are used."
    return Figure(
        id=identity,
        title=title,
        about=about,
        options=curve(
            at=counts, values=values, name=name, across="number of clusters", chosen=choice.used, about=about
        ),
        columns=[Column(label="Clusters"), Column(label=name)],
        rows=[(str(count), f"{value:,.3f}") for count, value in zip(counts, values, strict=True)],
        height=Height.LOW,
    )


def knives(quality: Quality, named: Named) -> Figure | None:
    """The silhouette plot; None where there are no silhouettes."""
    found = [one for one in quality.clusters if one.plot and one.silhouette is not None]
    if not found or quality.silhouette is None:
        return None
    found.sort(key=lambda one: named.place(one.cluster))
    about = (
        f"For {quality.looked_at:,} of {quality.people:,} people how much closer they are to their own cluster than to the next, "
        f"from -1 to 1; {quality.silhouette:.2f} on average. Below 0 somebody would fit better elsewhere."
    )
    return Figure(
        id="knives",
        title="Silhouettes by cluster",
        about=about,
        options=silhouettes(
            knives=[
                Knife(
                    name=named.label(one.cluster),
                    number=named.place(one.cluster),
                    values=one.plot,
                    mean=one.silhouette or 0.0,
                )
                for one in found
            ],
            mean=quality.silhouette,
            about=about,
        ),
        columns=[
            Column(label="Cluster", is_number=False),
            Column(label="Mean silhouette"),
            Column(label="Below 0"),
            Column(label="Cohesion"),
            Column(label="Separation"),
        ],
        rows=[
            (
                named.label(one.cluster),
                f"{one.silhouette:.2f}",
                f"{sum(value < 0 for value in one.plot) / len(one.plot):.0%}",
                f"{one.cohesion:.2f}",
                "–" if one.separation is None else f"{one.separation:.2f}",
            )
            for one in found
        ],
        height=Height.HIGH,
    )


def tree_of(tree: Tree, named: Named) -> Figure:
    """The dendrogram: in which order groups of people were put together."""
    at: dict[int, float] = {place: float(place) for place in range(len(tree.leaves))}
    heights: dict[int, float] = dict.fromkeys(at, 0.0)
    joints = []
    for number, join in enumerate(tree.joins, start=len(tree.leaves)):
        at[number] = (at[join.left] + at[join.right]) / 2
        heights[number] = join.height
        joints.append(
            Joint(
                left=at[join.left],
                right=at[join.right],
                left_height=heights[join.left],
                right_height=heights[join.right],
                height=join.height,
                said=f"{join.people:,} people come together at a distance of {join.height:.2f}",
            )
        )
    about = (
        f"How {tree.looked_at:,} people were put together, the closest first: {len(tree.leaves)} groups at the bottom, "
        f"all in one at the top. It was cut at {tree.cut:.2f}."
    )
    return Figure(
        id="tree",
        title="How people were put together",
        about=about,
        options=dendrogram(
            joints=joints, leaves=[named.label(leaf.cluster) for leaf in tree.leaves], cut=tree.cut, about=about
        ),
        columns=[Column(label="Group at the bottom, from the left", is_number=False), Column(label="People")],
        rows=[
            (f"{place}. {named.label(leaf.cluster)}", f"{leaf.people:,}") for place, leaf in enumerate(tree.leaves, 1)
        ],
        height=Height.HIGH,
    )


def profiles(clusters: Sequence[Cluster], named: Named) -> Figure | None:
    """Clusters in the features in which they differ most; None where too few features are there for a radar."""
    meanings = [(one, meaning) for one in clusters if (meaning := one.as_meaning)]
    if not meanings or len(meanings[0][1].features) < FEWEST_SPOKES:
        return None
    first = meanings[0][1]
    spread = {
        feature.key: max(abs(_standardised(meaning, feature.key)) for _, meaning in meanings)
        for feature in first.features
    }
    chosen = sorted(spread, key=lambda key: -spread[key])[:MOST_SPOKES]
    features = [feature for feature in first.features if feature.key in chosen]
    names = [feature.name for feature in features]
    drawn = [
        Profile(
            name=one.label,
            number=named.place(one.fit_number),
            values=[_standardised(meaning, feature.key) for feature in features],
        )
        for one, meaning in meanings
    ]
    about = (
        "How far each cluster's mean lies from everybody's, in standard deviations, in the features in which clusters differ most. "
        "The ring in the middle is everybody's mean."
    )
    return Figure(
        id="radar",
        title="Clusters side by side",
        about=about,
        options=radar(measures=names, profiles=drawn, reach=REACH, about=about),
        columns=[Column(label="Feature", is_number=False), *(Column(label=one.name) for one in drawn)],
        rows=[(name, *(f"{one.values[number]:+.1f}" for one in drawn)) for number, name in enumerate(names)],
        height=Height.HIGH,
    )


def _standardised(meaning: Meaning, key: str) -> float:
    return next((feature.standardised for feature in meaning.features if feature.key == key), 0.0)


@dataclass(frozen=True, kw_only=True)
class HeatCell:
    """One feature of one cluster: the step of its colour (-3 to 3), the mean as it reads, and how far it is from everybody's."""

    step: int
    mean: str
    standardised: str

    @property
    def css(self) -> str:
        return f"hm-{'p' if self.step > 0 else 'n'}{abs(self.step)}" if self.step else ""


@dataclass(frozen=True, kw_only=True)
class HeatRow:
    name: str
    cells: tuple[HeatCell, ...]


def heat(clusters: Sequence[Cluster]) -> list[HeatRow]:
    """Features by cluster: the table that is its own heat map."""
    meanings = [meaning for one in clusters if (meaning := one.as_meaning)]
    if not meanings:
        return []
    rows = []
    for place, feature in enumerate(meanings[0].features):
        found = [meaning.features[place] for meaning in meanings]
        rows.append(
            HeatRow(
                name=feature.name,
                cells=tuple(
                    HeatCell(
                        step=step(one.standardised), mean=figure(one.mean), standardised=f"{one.standardised:+.1f}"
                    )
                    for one in found
                ),
            )
        )
    return rows


def step(standardised: float) -> int:
    """From -3 (far below everybody's mean) to 3."""
    size = sum(abs(standardised) >= bound for bound in BOUNDS)
    return size if standardised > 0 else -size
