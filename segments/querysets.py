"""Reads of members that screens and the API share. Each names the purpose it is for."""

from django.db.models import F, Q, QuerySet

from cdp.profiles.models import Profile
from consent.models import Purpose
from consent.querysets import permitted
from segments.models import Segment


def members_of(segment: Segment, purpose: Purpose) -> QuerySet[Profile]:
    """Members who permit the purpose now, each with ``entered_at``."""
    return permitted(Profile.objects.filter(memberships__segment=segment), purpose).annotate(
        entered_at=F("memberships__entered_at")
    )


def segments_of(profile: Profile, among: QuerySet[Segment]) -> QuerySet[Segment]:
    """Those of the segments the person is in, each with ``entered_at``."""
    return among.filter(Q(memberships__profile=profile)).annotate(entered_at=F("memberships__entered_at"))
