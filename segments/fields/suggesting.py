"""Values to choose from while somebody types one: the commonest there are, and codes by their names.

A value that isn't among them can be typed all the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import User

from segments.fields.cards import Card, card
from segments.fields.matching import Match, match, parts
from segments.fields.models import FieldKind
from segments.rules import Type, fold
from segments.rules.countries import COUNTRIES
from segments.rules.currencies import CURRENCIES

MOST: Final = 12
# Types whose values are all known: what is typed stands for one of these.
CLOSED: Final = (Type.COUNTRY, Type.CURRENCY, Type.BOOLEAN)


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A value as a rule has it, what it is called, and how many people have it, if that is known."""

    value: str
    label: str
    people: int | None = None
    match: Match | None = None

    @property
    def label_parts(self) -> list[tuple[str, bool]]:
        return parts(self.label, self.match.label if self.match else ())


def values(user: User, kind: FieldKind, key: str, text: str, *, event: str = "", limit: int = MOST) -> list[Suggestion]:
    """What somebody may mean, the best and commonest first; nothing of a personal field.

    Raises:
        NotFound: there is no such field, or none that they may see.
    """
    return values_of(card(user, kind, key, event=event), text, limit=limit)


def values_of(found: Card, text: str, *, limit: int = MOST) -> list[Suggestion]:
    """The same, of the field of this card."""
    if found.field.is_personal:
        return []
    fitting = [
        (fit, one) for one in _candidates(found) if (fit := match(text, label=one.label, key=one.value)) is not None
    ]
    # A code that is typed in full is meant.
    typed = fold(text.strip())
    fitting.sort(key=lambda pair: (fold(pair[1].value) != typed, pair[0].fit, -(pair[1].people or 0), pair[1].label))
    return [Suggestion(value=one.value, label=one.label, people=one.people, match=fit) for fit, one in fitting[:limit]]


def _candidates(found: Card) -> Iterable[Suggestion]:
    common = {fold(value): Suggestion(value=value, label=value, people=people) for value, people in found.top}
    match found.field.type:
        case Type.COUNTRY:
            return _named(common, COUNTRIES)
        case Type.CURRENCY:
            return _named(common, {code: code for code in sorted(CURRENCIES)})
        case Type.BOOLEAN:
            return [
                Suggestion(value=value, label=label, people=common[value].people if value in common else None)
                for value, label in (("true", "true"), ("false", "false"))
            ]
        case _:
            return common.values()


def _named(common: dict[str, Suggestion], names: dict[str, str]) -> list[Suggestion]:
    """Each code by its name, and whatever else people have; what nobody has comes last, as it has no count."""
    coded = [
        Suggestion(value=code, label=name, people=common[fold(code)].people if fold(code) in common else None)
        for code, name in names.items()
    ]
    codes = {fold(code) for code in names}
    return [*coded, *(one for folded, one in common.items() if folded not in codes)]
