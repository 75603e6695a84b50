"""Taking an identifier away from somebody whose it isn't: a wrong address, a number that belongs to somebody else by now.

What was said and done under it stays theirs: whoever finds that it is another person's parts a merge (`cdp.identity.merging`). A
source that goes on saying it of them brings it back, so it is to be corrected there, too.
"""

from collections.abc import Collection

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import Act, record_all
from cdp.errors import Conflict, NotFound
from cdp.identity.normalise import Identifier as Named
from cdp.profiles import store
from cdp.profiles.models import DirtyProfile, Identifier, Profile


@transaction.atomic
def remove_identifiers(*, profile: Profile, identifiers: Collection[Named], by: Actor, why: str = "") -> int:
    """How many were theirs, and are nobody's now. On record is of which namespace, and not what it was.

    Args:
        why: the number of a request, say, and nobody's name.

    Raises:
        Conflict: they would be left with none, and nobody could find them again: that is an erasure.
        NotFound: they were merged away meanwhile.
    """
    if not store.lock_profiles([profile.pk]):
        raise NotFound("profile_not_found", "This profile was merged into another one meanwhile.")
    held = {Named(one.namespace, one.value): one.pk for one in Identifier.objects.filter(profile_id=profile.pk)}
    wrong = sorted(held.keys() & set(identifiers))
    if not wrong:
        return 0
    if len(wrong) == len(held):
        raise Conflict("last_identifier", "They are known by nothing else; add what is right first, or erase them.")
    Identifier.objects.filter(pk__in=[held[one] for one in wrong]).delete()
    record_all(
        by=by,
        acts=[
            Act(
                "profile.identifier_removed",
                "profiles.profile",
                str(profile.uuid),
                detail={"namespace": one.namespace, "why": why[:100]},
            )
            for one in wrong
        ],
    )
    DirtyProfile.objects.create(profile_id=profile.pk, facts={"why": "edit"})
    return len(wrong)
