"""What the settings of a segment ask for beside its name and pace: owner, tags, folder, purposes. The page is `segments.admin`'s."""

from typing import Any

from django.http import HttpRequest

from cdp.errors import DomainError
from consent.querysets import purposes_for_lists
from segments import views
from segments.details import possible_owners
from segments.models import Segment
from segments.screens.listing import choices


def given(request: HttpRequest, segment: Segment) -> dict[str, Any]:
    """What the form sent of them, for `change_details`; what it left out stays.

    Raises:
        DomainError: the owner that was chosen may not see the segment.
    """
    sent: dict[str, Any] = {}
    if "tags" in request.POST:
        sent["tags"] = request.POST["tags"].split(",")
    if "folder" in request.POST:
        sent["folder"] = request.POST["folder"]
    if "has_purposes" in request.POST:  # an unticked box sends nothing
        sent["purposes"] = request.POST.getlist("meant_for")
    if "has_public" in request.POST:
        sent["is_public"] = "is_public" in request.POST
    if owner := request.POST.get("owner", ""):
        chosen = possible_owners(segment).filter(pk=int(owner)) if owner.isdecimal() and len(owner) < 10 else None
        sent["owner"] = chosen.first() if chosen is not None else None
        if sent["owner"] is None:
            said = "This owner may not see the segment. Share it with them first, under “Who may see it”."
            raise DomainError("owner_may_not_see", said, "/owner")
    return sent


def page(request: HttpRequest, segment: Segment) -> dict[str, Any]:
    """For the template: what can be chosen, and what is chosen now or was before it was refused."""
    posted = request.POST if request.method == "POST" and "tags" in request.POST else None
    meant_for = set(posted.getlist("meant_for")) if posted else {one.key for one in segment.purposes.all()}
    owner = posted.get("owner", "") if posted else str(segment.owner_id or "")
    visible = views.visible_to(request)
    return {
        "purposes": [(one, one.key in meant_for) for one in purposes_for_lists()],
        "owner_choices": [(one, str(one.pk) == owner) for one in possible_owners(segment)],
        "tags_text": posted["tags"] if posted else ", ".join(segment.tags),
        "folder": posted.get("folder", "") if posted else segment.folder,
        "is_public": "is_public" in posted if posted else segment.is_public,
        "folders": choices(visible)["folders"],
    }
