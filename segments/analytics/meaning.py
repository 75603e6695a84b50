"""What clusters are like, in words and figures: means, what sets each apart, a name in plain words, and a picture of all.

Words for much and little come with each feature from `segments.features.catalogue`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    inside = labels != NOISE
    people = np.bincount(labels[inside], minlength=count).astype(np.float64)
    of_all = values[inside]
    middle, width = of_all.mean(axis=0), of_all.std(axis=0)
    found = []
    for one in range(count):
        mine = labels == one
        others = inside & ~mine
        effects = _effects(values[mine], values[others])
        standardised = np.divide(values[mine].mean(axis=0) - middle, width, out=np.zeros_like(width), where=width > 0)
        features = tuple(
            FeatureOfCluster(
                key=key,
                name=words[key].name,
                mean=_mean(raw[mine, place]),
                others=_mean(raw[others, place]),
                standardised=float(standardised[place]),
                effect=float(effects[place]),
            )
            for place, key in enumerate(keys)
        )
        apart = sorted((f for f in features if abs(f.effect) >= TELLING), key=lambda f: -abs(f.effect))
        found.append(
            Meaning(
                cluster=one,
                people=int(people[one]),
                share=float(people[one] / len(labels)),
                features=features,
                apart=tuple(feature.key for feature in apart),
                sentences=tuple(_sentence(feature, words[feature.key]) for feature in apart),
                label="",
            )
        )
    return _labelled(found, words)


def _effects(mine: Floats, others: Floats) -> Floats:
    """(n_features,) Cohen's d with the pooled standard deviation; 0 where there are no others."""
    if not len(mine) or not len(others):
        return np.zeros(mine.shape[1])
    pooled = np.sqrt((len(mine) * mine.var(axis=0) + len(others) * others.var(axis=0)) / (len(mine) + len(others)))
    apart = mine.mean(axis=0) - others.mean(axis=0)
    without_end = np.sign(apart) * LARGEST_EFFECT
    found = np.divide(apart, pooled, out=without_end, where=pooled > 0)
    return np.asarray(np.clip(found, -LARGEST_EFFECT, LARGEST_EFFECT))


def _mean(figures: Floats) -> float | None:
    known = figures[~np.isnan(figures)]
    return float(known.mean()) if known.size else None


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
