"""Double opt-in: a yes that somebody gave in a form counts once it is confirmed by a link that was sent to them.

The link carries the id of a `Confirmation` and nothing about the person; signing and sending are the callers'. It works once,
until it ends, and not after a no: who withdrew meanwhile isn't taken back in by an old message.
"""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.errors import Conflict, NotFound
from cdp.profiles import store
from consent.models import Confirmation, ConsentRecord, Decision, Method, Reach
from consent.reliance import tell_of_decisions
from consent.services import GUARDIAN, Said, append_consents


@transaction.atomic
def confirm(*, confirmation_id: UUID, at: datetime, by: Actor, profile_id: int | None = None) -> ConsentRecord:
    """The pending record that counts from now on, as a yes of its own.

    Args:
        profile_id: who they are by now, where they were merged into somebody since; else whoever said it.

    Raises:
        NotFound: there is no such link, or the person is gone.
        Conflict: it was used, it has ended, or the person has said no since.
    """
    # People before links: so do all who write decisions.
    found = Confirmation.objects.select_related("record__purpose").filter(pk=confirmation_id).first()
    if found is None:
        raise NotFound("confirmation_not_found", "This link leads to nothing. Ask for a new one.")
    profile_id = profile_id or found.record.profile_id
    if not store.lock_profiles([profile_id]):
        raise NotFound("confirmation_not_found", "This link leads to nothing. Ask for a new one.")
    link = Confirmation.objects.select_for_update().get(pk=found.pk)
    pending = found.record
    if link.used_at is not None:
        raise Conflict("confirmation_used", "This was confirmed already. There is nothing left to do.")
    if at >= link.expires_at:
        raise Conflict("confirmation_ended", "This link has ended. Say yes once more to get a new one.")
    if has_said_no_since(pending, profile_id):
        raise Conflict("withdrawn_since", "You have said no since. Say yes once more if you have changed your mind.")
    Confirmation.objects.filter(pk=link.pk).update(used_at=at)
    said = Said(
        profile_id,
        pending.purpose_id,
        Decision.GRANTED,
        at,
        Method.DOUBLE_OPT_IN,
        evidence={"confirms": str(pending.uuid)},
        notice_version_id=pending.notice_version_id,
        served_id=pending.served_id,
        jurisdiction=pending.jurisdiction,
        by_guardian=pending.evidence.get("by") == GUARDIAN,
    )
    tell_of_decisions(append_consents(said=[said], by=by))
    return pending


def has_said_no_since(pending: ConsentRecord, profile_id: int) -> bool:
    """Whether they, or whoever they were when they said yes, have taken it back."""
    noes = (Decision.DENIED, Decision.WITHDRAWN)
    return ConsentRecord.objects.filter(
        profile_id__in={profile_id, pending.profile_id},
        purpose=pending.purpose_id,
        reach=Reach.PERSON,
        decision__in=noes,
        collected_at__gte=pending.collected_at,
    ).exists()
