"""Dominant traits: principal components and common factors of many variables, how many there are, and words for them.

A factor is what several variables have in common. Whose figures they are, and how they are shown, is no business of this module.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

Values = npt.NDArray[np.float64]

# A loading from which on a variable counts as part of a factor; and how many of them name it.
STRONG: Final = 0.4
MOST_WORDS: Final = 3
SKEWED: Final = 2.0
TAIL: Final = 0.5  # per cent at either end
FEWEST_PEOPLE: Final = 50
FEWEST_FEATURES: Final = 3
MOST_FACTORS: Final = 6


class Rule(StrEnum):
    """By what it is decided how many factors there are."""

    PARALLEL = "parallel"
    KAISER = "kaiser"


@dataclass(frozen=True, slots=True)
class Words:
    """How a variable is said of somebody who has much of it, and of who has little: "Buys", "often", "seldom".

    What needs no verb has none.
    """

    verb: str
    high: str
    low: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One dominant trait: what it is called at either end, its loadings by feature, and what it explains of all variance."""

    name: str
    opposite: str
    loadings: tuple[float, ...]
    explained: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """What many variables come down to.

    `eigenvalues` are those of the correlation matrix, from the largest on; `by_chance` what 95 of 100 sets of random numbers of
    the same size stay below (Horn). `components` are the shares of variance that each principal component explains.
    """

    features: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]
    people: int
    rule: Rule
    eigenvalues: tuple[float, ...]
    by_chance: tuple[float, ...]
    components: tuple[float, ...]
    factors: tuple[Factor, ...]
    unique: tuple[float, ...]
    converged: bool = True
    why_not: str = ""

    @property
    def kaiser(self) -> int:
        """How many factors the older rule would give: eigenvalues above 1."""
        return sum(one > 1 for one in self.eigenvalues)

    @property
    def explained(self) -> float:
        return sum(one.explained for one in self.factors)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "rule": self.rule.value}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Factors":
        return cls(
            features=tuple((key, label) for key, label in found["features"]),
            left_out=tuple(found["left_out"]),
            people=found["people"],
            rule=Rule(found["rule"]),
            eigenvalues=tuple(found["eigenvalues"]),
            by_chance=tuple(found["by_chance"]),
            components=tuple(found["components"]),
            factors=tuple(Factor(**{**one, "loadings": tuple(one["loadings"])}) for one in found["factors"]),
            unique=tuple(found["unique"]),
            converged=found["converged"],
            why_not=found["why_not"],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The factors, and everybody's place on them: shape (n_people, n_factors), mean 0 and standard deviation 1."""

    found: Factors
    scores: Values


def prepared(values: Values) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Standardised columns, and which of the given ones they are: those that vary.

    What lies further out than half a per cent of people at either end counts as if it lay there, so that one customer is no
    factor. Missing values take the column's median; counts and amounts that lie far to one side (skewness above 2, none negative)
    their log1p.
    """
    filled = values.astype(np.float64, copy=True)
    for column in range(values.shape[1]):
        is_known = ~np.isnan(values[:, column])
        if not is_known.any():
            filled[:, column] = 0.0
            continue
        low, middle, high = np.percentile(values[is_known, column], [TAIL, 50, 100 - TAIL])
        mine = np.clip(np.where(is_known, values[:, column], middle), low, high)
        deviation = mine.std()
        if deviation > 0 and mine.min() >= 0 and float((((mine - mine.mean()) / deviation) ** 3).mean()) > SKEWED:
            mine = np.log1p(mine)
        filled[:, column] = mine
    spread = filled.std(axis=0)
    varies = spread > 1e-12
    kept = filled[:, varies]
    return (kept - kept.mean(axis=0)) / spread[varies], varies


def by_chance(people: int, features: int, *, seed: int, draws: int = 50, percent: float = 95.0) -> Values:
    """Eigenvalues, from the largest on, that so many per cent of random data of this size stay below.

    References:
        Horn (1965), A rationale and test for the number of factors in factor analysis; Glorfeld (1995) for the percentile.
    """
    dice = np.random.default_rng(seed)
    drawn = np.empty((draws, features))
    for number in range(draws):
        random = dice.standard_normal((people, features))
        drawn[number] = np.linalg.eigvalsh(np.corrcoef(random, rowvar=False))[::-1]
    return np.percentile(drawn, percent, axis=0)


def find_factors(
    features: Sequence[tuple[str, str]],
    values: Values,
    *,
    words: Mapping[str, Words],
    seed: int,
    rule: Rule = Rule.PARALLEL,
) -> Fitted:
    """The common factors of the variables, turned (varimax) so that each speaks of few of them, with names.

    Too few people or variables give no factors, and the answer says why.

    Args:
        features: (key, label) of each column.
        values: shape (n_people, n_features), NaN where it isn't known.
        words: by key, how a variable is said; others by their labels.

    Raises:
        ValueError: the shapes don't fit.

    References:
        Kaiser (1958), The varimax criterion; Kaiser (1960) for eigenvalues above 1.
    """
    if values.ndim != 2 or values.shape[1] != len(features):
        raise ValueError(f"{len(features)} features need as many columns: {values.shape}")
    people = len(values)
    standard, varies = prepared(values) if people else (values, np.zeros(len(features), dtype=bool))
    used = tuple(one for one, has in zip(features, varies, strict=True) if has)
    left_out = tuple(label for (_, label), has in zip(features, varies, strict=True) if not has)
    if people < FEWEST_PEOPLE or len(used) < FEWEST_FEATURES:
        why = (
            f"Factors need {FEWEST_PEOPLE} people and {FEWEST_FEATURES} variables that vary; "
            f"there are {people} and {len(used)}."
        )
        return Fitted(_nothing(used, left_out, people, rule, why), np.empty((people, 0)))
    with threadpool_limits(1):  # matrices so small are done sooner by one thread than by many that wait for each other
        return _fitted(standard, used, left_out, words=words, seed=seed, rule=rule)


def _fitted(
    standard: Values,
    used: tuple[tuple[str, str], ...],
    left_out: tuple[str, ...],
    *,
    words: Mapping[str, Words],
    seed: int,
    rule: Rule,
) -> Fitted:
    people = len(standard)
    real = np.linalg.eigvalsh(np.corrcoef(standard, rowvar=False))[::-1]
    chance = by_chance(people, len(used), seed=seed)
    count = _leading(real > chance) if rule is Rule.PARALLEL else int((real > 1).sum())
    count = min(count, MOST_FACTORS, max(1, (len(used) - 1) // 2))
    components = PCA(random_state=seed).fit(standard).explained_variance_ratio_
    found = Factors(
        features=used,
        left_out=left_out,
        people=people,
        rule=rule,
        eigenvalues=_plain(real),
        by_chance=_plain(chance),
        components=_plain(components),
        factors=(),
        unique=(),
    )
    if not count:
        why = "No more hangs together among these variables than would by chance."
        return Fitted(replace(found, why_not=why), np.empty((people, 0)))
    model = FactorAnalysis(count, rotation="varimax", max_iter=5000, tol=1e-5, svd_method="lapack")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(_few_rows_like(standard))
    scores = model.transform(standard)
    loadings = np.asarray(model.components_)
    # Which end of a factor is called high is arbitrary: the variable that it speaks of most decides.
    signs = np.sign(loadings[np.arange(count), np.abs(loadings).argmax(axis=1)])
    loadings, scores = loadings * signs[:, None], scores * signs
    explained = (loadings**2).sum(axis=1) / len(used)
    order = np.argsort(-explained, kind="stable")
    deviation = scores.std(axis=0)
    scores = (scores - scores.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    factors = tuple(
        Factor(
            name=name_of(used, loadings[row], words),
            opposite=name_of(used, -loadings[row], words),
            loadings=_plain(loadings[row]),
            explained=float(explained[row]),
        )
        for row in order
    )
    converged = not any(issubclass(one.category, ConvergenceWarning) for one in said)
    named = replace(found, factors=factors, unique=_plain(model.noise_variance_), converged=converged)
    return Fitted(named, scores[:, order])


def _few_rows_like(standard: Values) -> Values:
    """One row more than there are columns, with the same means and correlations: all that the likelihood of factors goes by.

    So each step of the fit takes as long for a hundred people as for a million, and gives the same.
    """
    columns = standard.shape[1]
    values, vectors = np.linalg.eigh(standard.T @ standard / len(standard))
    root = vectors * np.sqrt(np.clip(values, 0, None))
    # Orthonormal columns, each of which sums to 0 (Helmert).
    contrasts = np.zeros((columns + 1, columns))
    for place in range(columns):
        contrasts[: place + 1, place] = 1
        contrasts[place + 1, place] = -(place + 1)
    contrasts /= np.linalg.norm(contrasts, axis=0)
    rows: Values = np.sqrt(columns + 1) * contrasts @ root.T
    return rows


def name_of(features: Sequence[tuple[str, str]], loadings: Values, words: Mapping[str, Words]) -> str:
    """What somebody high on a factor does, by the variables it speaks of most: "Buys often and broadly"."""
    strongest = np.argsort(-np.abs(loadings), kind="stable")
    chosen = [place for place in strongest if abs(loadings[place]) >= STRONG][:MOST_WORDS] or [strongest[0]]
    said: dict[str, list[str]] = {}
    for place in chosen:
        key, label = features[place]
        word = words.get(key, Words("Has", f"a high {_small(label)}", f"a low {_small(label)}"))
        adverb = word.high if loadings[place] > 0 else word.low
        if adverb not in (mine := said.setdefault(word.verb, [])):
            mine.append(adverb)
    parts = [f"{verb} {_listed(adverbs)}".strip() for verb, adverbs in said.items()]
    name = ", ".join([parts[0], *(_small(one) for one in parts[1:])])
    return name[:1].upper() + name[1:]


def place_of(scores: Values, members: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """Where a group stands on each factor: its mean, in standard deviations of everybody."""
    return _plain(scores[members].mean(axis=0)) if members.any() else ()


def _leading(above: npt.NDArray[np.bool_]) -> int:
    """How many hold before the first that doesn't."""
    return int(np.argmin(above)) if not above.all() else len(above)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


def _plain(values: Any) -> tuple[float, ...]:
    return tuple(float(one) for one in values)


def _nothing(
    used: tuple[tuple[str, str], ...], left_out: tuple[str, ...], people: int, rule: Rule, why: str
) -> Factors:
    return Factors(
        features=used,
        left_out=left_out,
        people=people,
        rule=rule,
        eigenvalues=(),
        by_chance=(),
        components=(),
        factors=(),
        unique=(),
        why_not=why,
    )
