"""Reads of members that screens and the API share, each for a named purpose; of how far and how well members were kept."""

from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from cdp.profiles.models import Profile, Workspace
from consent.models import Purpose
from consent.querysets import permitted
from segments.models import DriftCheck, Membership, Segment, SegmentStatus, SweepState


def sweep_states() -> QuerySet[SweepState]:
    """Up to when segments were swept, of those by the calendar that the workspace has now."""
    return SweepState.objects.filter(time_zone__in=Workspace.objects.values("time_zone"))


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


def drifted(among: QuerySet[Segment]) -> QuerySet[Segment]:
    """Those of the live segments whose newest comparison found drift, with its ``missing``, ``extra`` and ``checked_at``."""
    newest = DriftCheck.objects.filter(segment=OuterRef("pk")).order_by("-checked_at")
    return (
        among.filter(status=SegmentStatus.LIVE)
        .annotate(
            missing=Subquery(newest.values("missing")[:1]),
            extra=Subquery(newest.values("extra")[:1]),
            checked_at=Subquery(newest.values("checked_at")[:1]),
        )
        .filter(Q(missing__gt=0) | Q(extra__gt=0))
        .order_by("name")
    )
