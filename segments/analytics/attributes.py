"""Key attributes of a group: what most tells its people from the others, and what goes along with buying.

Association, never cause: a variable that comes first here is where to look, not what to change.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BINS: Final = 10
# With fewer in one of the two groups, what is found is chance.
FEWEST_TO_COMPARE: Final = 20
FEWEST_TO_PREDICT: Final = 100
# Below this area under the curve a model's opinion of its variables is worth nothing.
PREDICTIVE_AUC: Final = 0.6
# What variances of equal numbers come to by rounding, as a part of their squares.
NOTHING: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """How far one variable tells the people of a group from the others.

    `information` is the share of what there is to know about membership that the variable alone says (0 to 1): mutual
    information over the entropy of membership. `difference` is the difference of the means in standard deviations of both.
    """

    key: str
    label: str
    information: float
    difference: float | None
    mean: float | None
    other_mean: float | None
    people: int
    other_people: int
    unit: str = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """How far one variable goes along with buying: alone (`information`), and within a model (`importance`).

    `importance` is by how much the area under the curve falls when the variable's values are shuffled among people whom the
    model has not seen; `spread` its standard deviation over the parts. Both are None without a model that can predict.
    """

    key: str
    label: str
    information: float
    importance: float | None = None
    spread: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Buying:
    """What goes along with buying, the first most; and what the model's opinion is worth.

    `score` is the mean area under the ROC curve over parts that the model has not seen: 0.5 is guessing, 1 is never wrong.
    None where there was too little to learn from, and then `why_not` says so.
    """

    people: int
    buyers: int
    relations: tuple[Relation, ...]
    score: float | None = None
    score_spread: float | None = None
    parts: int = 0
    why_not: str = ""

    @property
    def is_predictive(self) -> bool:
        return self.score is not None and self.score >= PREDICTIVE_AUC

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Buying":
        return cls(**{**found, "relations": tuple(Relation(**one) for one in found["relations"])})


def mutual_information(values: Values, flags: Flags, *, bins: int = BINS) -> float:
    """Bits that a variable says about a flag, corrected for chance; never below 0.

    The values are taken in quantile bins, ties kept together; who has none is a bin of its own, as not knowing may tell, too.

    Args:
        values: shape (n,), NaN where it isn't known.
        flags: shape (n,).

    References:
        Shannon (1948); bias after Miller (1955), Note on the bias of information estimates.
    """
    placed = _binned(values, bins)
    counts = np.zeros((int(placed.max(initial=0)) + 1, 2))
    np.add.at(counts, (placed, flags.astype(np.int64)), 1.0)
    counts = counts[counts.sum(axis=1) > 0]
    total = counts.sum()
    if total == 0 or counts.sum(axis=0).min() == 0:
        return 0.0
    joint = counts / total
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    bits = float((joint[filled] * np.log2(joint[filled] / expected[filled])).sum())
    bias = (counts.shape[0] - 1) / (2 * total * np.log(2))
    return max(0.0, bits - float(bias))


def entropy(flags: Flags) -> float:
    """Bits that there are to know about a flag."""
    share = float(flags.mean()) if flags.size else 0.0
    return 0.0 if share in (0.0, 1.0) else float(-share * np.log2(share) - (1 - share) * np.log2(1 - share))


def _binned(values: Values, bins: int) -> npt.NDArray[np.int64]:
    """The number of each value's bin; the last one is of who has none."""
    known = ~np.isnan(values)
    edges = np.unique(np.quantile(values[known], np.arange(1, bins) / bins)) if known.any() else np.empty(0)
    # A value belongs to the bin that its edge ends, so equal values are never parted.
    placed = np.searchsorted(edges, values, side="left")
    placed[~known] = len(edges) + 1
    return placed.astype(np.int64)


def standardised_difference(values: Values, others: Values) -> float | None:
    """Difference of the means in standard deviations; None where nothing varies or too few are known.

    The deviation is the pooled one of both groups. Where neither varies in itself, and only the groups differ, it is that of all
    together: else the difference would be beyond all measure.

    References:
        Cohen (1988), Statistical Power Analysis: d, with the pooled standard deviation.
    """
    first, second = values[~np.isnan(values)], others[~np.isnan(others)]
    if len(first) < 2 or len(second) < 2:
        return None
    within = (len(first) - 1) * first.var(ddof=1) + (len(second) - 1) * second.var(ddof=1)
    pooled = within / (len(first) + len(second) - 2)
    everybody = np.concatenate([first, second]).var(ddof=1)
    if everybody <= NOTHING * max(1.0, float(np.abs(first).max()) ** 2):
        return None
    return float((first.mean() - second.mean()) / np.sqrt(pooled if pooled > NOTHING * everybody else everybody))


def telling_apart(
    features: Sequence[tuple[str, str]], values: Values, belongs: Flags, *, bins: int = BINS
) -> tuple[Apart, ...]:
    """Each variable with how far it tells the group from the others, the one that says most first.

    Nothing, where one side has fewer than `FEWEST_TO_COMPARE` people.

    Args:
        features: (key, label) of each column.
        values: shape (n_people, n_features), NaN where it isn't known.
        belongs: shape (n_people,).

    Raises:
        ValueError: the shapes don't fit.
    """
    _fit(features, values, belongs)
    if min(int(belongs.sum()), int((~belongs).sum())) < FEWEST_TO_COMPARE:
        return ()
    there_is = entropy(belongs)
    found = []
    for column, (key, label) in enumerate(features):
        mine, others = values[belongs, column], values[~belongs, column]
        known, other_known = int((~np.isnan(mine)).sum()), int((~np.isnan(others)).sum())
        found.append(
            Apart(
                key=key,
                label=label,
                information=mutual_information(values[:, column], belongs, bins=bins) / there_is,
                difference=standardised_difference(mine, others),
                mean=_mean(mine),
                other_mean=_mean(others),
                people=known,
                other_people=other_known,
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.information, -abs(one.difference or 0.0), one.key)))


def relating_to_buying(
    features: Sequence[tuple[str, str]],
    values: Values,
    bought: Flags,
    *,
    seed: int,
    parts: int = 5,
    shuffles: int = 3,
    bins: int = BINS,
) -> Buying:
    """What was known of people beforehand that goes along with whether they bought afterwards.

    A small model of boosted trees learns from four parts of the people and is asked about the fifth, in turns; missing values
    are left as they are. Its score comes with it, and importances only when it is at least `PREDICTIVE_AUC`.

    Args:
        features: (key, label) of each column.
        values: shape (n_people, n_features) as of a moment before; NaN where it isn't known.
        bought: shape (n_people,): whether they bought since.

    Raises:
        ValueError: the shapes don't fit.

    References:
        Breiman (2001), Random Forests, section 10: permutation importance.
    """
    _fit(features, values, bought)
    people, buyers = len(bought), int(bought.sum())
    there_is = entropy(bought) or 1.0
    alone = [mutual_information(values[:, column], bought, bins=bins) / there_is for column in range(len(features))]
    relations = [
        Relation(key=key, label=label, information=information)
        for (key, label), information in zip(features, alone, strict=True)
    ]
    if people < FEWEST_TO_PREDICT or min(buyers, people - buyers) < FEWEST_TO_COMPARE:
        why = "Too few people, or too few of them who bought or didn't, to learn anything from."
        return Buying(people=people, buyers=buyers, relations=_ordered(relations), why_not=why)
    varies = [column for column in range(values.shape[1]) if len(np.unique(values[:, column])) > 1]
    if not varies:
        return Buying(people=people, buyers=buyers, relations=_ordered(relations), why_not="Nothing known varies.")
    with threadpool_limits(1):  # so little work is done sooner by one thread than by many that wait for each other
        scores, falls = _asked_in_turns(values[:, varies], bought, seed=seed, parts=parts, shuffles=shuffles)
    score, spread = float(np.mean(scores)), float(np.std(scores))
    if score >= PREDICTIVE_AUC:
        means, deviations = np.mean(falls, axis=0), np.std(falls, axis=0)
        for place, column in enumerate(varies):
            one = relations[column]
            relations[column] = Relation(
                key=one.key,
                label=one.label,
                information=one.information,
                importance=float(means[place]),
                spread=float(deviations[place]),
            )
        why = ""
    else:
        why = "The model can hardly tell who bought from who didn't, so what it goes by says nothing."
    return Buying(
        people=people,
        buyers=buyers,
        relations=_ordered(relations),
        score=score,
        score_spread=spread,
        parts=parts,
        why_not=why,
    )


def _asked_in_turns(
    values: Values, bought: Flags, *, seed: int, parts: int, shuffles: int
) -> tuple[list[float], list[Values]]:
    """Of each part of the people, the model's score on it, and by how much that falls without each variable."""
    scores, falls = [], []
    for learnt, asked in StratifiedKFold(parts, shuffle=True, random_state=seed).split(values, bought):
        model = HistGradientBoostingClassifier(
            max_iter=40, max_depth=3, min_samples_leaf=10, early_stopping=False, random_state=seed
        )
        model.fit(values[learnt], bought[learnt])
        scores.append(float(roc_auc_score(bought[asked], model.predict_proba(values[asked])[:, 1])))
        fall = permutation_importance(
            model, values[asked], bought[asked], scoring="roc_auc", n_repeats=shuffles, random_state=seed
        )
        falls.append(np.asarray(fall.importances_mean))
    return scores, falls


def _ordered(relations: Sequence[Relation]) -> tuple[Relation, ...]:
    return tuple(sorted(relations, key=lambda one: (-(one.importance or 0.0), -one.information, one.key)))


def _mean(values: Values) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _fit(features: Sequence[tuple[str, str]], values: Values, flags: Flags) -> None:
    if values.ndim != 2 or values.shape != (len(flags), len(features)):
        raise ValueError(f"{len(flags)} people and {len(features)} features need values of that shape: {values.shape}")
