"""In which orders a segment's members can be listed, and where one stands in an order, so that a page can begin after them.

When they came and their numbers have indexes. Values of traits and scores have none within a segment: all its members are read for
each page, so segments that are too large aren't sorted by them. Reading the pages is in `segments.paging_members`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import F, Field, OuterRef, Q, QuerySet, Subquery

from cdp.profiles.catalogue import in_words
from cdp.profiles.masking import PERSONAL_PROPERTY
from cdp.profiles.models import Score, Trait, TraitType, TraitValue
from segments.models import Membership, Segment
from segments.showing_members import Column

MOST_TO_SORT: Final = 10_000
NEWEST, OLDEST, BY_ID, BY_NAME = "newest", "oldest", "id", "name"
COLUMN: Final = {
    TraitType.NUMBER: "number",
    TraitType.TEXT: "text_folded",
    TraitType.COUNTRY: "text_folded",
    TraitType.DATE: "moment",
    TraitType.BOOLEAN: "boolean",
}
REACHES: Final = (TraitType.EMAIL, TraitType.PHONE)
# What people are called by, as traits have it; of those that are there the first.
NAMES: Final = ("last_name", "name", "first_name")


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """How members are sorted: by when they came, by their number, or by what a trait or a score says of them."""

    key: str
    trait: Trait | None = None
    score: Column | None = None
    descends: bool = False

    @property
    def has_values(self) -> bool:
        return self.trait is not None or self.score is not None

    @property
    def is_personal(self) -> bool:
        """Whether its values must not leave the database, not even as a place in an address."""
        return self.trait is not None and is_personal(self.trait)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heading:
    """A column's heading: which order pressing it gives, "" where there is none; and as which it is sorted by now."""

    label: str
    order: str = ""
    sorted_as: str = ""


def is_personal(trait: Trait) -> bool:
    """Whether its values are masked: by the catalogue, by its type or by its name."""
    return trait.is_pii or trait.type in REACHES or bool(PERSONAL_PROPERTY.search(in_words(trait.key)))


def may_sort_by_values(segment: Segment) -> bool:
    return segment.member_count <= MOST_TO_SORT


def order_of(text: str, *, segment: Segment, columns: Sequence[Column], names: Sequence[Trait] = ()) -> Order:
    """The order that an address names, as ``newest``, ``name``, ``trait:points`` or ``-score:rfm.value``; the newest first, where it
    names none that there is.

    Args:
        columns: the traits and scores that are shown. Personal data among them isn't sorted by, nor is what has no order.
        names: of which traits people's names are made; none, while they are masked.
    """
    if text in (OLDEST, BY_ID):
        return Order(key=text)
    key, descends = text.removeprefix("-"), text.startswith("-")
    found = Order(key=NEWEST)
    if not may_sort_by_values(segment):
        return found
    if key == BY_NAME:
        return Order(key=text, trait=names[0], descends=descends) if names else found
    column = next((one for one in columns if one.key == key), None)
    if column is None or not _has_order(column):
        return found
    if column.trait is not None:
        return Order(key=text, trait=column.trait, descends=descends)
    return Order(key=text, score=column, descends=descends)


def names_among(columns: Sequence[Column]) -> list[Trait]:
    """The traits by which people's names can be sorted, the one to use first."""
    by_word = {in_words(one.trait.key): one.trait for one in columns if one.trait is not None and _is_text(one.trait)}
    return [by_word[word] for word in NAMES if word in by_word]


def orders(*, segment: Segment, columns: Sequence[Column], names: Sequence[Trait]) -> Iterator[tuple[str, str]]:
    """Every order there is, with its name."""
    yield NEWEST, "Newest first"
    yield OLDEST, "Oldest first"
    yield BY_ID, "By number"
    if not may_sort_by_values(segment):
        return
    if names:
        yield BY_NAME, "Name, A to Z"
        yield f"-{BY_NAME}", "Name, Z to A"
    for column in columns:
        if _has_order(column):
            yield column.key, f"{column.label}, lowest first"
            yield f"-{column.key}", f"{column.label}, highest first"


def headings(
    order: Order, *, segment: Segment, columns: Sequence[Column], names: Sequence[Trait]
) -> tuple[Heading, list[Heading], Heading]:
    """Of the person, of each of the columns, and of when they came."""
    offered = {key for key, _ in orders(segment=segment, columns=columns, names=names)}
    by_name = (BY_NAME, f"-{BY_NAME}") if BY_NAME in offered else (BY_ID, BY_ID)
    return (
        _heading("Person", *by_name, order),
        [
            _heading(one.label, one.key, f"-{one.key}", order) if one.key in offered else Heading(label=one.label)
            for one in columns
        ],
        _heading("Since", OLDEST, NEWEST, order),
    )


def _heading(label: str, upwards: str, downwards: str, order: Order) -> Heading:
    if order.key == upwards:
        return Heading(label=label, order=downwards, sorted_as="ascending")
    return Heading(label=label, order=upwards, sorted_as="descending" if order.key == downwards else "")


def _has_order(column: Column) -> bool:
    if column.trait is None:
        return bool(column.says)
    return column.trait.type in COLUMN and not is_personal(column.trait)


def _is_text(trait: Trait) -> bool:
    return COLUMN.get(TraitType(trait.type)) == "text_folded"


# ---- In SQL ----------------------------------------------------------------------------------------------------------


def in_order(members: QuerySet[Membership], order: Order) -> QuerySet[Membership]:
    """The members sorted, whoever has no value last; of equals the one with the smaller number first."""
    if order.has_values:
        values, field = _values(order, of=OuterRef("profile_id"))
        members = members.annotate(value=Subquery(values.values(field.name)[:1]))
        by = F("value").desc(nulls_last=True) if order.descends else F("value").asc(nulls_last=True)
        return members.order_by(by, "profile_id")
    if order.key == BY_ID:
        return members.order_by("profile_id")
    return members.order_by(*(("entered_at", "profile_id") if order.key == OLDEST else ("-entered_at", "-profile_id")))


def place_of(last: Membership, order: Order) -> list[Any]:
    """What tells a member's place: the value by which is sorted, and their number. Of personal data just whether there is a value,
    since places stand in addresses."""
    if not order.has_values:
        return [last.entered_at.isoformat(), last.profile_id]
    value = last.value  # type: ignore[attr-defined]  # annotated
    if order.is_personal or value is None or isinstance(value, bool):
        return [(value is not None) if order.is_personal else value, last.profile_id]
    return [value.isoformat() if isinstance(value, datetime) else str(value), last.profile_id]


def beyond(order: Order, value: Any, number: int) -> Q:
    """Who comes after this place."""
    if not order.has_values:
        if order.key == BY_ID:
            return Q(profile_id__gt=number)
        at = datetime.fromisoformat(value)
        # The bound on the moment alone is what the index begins at.
        if order.key == OLDEST:
            return Q(entered_at__gte=at) & (Q(entered_at__gt=at) | Q(profile_id__gt=number))
        return Q(entered_at__lte=at) & (Q(entered_at__lt=at) | Q(profile_id__lt=number))
    values, field = _values(order, of=number)
    if order.is_personal:
        wanted = values.values_list(field.name, flat=True).first() if value else None
        if value and wanted is None:
            return Q()  # it is gone meanwhile, and with it the place: from the beginning
    else:
        wanted = field.to_python(value)
    if wanted is None:
        return Q(value=None, profile_id__gt=number)
    further = Q(value__lt=wanted) if order.descends else Q(value__gt=wanted)
    return further | Q(value=wanted, profile_id__gt=number) | Q(value=None)


def _values(order: Order, *, of: Any) -> "tuple[QuerySet[Any], Field[Any, Any]]":
    """What the order's trait or score says of somebody, and in which column."""
    if order.trait is not None:
        name = COLUMN[TraitType(order.trait.type)]
        return TraitValue.objects.filter(trait=order.trait, profile=of), TraitValue._meta.get_field(name)  # type: ignore[return-value]
    assert order.score is not None
    kind, _, key = order.score.name.partition(".")
    said = Score.objects.filter(run__is_current=True, run__kind=kind, key=key, profile_id=of)
    return said, Score._meta.get_field("number" if "numbers" in order.score.says else "label")  # type: ignore[return-value]
