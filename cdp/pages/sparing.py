"""Why a link to confirm isn't sent, or not yet: there is no longer any reason, or the person was written to enough for now.

Anybody can type somebody else's address into a form, as often as they like; whoever is written to then has asked for nothing.
"""

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q, QuerySet

from cdp.identity import ledger
from cdp.profiles.models import Profile
from consent.confirming import has_said_no_since
from consent.models import Confirmation, ConsentState, Decision

# Long enough for the first message to arrive, short enough for who has lost it.
APART: Final = timedelta(minutes=10)
DAY: Final = timedelta(days=1)
MOST_A_DAY: Final = 3
MOST_A_DAY_IN_ALL: Final = 9


def why_over(link: Confirmation, person: Profile) -> str:
    """The code of what makes this link needless, for good; empty where somebody waits for it."""
    pending = link.record
    if has_said_no_since(pending, person.pk):
        return "withdrawn_since"
    state = ConsentState.objects.filter(profile_id=person.pk, purpose=pending.purpose_id).first()
    if state and state.decision == Decision.GRANTED and state.collected_at >= pending.collected_at:
        return "confirmed_since"
    at = pending.collected_at
    later = Q(record__collected_at__gt=at) | Q(record__collected_at=at, record_id__gt=pending.pk)
    newer = _links_of(person).filter(later, record__purpose=pending.purpose_id, used_at__isnull=True)
    return "superseded" if newer.exists() else ""


def not_before(link: Confirmation, person: Profile, *, now: datetime) -> datetime | None:
    """When they may be written to again; None if that is now."""
    links = _links_of(person).filter(sent_at__gt=now - DAY).select_related("record").order_by("-sent_at")
    sent = [(one.sent_at, one.record.purpose_id) for one in links[:MOST_A_DAY_IN_ALL] if one.sent_at is not None]
    of_this = [at for at, purpose_id in sent if purpose_id == link.record.purpose_id]
    waits = [of_this[0] + APART] if of_this else []
    waits += [of_this[MOST_A_DAY - 1] + DAY] if len(of_this) >= MOST_A_DAY else []
    waits += [sent[MOST_A_DAY_IN_ALL - 1][0] + DAY] if len(sent) >= MOST_A_DAY_IN_ALL else []
    until = max(waits, default=now)
    return until if until > now else None


def _links_of(person: Profile) -> QuerySet[Confirmation]:
    return Confirmation.objects.filter(record__profile_id__in=ledger.all_inside(person.pk))
