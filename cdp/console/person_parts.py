"""Parts of a person's page that are read on their own: scores, what was said of a trait before, who stands before and behind.

The page itself, and who may open it, is in `cdp.console.people`.
"""

from typing import Any

from django.db.models import Q, QuerySet

from cdp.ingestion.models import Source
from cdp.profiles.masking import masked_properties
from cdp.profiles.models import Event, EventName, EventType, Profile, Score, Trait
from segments.rfm.one_person import standing_by_rfm
from segments.rfm.services import SCORE_KIND

MOST_SAID = 25


def scores(person: Profile) -> list[Score]:
    """What the published runs say of them, each with its run; by model and key."""
    found = Score.objects.filter(profile_id=person.pk, run__is_current=True).select_related("run")
    rows = list(found.order_by("run__kind", "key"))
    for row in rows:
        is_share = row.number is not None and 0 <= row.number <= 1 and row.label is None
        row.share = float(row.number) if is_share else None  # type: ignore[attr-defined,arg-type]
    return rows


def judged(person: Profile) -> dict[str, Any]:
    """What the published runs say of them: by RFM, which has a place of its own, and by all others."""
    found = scores(person)
    rfm = standing_by_rfm(person.pk, found)
    return {"rfm": rfm, "scores": [one for one in found if rfm is None or one.run.kind != SCORE_KIND]}


def said_of(person: Profile, trait: Trait, *, is_masked: bool) -> list[dict[str, Any]]:
    """What identify calls said of the trait, newest first: the value, when, and by which source."""
    names = EventName.objects.filter(type=EventType.IDENTIFY).values("pk")
    calls = Event.objects.filter(profile_id=person.pk, name_id__in=names, properties__has_key=trait.key)
    rows = list(calls.order_by("-occurred_at", "-message_id")[:MOST_SAID])
    sources = Source.objects.in_bulk({row.source_id for row in rows})
    personal = {trait.key} if trait.is_pii else set()
    said = []
    for row in rows:
        value = {trait.key: row.properties[trait.key]}
        shown = masked_properties(value, personal=personal) if is_masked else value
        said.append(
            {
                "value": shown[trait.key],
                "is_hidden": shown != value,
                "source": sources[row.source_id].name if row.source_id in sources else "",
                "occurred_at": row.occurred_at,
            }
        )
    return said


def neighbours(person: Profile, among: QuerySet[Profile]) -> dict[str, Profile | None]:
    """Who stands next to them in the list of people, by who was seen last."""
    seen, pk = person.last_seen_at, person.pk
    # The bound is said by itself, too: of an OR no range of an index follows.
    later = among.filter(last_seen_at__gte=seen).filter(Q(last_seen_at__gt=seen) | Q(pk__gt=pk))
    earlier = among.filter(last_seen_at__lte=seen).filter(Q(last_seen_at__lt=seen) | Q(pk__lt=pk))
    return {
        "newer": later.order_by("last_seen_at", "pk").only("uuid").first(),
        "older": earlier.order_by("-last_seen_at", "-pk").only("uuid").first(),
    }
