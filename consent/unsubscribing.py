"""One-click unsubscribe (RFC 8058): the headers that a sender puts into a message, and what a click on them does.

Senders are whoever sends messages for a purpose; the address that the headers name is one of people's own pages.
"""

from collections.abc import Callable
from typing import Final

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.errors import Conflict, NotFound
from cdp.profiles import store
from cdp.profiles.models import Profile
from consent.choices import is_stopped
from consent.links import Kind, absolute, token
from consent.models import Decision, Method, Purpose
from consent.services import record_decisions

# What a mail program posts.
FIELD: Final = "List-Unsubscribe"
VALUE: Final = "One-Click"
TRIES: Final = 3
BY = Actor.system("unsubscribe link")


def list_unsubscribe_headers(profile: Profile, purpose: Purpose) -> dict[str, str]:
    """The two headers of a message to this person for this purpose. They must be among those that DKIM signs.

    Raises:
        NoPublicAddress: it isn't known where people reach us.
    """
    address = absolute(reverse("unsubscribe", args=[token(Kind.UNSUBSCRIBE, profile.uuid, purpose.key)]))
    return {"List-Unsubscribe": f"<{address}>", "List-Unsubscribe-Post": f"{FIELD}={VALUE}"}


def unsubscribe(*, person: Profile, purpose: Purpose, again: Callable[[], Profile]) -> bool:
    """Whether anything changed: to say no once more adds nothing, as programs may click more than once.

    Args:
        again: finds the person anew, when they were merged away under our hands.
    """
    if not purpose.is_theirs:
        return False
    for _ in range(TRIES):
        try:
            return _unsubscribe(person, purpose)
        except NotFound:
            person = again()
    raise Conflict("profile_moves", "This profile is being merged over and over.")


@transaction.atomic
def _unsubscribe(person: Profile, purpose: Purpose) -> bool:
    # Locked before looking: of two clicks at once the later one sees the earlier.
    if store.lock_profiles([person.pk]) and is_stopped(person.pk, purpose):
        return False
    decisions = {purpose: Decision.WITHDRAWN}
    record_decisions(profile=person, decisions=decisions, method=Method.UNSUBSCRIBE, at=timezone.now(), by=BY)
    return True
