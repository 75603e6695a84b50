"""Reads of members that screens and the API share. Each names the purpose it is for."""

from django.db.models import F, Q, QuerySet

from cdp.profiles.models import Profile
from consent.models import Purpose
from consent.querysets import permitted
from segments.models import Membership, Segment


def members_of(segment: Segment, purpose: Purpose, *, after: int = 0) -> QuerySet[Membership]:
    """Memberships of those who permit the purpose now, each with its profile; only of profile ids past ``after``.

    Built on memberships, not on profiles: pages in the order of ``profile_id`` then walk the index of this segment
    alone. The bound stands on both sides: PostgreSQL draws no inequality through a join, and would read from the start.
    """
    who = permitted(Profile.objects.filter(pk__gt=after).order_by(), purpose)
    return Membership.objects.filter(
        segment=segment, profile_id__gt=after, profile__in=who.values("pk")
    ).select_related("profile")


def segments_of(profile: Profile, among: QuerySet[Segment]) -> QuerySet[Segment]:
    """Those of the segments the person is in, each with ``entered_at``."""
    return among.filter(Q(memberships__profile=profile)).annotate(entered_at=F("memberships__entered_at"))
