"""Reading people for a purpose. Default-deny: a person of whom nothing is known is not in the answer."""

from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from cdp.errors import DomainError, Forbidden
from cdp.profiles.models import Profile
from consent.models import ConsentState, ConsentStop, Decision, LawfulBasis, Mode, Purpose, StopKind

# The purpose of counting, of checking, and of looking at one person to help them.
INTERNAL_ANALYSIS = "internal_analysis"
# The purpose of answering one person's request about their own data. It leaves nobody out, not even who objected to
# everything else; so it opens people on their screens and one by one, to whoever may see personal data, and never a
# segment's members.
PRIVACY_RIGHTS = "privacy_rights"
# The platform itself reads people for these, so they can't be taken away.
BUILT_IN = (INTERNAL_ANALYSIS, PRIVACY_RIGHTS)


def purposes_for_lists() -> QuerySet[Purpose]:
    """What many people at once may be read for."""
    return Purpose.objects.exclude(key=PRIVACY_RIGHTS)


def purpose_or_error(key: str | None, *, pointer: str = "/purpose", with_rights: bool = False) -> Purpose:
    """The purpose by this key.

    Args:
        with_rights: whether this is a read of one person, by somebody who may handle privacy requests.

    Raises:
        DomainError: none was named, or there is none by that name. The message lists what there is.
        Forbidden: it is `PRIVACY_RIGHTS`, and this is no such read.
    """
    if key == PRIVACY_RIGHTS and not with_rights:
        raise Forbidden(
            "purpose_not_open",
            f"{PRIVACY_RIGHTS} opens single people to who may see personal data unmasked, and never members or samples.",
            pointer,
        )
    known = {p.key: p for p in (Purpose.objects.all() if with_rights else purposes_for_lists())}
    if not key:
        raise DomainError(
            "purpose_missing",
            f"Say what the people are read for: purpose is one of {', '.join(sorted(known))}.",
            pointer,
        )
    if key not in known:
        raise DomainError(
            "purpose_unknown", f"purpose must be one of {', '.join(sorted(known))}; received an unknown one.", pointer
        )
    return known[key]


def stopped_by(purpose: Purpose) -> frozenset[StopKind]:
    """The kinds of stops that reach the purpose. Told once more by the view `consent_stopped`, for compiled rules."""
    if purpose.key == PRIVACY_RIGHTS:
        return frozenset()
    kinds = {StopKind.RESTRICTION}
    if purpose.covers_profiling:
        kinds.add(StopKind.PROFILING)
    if purpose.lawful_basis in (LawfulBasis.LEGITIMATE_INTERESTS, LawfulBasis.PUBLIC_TASK):
        kinds.add(StopKind.LEGITIMATE_INTERESTS)
    return frozenset(kinds)


def permitted(profiles: QuerySet[Profile], purpose: Purpose, *, at: datetime | None = None) -> QuerySet[Profile]:
    """Those of the profiles that permit this purpose now, by the database's clock; or at the moment ``at``.

    Whoever is stopped for it (`consent.stops`) isn't among them, whatever they decided. A stop has no past here: it holds while
    it holds. A rule that asks for the purpose takes in the same people (`segments.rules.standing`).
    """
    if kinds := stopped_by(purpose):
        # Of the table, not of the view: the purpose is known, so there is nothing to join each stop with.
        stopped = ConsentStop.objects.filter(profile_id=OuterRef("pk"), lifted_at=None, kind__in=sorted(kinds))
        profiles = profiles.exclude(Exists(stopped))
    if purpose.mode == Mode.NOTICE_ONLY:
        return profiles
    states = ConsentState.objects.filter(profile=OuterRef("pk"), purpose=purpose)
    if purpose.mode == Mode.OPT_IN:
        goes_on = Q(expires_at__isnull=True) | Q(expires_at__gt=Now() if at is None else at)
        return profiles.filter(Exists(states.filter(goes_on, decision=Decision.GRANTED)))
    return profiles.exclude(Exists(states.exclude(decision=Decision.GRANTED)))
