"""Conditions on how a person stands, read from JSON: scores, buckets, consent and lists.

What they mean doesn't belong here, nor what a whole rule is made of.
"""

# "return self._refuse(...)" is how a method here says that it has nothing to give, and why.
# mypy: disable-error-code="func-returns-value"

from typing import Final

from segments.rules.catalog import Type
from segments.rules.errors import Path
from segments.rules.kinds import EXACT, NUMBER, PRESENCE
from segments.rules.nodes import Bucket, Consented, InList, Score
from segments.rules.operators import OPERATORS
from segments.rules.reading import Reader

STANDING_FORMS: Final = ("score", "bucket", "consented", "in_list")
STANDING_KEYS: Final = {"score": {"score", "op", "value"}, "bucket": {"bucket", "op", "value"}}
SCORE_KINDS: Final = (NUMBER, EXACT, PRESENCE)
SCORE_OPERATORS: Final = tuple(key for key, one in OPERATORS.items() if Type.NUMBER in one.accepts)
"""Labels are a handful of words that a model's makers chose: they are told apart, and not searched for parts of them."""
BUCKET_OPERATORS: Final = tuple(key for key, one in OPERATORS.items() if one.amount is not None)
HIGHEST_BUCKET: Final = 100


class StandingReader(Reader):
    """Reads these conditions, and notes what is wrong with each at its place."""

    def _standing(self, form: str, raw: dict[str, object], path: Path) -> Score | Bucket | Consented | InList | None:
        name = self._name(raw[form], (*path, form))
        match form:
            case "score":
                return self._score(name, raw, path)
            case "bucket":
                return self._bucket(name, raw, path)
            case "consented":
                return Consented(purpose=name) if name is not None else None
            case _:
                return InList(list_key=name) if name is not None else None

    def _score(self, score: str | None, raw: dict[str, object], path: Path) -> Score | None:
        said = self._comparison(raw, path, subject=None, kinds=SCORE_KINDS, allowed=SCORE_OPERATORS)
        return Score(score=score, comparison=said) if score is not None and said is not None else None

    def _bucket(self, seed: str | None, raw: dict[str, object], path: Path) -> Bucket | None:
        drawn = self._comparison(raw, path, subject=None, kinds=(NUMBER,), allowed=BUCKET_OPERATORS)
        if drawn is None or seed is None:
            return None
        bounds = drawn.operand if isinstance(drawn.operand, tuple) else (drawn.operand,)
        if any(not 0 <= bound <= HIGHEST_BUCKET for bound in bounds):  # type: ignore[operator]
            message = f"the numbers of a bucket are from 0 up to {HIGHEST_BUCKET}"
            return self._refuse("number_out_of_range", message, (*path, "value"))
        return Bucket(bucket=seed, comparison=drawn)
