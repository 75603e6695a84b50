"""Pages of a segment's members, in the order that somebody chose, each beginning after the last of the one before.

Only of those who permit a purpose; who may read them, what is shown of each and that it is on record is the screen's part. Which
orders there are is in `segments.sorting_members`.
"""

from dataclasses import dataclass
from typing import Any, Final

from django.core.signing import BadSignature, Signer

from cdp.profiles.models import Profile, Trait, TraitType, TraitValue
from consent.models import Purpose
from consent.querysets import permitted
from segments.models import Membership, Segment
from segments.rules.folding import fold
from segments.sorting_members import Order, beyond, in_order, is_personal, place_of

PAGE: Final = 25
TEXTS: Final = (TraitType.TEXT, TraitType.COUNTRY, TraitType.CURRENCY, TraitType.EMAIL, TraitType.PHONE)
MOST_WORDS: Final = 4


@dataclass(frozen=True, kw_only=True)
class MembersPage:
    """Some members, and where the next page begins; "" on the last one."""

    members: list[Membership]
    next: str


def page_of_members(
    *, segment: Segment, purpose: Purpose, order: Order, search: str = "", reads_personal: bool = False, after: str = ""
) -> MembersPage:
    """The page after a place, or the first one where that place is none of this list.

    Args:
        search: an identifier, or the whole value of a trait; words of a name. "" for everybody.
        reads_personal: whether personal data may be searched.
        after: `MembersPage.next` of the page before.
    """
    members = Membership.objects.filter(
        segment=segment, profile__in=permitted(Profile.objects.order_by(), purpose).values("pk")
    ).select_related("profile")
    if search:
        members = members.filter(profile__in=_found(search, reads_personal))
    signer = Signer(salt=f"members:{segment.pk}:{purpose.key}:{order.key}:{search}")
    members = in_order(members, order)
    if place := _place(signer, after):
        members = members.filter(beyond(order, *place))
    rows = list(members.prefetch_related("profile__identifiers")[: PAGE + 1])
    more = signer.sign_object(place_of(rows[PAGE - 1], order)) if len(rows) > PAGE else ""
    return MembersPage(members=rows[:PAGE], next=more)


def _place(signer: Signer, text: str) -> tuple[Any, int] | None:
    """What was signed for this list; None for the first page, and for what belongs to another list."""
    try:
        value, number = signer.unsign_object(text)
    except (BadSignature, ValueError):
        return None
    return value, number


def _found(search: str, reads_personal: bool) -> Any:
    """Ids of whom the text names: by an identifier, by the whole value of a trait, or by words that are values of theirs."""
    by_identifier = Profile.objects.found_by(search).order_by().values("pk")
    traits = Trait.objects.filter(type__in=TEXTS)
    searched = [one.pk for one in traits if reads_personal or not is_personal(one)]
    text = fold(search)
    if not reads_personal and "@" in text:
        return by_identifier  # an address is personal in whichever trait it stands
    values = TraitValue.objects.filter(trait__in=searched)
    by_value = values.filter(text_folded=text).values("profile_id")
    words = text.split()
    if not 2 <= len(words) <= MOST_WORDS:
        return by_identifier.union(by_value)
    by_words = values.filter(text_folded=words[0])
    for word in words[1:]:
        by_words = by_words.filter(profile__in=values.filter(text_folded=word).values("profile_id"))
    return by_identifier.union(by_value, by_words.values("profile_id"))
