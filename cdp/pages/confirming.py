"""The page on which somebody confirms a yes (double opt-in). Opening it does nothing: programs that scan mail open links, too."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.errors import Conflict, NotFound
from cdp.identity import ledger
from cdp.pages.frame import page, show
from cdp.pages.telling import told_of
from consent.confirming import confirm, has_said_no_since
from consent.links import Kind, LinkUnknown, Named
from consent.models import Confirmation

BY = Actor.system("confirmation link")


@page(Kind.CONFIRMATION)
def view(request: HttpRequest, named: Named) -> HttpResponse:
    link = (
        Confirmation.objects.select_related("record__purpose", "record__notice_version").filter(pk=named.uuid).first()
    )
    profile_id = ledger.now_known_as(link.record.profile_id) if link else None
    if link is None or profile_id is None:
        raise LinkUnknown
    told = told_of(link.record.purpose, link.record.notice_version)
    if request.method == "POST":
        try:
            confirm(confirmation_id=link.pk, at=timezone.now(), by=BY, profile_id=profile_id)
        except NotFound:
            raise LinkUnknown from None  # gone since the look above
        except Conflict as refused:
            return show(request, "pages/confirm.html", {"told": told, "why": refused.code}, status=409)
        return show(request, "pages/confirm.html", {"told": told, "is_done": True})
    return show(request, "pages/confirm.html", {"told": told, "why": _why_not(link, profile_id)})


def _why_not(link: Confirmation, profile_id: int) -> str:
    """The code of what `confirm` would say, so that nobody presses a button in vain."""
    if link.used_at is not None:
        return "confirmation_used"
    if timezone.now() >= link.expires_at:
        return "confirmation_ended"
    return "withdrawn_since" if has_said_no_since(link.record, profile_id) else ""
