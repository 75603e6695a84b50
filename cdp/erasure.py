"""The story of one person's erasure: what waits > ledger > lock > suppress > keys > what is stored > quarantine > announce.

One transaction tells all of it. Each step is one call into the app that owns it; this file decides only whom, and in which
order locks are taken: requests that wait, rows of the ledger, the person. Consumers, clerks and sweepers who hold one of
the later ones never wait for an earlier one.
"""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import NotFound
from cdp.identity import ledger
from cdp.identity.merging import survivor_of
from cdp.identity.normalise import Identifier
from cdp.identity.services import MovedMeanwhileError
from cdp.identity.suppression import suppress
from cdp.ingestion.erasure import Whose, take_from_inbox, take_from_quarantine
from cdp.profiles import erasure, store
from cdp.profiles.models import DirtyProfile, Profile
from cdp.vault.services import destroy
from consent.merging import forget_states
from consent.notices import forget_showings
from consent.stops import forget_reasons
from segments.lists import forget_entries
from segments.rfm.history import forget_moves


@dataclass(frozen=True, slots=True)
class Erased:
    """Who was erased, and how much there was: events, messages that waited, messages in quarantine; by how many identifiers
    they can't come back, and how many keys were destroyed. ``everybody`` has the numbers of all profiles that were this person, and
    ``uuids`` the public ids by which they could be named.
    """

    uuid: UUID
    events: int
    waiting: int
    quarantined: int
    suppressed: int
    keys: int
    everybody: frozenset[int]
    uuids: frozenset[UUID]


@transaction.atomic
def erase_profile(*, profile: Profile, by: Actor, reason: str, may_return: bool = False) -> Erased | None:
    """Takes away all that is known of a person; None when nobody is known by this profile (any more).

    Whoever absorbed the profile meanwhile is the person now, and is erased. Memberships end, and are announced, by the
    evaluator soon after. Their identifiers are suppressed: what a source goes on to say of them is dropped, until somebody
    lifts that. What was sealed under their keys can't be opened any more.

    Left are what can't be told to be theirs (a message that names nobody, what others' events say of them), the hash by
    which a repeated message is known, and what nothing may change: consent records, which prove what was permitted when;
    membership changes and audit entries, which name the person by an id that leads nowhere now.

    Args:
        reason: for the audit log, which keeps it for ever: the number of the request, say, and nobody's name.
        may_return: what a source goes on to say of the person makes them known anew.

    Raises:
        cdp.vault.ring.VaultUnusable: there is no key to suppress their identifiers by; nothing was done.
    """
    while True:
        try:
            with transaction.atomic():
                return _erase_once(profile.uuid, by, reason, may_return)
        except MovedMeanwhileError:
            continue


def _erase_once(uuid: UUID, by: Actor, reason: str, may_return: bool) -> Erased | None:
    try:
        person = survivor_of(uuid)
    except NotFound:
        return None
    identifiers = _identifiers(person)
    whose = Whose(person.pk, identifiers)
    # First what could be replayed into the inbox, and again what is refused while we wait for consumers.
    quarantined = take_from_quarantine(whose)
    waiting = take_from_inbox(whose)
    everybody = ledger.all_inside(person.pk)
    merges = ledger.merges_of(everybody, lock=True)
    if not store.lock_profiles([person.pk]) or _identifiers(person) != identifiers:
        raise MovedMeanwhileError  # merged away, or known by more or less than what was looked for
    if ledger.all_inside(person.pk) != everybody or ledger.merges_of(everybody) != merges:
        raise MovedMeanwhileError
    uuids = {person.uuid, *ledger.uuids_inside(everybody)}
    quarantined += take_from_quarantine(whose)
    suppressed = 0 if may_return else suppress(whose.theirs)
    keys = destroy(subject_ids=everybody, by=by)
    forget_states(everybody)
    forget_reasons(everybody)
    forget_showings(everybody)
    events = erasure.take_away(everybody)
    forget_entries(everybody)
    forget_moves(everybody)
    ledger.forget_merges(merges)
    DirtyProfile.objects.create(profile_id=person.pk, facts={"why": "erasure", "erased_uuid": str(person.uuid)})
    counts = {"events": events, "waiting": waiting, "quarantined": quarantined, "suppressed": suppressed, "keys": keys}
    erased = Erased(uuid=person.uuid, everybody=frozenset(everybody), uuids=frozenset(uuids), **counts)
    detail = {"reason": reason[:200], **counts}
    record(by=by, action="profile.erased", object=person, detail=detail)
    return erased


def _identifiers(person: Profile) -> set[Identifier]:
    return {Identifier(*pair) for pair in person.identifiers.values_list("namespace", "value")}
