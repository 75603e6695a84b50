"""What clusters are like, in words and figures: means, what sets each apart, a name in plain words, and a picture of all.

Words for much and little come with each feature from `segments.features.catalogue`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Final

import numpy as np

from segments.analytics.clustering import Fit, Labels, sample
from segments.analytics.methods import NOISE
from segments.analytics.outcomes import Axis, FeatureOfCluster, Meaning, Picture, Point
from segments.analytics.preparing import Floats

TELLING: Final = 0.5  # Cohen's "medium"; from here on a feature sets a cluster apart
MOST_WORDS: Final = 3
MOST_POINTS: Final = 2_000
MOST_FOR_AXES: Final = 50_000
LONGEST_LABEL: Final = 128
NOTHING: Final = 1e-9  # prepared figures closer than this differ by rounding
LARGEST_EFFECT: Final = 99.0  # where nobody differs from anybody within, any difference would be without end


@dataclass(frozen=True, kw_only=True)
class Words:
    """How a feature is spoken of: its name, its unit, and words for people who have much or little of it.

    ``is_share``: its figures are from 0 to 1, and are told in hundredths.
    """

    name: str
    unit: str = ""
    high: str = ""
    low: str = ""
    is_share: bool = False


def meanings(
    raw: Floats, values: Floats, labels: Labels, *, keys: Sequence[str], words: Mapping[str, Words]
) -> tuple[Meaning, ...]:
    """Of each cluster what it is like, by its number.

    Args:
        raw: (n_people, n_features) in the features' own units, NaN where not known; the columns that are used, in their order.
        values: (n_people, n_features) the same as prepared.
        labels: (n_people,) from 0; NOISE counts on neither side.
        keys: of the columns.
    """
    count = int(labels.max()) + 1
    middle, width = _of_all(values[labels != NOISE])
    parts = [_part(raw[labels == one], values[labels == one] - middle) for one in range(count)]
    whole = _Part(*(sum(of_each[1:], of_each[0]) for of_each in zip(*map(astuple, parts), strict=True)))
    found = []
    for one, mine in enumerate(parts):
        others = _Part(*(all_of - own for all_of, own in zip(astuple(whole), astuple(mine), strict=True)))
        effects = _effects(mine, others)
        standardised = np.divide(mine.sums / mine.people, width, out=np.zeros_like(width), where=width > 0)
        means, of_others = mine.means, others.means
        features = tuple(
            FeatureOfCluster(
                key=key,
                name=words[key].name,
                mean=means[place],
                others=of_others[place],
                standardised=float(standardised[place]),
                effect=float(effects[place]),
            )
            for place, key in enumerate(keys)
        )
        apart = sorted((f for f in features if abs(f.effect) >= TELLING), key=lambda f: -abs(f.effect))
        found.append(
            Meaning(
                cluster=one,
                people=int(mine.people),
                share=float(mine.people / len(labels)),
                features=features,
                apart=tuple(feature.key for feature in apart),
                sentences=tuple(_sentence(feature, words[feature.key]) for feature in apart),
                label="",
            )
        )
    return _labelled(found, words)


@dataclass(frozen=True)
class _Part:
    """Sums over some people: what others are like follows by taking them from the whole, without looking at everybody again.

    Args:
        people: how many. sums, squares: (n_features,) of prepared figures less the mean of all.
        known, total: (n_features,) how many have a figure, and their sum, in its own unit.
    """

    people: int
    sums: Floats
    squares: Floats
    known: Floats
    total: Floats

    @property
    def means(self) -> list[float | None]:
        """(n_features,) in the features' own units; None where nobody has a figure."""
        counted = zip(self.total.tolist(), self.known.tolist(), strict=True)
        return [total / known if known >= 1 else None for total, known in counted]


def _part(raw: Floats, centered: Floats) -> _Part:
    return _Part(
        people=len(raw),
        sums=centered.sum(axis=0),
        squares=np.einsum("ij,ij->j", centered, centered),
        known=np.count_nonzero(~np.isnan(raw), axis=0).astype(np.float64),
        total=np.nansum(raw, axis=0),
    )


def _of_all(values: Floats) -> tuple[Floats, Floats]:
    return values.mean(axis=0), values.std(axis=0)


def _effects(mine: _Part, others: _Part) -> Floats:
    """(n_features,) Cohen's d with the pooled standard deviation; 0 where there are no others."""
    if not mine.people or not others.people:
        return np.zeros(len(mine.sums))
    within = sum(part.squares - part.sums**2 / part.people for part in (mine, others)) / (mine.people + others.people)
    pooled = np.sqrt(np.maximum(within, 0.0))
    apart = mine.sums / mine.people - others.sums / others.people
    apart[np.abs(apart) < NOTHING] = 0.0
    without_end = np.sign(apart) * LARGEST_EFFECT
    found = np.divide(apart, pooled, out=without_end, where=pooled > NOTHING)
    return np.asarray(np.clip(found, -LARGEST_EFFECT, LARGEST_EFFECT))


def told(figure: float | None, words: Words) -> str:
    """The figure as short as it can be read, with its unit."""
    if figure is None:
        return "unknown"
    if words.is_share:
        return f"{figure:.0%}" if abs(figure) >= 0.1 or not figure else f"{figure:.1%}"
    size = abs(figure)
    digits = 0 if size >= 100 or figure == round(figure) else 1 if size >= 10 else 2
    return f"{figure:,.{digits}f} {words.unit}".strip()


def _sentence(feature: FeatureOfCluster, words: Words) -> str:
    way = "higher" if feature.effect > 0 else "lower"
    return f"{words.name} is {way}: {told(feature.mean, words)} on average, {told(feature.others, words)} among the others."


# ---- Names -----------------------------------------------------------------------------------------------------------


def _labelled(found: list[Meaning], words: Mapping[str, Words]) -> tuple[Meaning, ...]:
    """The same with names, no two alike: where the strongest features don't tell two apart, further ones do."""
    texts = [_words_of(one, words) for one in found]
    lengths = [min(MOST_WORDS, len(one)) for one in texts]
    taken: dict[str, int] = {}
    labelled = []
    for place, one in enumerate(found):
        label = _worded(texts[place], lengths[place])
        while label in taken and lengths[place] < len(texts[place]):
            lengths[place] += 1
            label = _worded(texts[place], lengths[place])
        taken[label] = taken.get(label, 0) + 1
        if taken[label] > 1:
            label = f"{label[: LONGEST_LABEL - 6]} ({taken[label]})"
        labelled.append(replace(one, label=label))
    return tuple(labelled)


def _words_of(one: Meaning, words: Mapping[str, Words]) -> list[str]:
    """Words for what sets it apart, strongest first; where nothing does strongly, for what does most, with "rather"."""
    features = {feature.key: feature for feature in one.features}
    said = []
    for key in one.apart:
        word = words[key].high if features[key].effect > 0 else words[key].low
        said.append(word or f"{'high' if features[key].effect > 0 else 'low'} {words[key].name.lower()}")
    return list(dict.fromkeys(said))


def _worded(texts: list[str], length: int) -> str:
    if not texts:
        return "Like most people"
    made = texts[0]
    for text in texts[1:length]:
        if len(made) + 2 + len(text) > LONGEST_LABEL - 6:
            break
        made = f"{made}, {text}"
    return made[:1].upper() + made[1:]


# ---- A picture -------------------------------------------------------------------------------------------------------


def picture(values: Floats, made: Fit, *, names: Sequence[str], seed: int) -> Picture | None:
    """Two principal components of a sample; None of fewer than two features, which no plane shows.

    Args:
        names: of the features, in the order of the columns.
    """
    if values.shape[1] < 2:
        return None
    some = sample(len(values), MOST_FOR_AXES, seed)
    looked_at = values if some is None else values[some]
    middle = looked_at.mean(axis=0)
    _, widths, axes = np.linalg.svd(looked_at - middle, full_matrices=False)
    shares = widths**2 / max(float((widths**2).sum()), np.finfo(np.float64).tiny)
    # An axis has no direction of its own: its largest loading points up, so that each run draws it alike.
    axes = axes[:2] * np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    few = sample(len(values), MOST_POINTS, seed)
    shown, labels = (values, made.labels) if few is None else (values[few], made.labels[few])
    places = (shown - middle) @ axes.T
    return Picture(
        points=tuple(
            Point(x=round(float(x), 4), y=round(float(y), 4), cluster=int(label))
            for (x, y), label in zip(places, labels, strict=True)
        ),
        x=_axis(axes[0], float(shares[0]), names),
        y=_axis(axes[1], float(shares[1]), names),
        looked_at=len(shown),
        people=len(values),
    )


def _axis(loadings: Floats, share: float, names: Sequence[str]) -> Axis:
    order = np.argsort(-np.abs(loadings), kind="stable")
    return Axis(variance=share, loadings=tuple((names[place], round(float(loadings[place]), 4)) for place in order))
