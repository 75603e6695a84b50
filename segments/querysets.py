"""Reads of members that screens and the API share. Each names the purpose it is for."""

from django.db.models import F, Q, QuerySet

from cdp.profiles.models import Profile
from consent.models import Purpose
from consent.querysets import permitted
from segments.models import Membership, Segment


def members_of(segment: Segment, purpose: Purpose) -> QuerySet[Membership]:
    """Memberships of those who permit the purpose now, each with its profile.

    Built on memberships, not on profiles: pages in the order of ``profile_id`` then walk the index of this segment alone.
    """
    who = permitted(Profile.objects.order_by(), purpose)
    return Membership.objects.filter(segment=segment, profile__in=who.values("pk")).select_related("profile")


def segments_of(profile: Profile, among: QuerySet[Segment]) -> QuerySet[Segment]:
    """Those of the segments the person is in, each with ``entered_at``."""
    return among.filter(Q(memberships__profile=profile)).annotate(entered_at=F("memberships__entered_at"))
