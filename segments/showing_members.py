"""What a list of people shows of each: their name, an identifier, and the traits and scores that its reader chose; masked, unless
personal data was revealed. Everything is read by a constant number of queries. Nothing here decides who may be shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from cdp.database import bound_cursor
from cdp.profiles.masking import HIDDEN, display_name, masked_identifier, masked_properties
from cdp.profiles.models import Profile, Trait
from cdp.profiles.score_services import published_scores
from segments.personal import personal_traits

MOST_COLUMNS: Final = 6
# Beside a name: what most know somebody by.
PREFERRED: Final = ("user_id", "email", "anonymous_id")

SCORES: Final = """
    SELECT profile_id, kind || '.' || key, number, text FROM profiles_currentscore
     WHERE profile_id = ANY(%s::bigint[]) AND kind || '.' || key = ANY(%s::text[])
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A trait or a score as a column: ``key`` is ``trait:points`` or ``score:rfm.group``; ``says`` is what a score is, as
    `published_scores` has it."""

    key: str
    label: str
    trait: Trait | None = None
    says: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.key.partition(":")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    label: str
    value: Any
    is_hidden: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One person as shown."""

    profile: Profile
    name: str
    identifier: str
    cells: list[Cell]


def columns_there_are() -> list[Column]:
    """Everything that can be shown beside a person: traits, then scores."""
    traits = [Column(key=f"trait:{one.key}", label=one.label, trait=one) for one in Trait.objects.order_by("label")]
    scores = [
        Column(key=f"score:{kind}.{key}", label=f"{kind} {key}".replace("_", " "), says=tuple(says))
        for kind, keys in sorted(published_scores().items())
        for key, says in sorted(keys.items())
    ]
    return traits + scores


def chosen(keys: Sequence[str], among: Sequence[Column]) -> list[Column]:
    """The columns of these keys, in the order in which there are columns; no more than fit."""
    wanted = set(keys)
    return [one for one in among if one.key in wanted][:MOST_COLUMNS]


def shown(profiles: Sequence[Profile], columns: Sequence[Column], *, is_masked: bool) -> list[Shown]:
    """The people in their order. Their identifiers have been prefetched."""
    personal = personal_traits() if is_masked else set()
    scores = _scores([one.pk for one in profiles], [one.name for one in columns if one.trait is None])
    return [_shown(one, columns, scores.get(one.pk, {}), personal, is_masked=is_masked) for one in profiles]


def _shown(
    profile: Profile, columns: Sequence[Column], scores: Mapping[str, Any], personal: set[str], *, is_masked: bool
) -> Shown:
    names = {one.namespace: one.value for one in profile.identifiers.all()}
    namespace = next((one for one in PREFERRED if one in names), next(iter(sorted(names)), ""))
    value = names.get(namespace, "")
    identifier = masked_identifier(namespace, value) if is_masked else value
    cells = []
    for column in columns:
        if column.trait is None:
            cells.append(Cell(label=column.label, value=scores.get(column.name)))
            continue
        raw = profile.traits.get(column.name)
        seen = masked_properties({column.name: raw}, personal=personal)[column.name] if is_masked else raw
        seen = None if raw is None else seen
        cells.append(Cell(label=column.label, value=seen, is_hidden=seen == HIDDEN or (seen != raw)))
    fallback = identifier or str(profile.uuid)
    return Shown(
        profile=profile,
        name=display_name(profile.traits, fallback=fallback, is_masked=is_masked),
        identifier=identifier,
        cells=cells,
    )


def _scores(profile_ids: Sequence[int], keys: Sequence[str]) -> dict[int, dict[str, Decimal | str | None]]:
    found: dict[int, dict[str, Decimal | str | None]] = {}
    if keys and profile_ids:
        with bound_cursor() as cursor:
            cursor.execute(SCORES, [list(profile_ids), list(keys)])
            for profile_id, key, number, text in cursor.fetchall():
                found.setdefault(profile_id, {})[key] = text if number is None else number.normalize()
    return found
