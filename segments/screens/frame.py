"""What the pages of one segment share: who may open them, and what stands around them."""

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from cdp.audit.admin_base import reader_of
from segments import services, views
from segments.history import entered_and_left
from segments.models import Segment
from segments.sharing import may


def segment_or_404(request: HttpRequest, uuid: UUID) -> Segment:
    """The segment, if this reader may see it."""
    segment = views.visible_to(request).select_related("owner", "live_version").filter(uuid=uuid).first()
    if segment is None:
        raise Http404
    return segment


def demand(request: HttpRequest, segment: Segment, codename: str) -> None:
    """Refuses who may see the segment, but not this."""
    if not may(reader_of(request), codename, segment):
        raise PermissionDenied


def frame(request: HttpRequest, segment: Segment) -> dict[str, Any]:
    """What every page of one segment shows: how it stands, and what this reader may do to it."""
    job = views.refresh_job_of(segment)
    # After the job: one that ends in between would be shown as done, with the count from before it, and for good.
    segment.refresh_from_db(fields=["member_count"])
    users = services.users_of(segment)
    visible = set(views.visible_to(request).filter(pk__in=[user.pk for user in users]))
    visible_users = [user for user in users if user in visible]
    return {
        "segment": segment,
        "newest": segment.versions.first(),
        "users": visible_users,
        "hidden_users": len(users) - len(visible_users),
        "job": job,
        "purposes_meant": list(segment.purposes.all()),
        "flow": entered_and_left(segment, days=7),
        "may_change": may(reader_of(request), "change_segment", segment),
        "may_read": may(reader_of(request), "view_members", segment),
        "may_refresh": may(reader_of(request), "refresh_segment", segment),
        "may_delete": may(reader_of(request), "delete_segment", segment),
    }
