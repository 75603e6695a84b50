"""What somebody decided, as receipts for themselves: a page to read or print, and a file that other programs read.

What a receipt says, and its published forms, are in `consent.receipts`.
"""

from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy

from cdp.audit.actors import Actor
from cdp.errors import Conflict
from cdp.identity import ledger
from cdp.pages.frame import page, person_of, show
from cdp.pages.telling import told_of
from consent.links import Kind, LinkUnknown, Named
from consent.models import ConsentRecord
from consent.notices import content_of
from consent.receipts.facts import receipt_id
from consent.receipts.issuing import Form, controller_of_settings, issue

BY = Actor.system("people's pages")
MOST: Final = 100

DECISIONS: Final[dict[str, Any]] = {
    "granted": gettext_lazy("You said yes"),
    "denied": gettext_lazy("You said no"),
    "withdrawn": gettext_lazy("You took your yes back"),
    "pending": gettext_lazy("You said yes, which waits to be confirmed"),
}
METHODS: Final[dict[str, Any]] = {
    "banner": gettext_lazy("In a banner on a page"),
    "preference_centre": gettext_lazy("On your page of choices"),
    "form": gettext_lazy("In a form"),
    "unsubscribe": gettext_lazy("By one click in a message"),
    "double_opt_in": gettext_lazy("By the link that was sent to you"),
    "gpc": gettext_lazy("By your browser (Global Privacy Control)"),
    "signal": gettext_lazy("By a signal of your browser or app"),
    "privacy_request": gettext_lazy("By a request to us"),
    "merge": gettext_lazy("Two profiles proved to be you; the stricter answer counts"),
    "inherited": gettext_lazy("It follows from a no to what this stands beneath"),
}
BROUGHT: Final = gettext_lazy("It was reported to us by another system")
BASES: Final[dict[str, Any]] = {
    "consent": gettext_lazy("Your consent"),
    "contract": gettext_lazy("A contract with you"),
    "legal_obligation": gettext_lazy("A duty by law"),
    "vital_interests": gettext_lazy("Vital interests"),
    "public_task": gettext_lazy("A task in the public interest"),
    "legitimate_interests": gettext_lazy("Our legitimate interests, to which you can object"),
}


@page(Kind.PREFERENCES)
def receipts(request: HttpRequest, named: Named) -> HttpResponse:
    """All decisions of theirs, newest first; the file with all their data has more, should there be more."""
    found = list(_theirs(named).order_by("-collected_at", "-pk")[: MOST + 1])
    rows = [(one, told_of(one.purpose, one.notice_version), DECISIONS[one.decision]) for one in found[:MOST]]
    context = {"token": named.token, "rows": rows, "has_more": len(found) > MOST, "most": MOST}
    return show(request, "pages/receipts.html", context)


@page(Kind.PREFERENCES)
def receipt(request: HttpRequest, named: Named, record: UUID) -> HttpResponse:
    return _shown(request, named, _one(named, record))


@page(Kind.PREFERENCES)
def file(request: HttpRequest, named: Named, record: UUID) -> HttpResponse:
    """The same for programs: ISO/IEC TS 27560 as JSON-LD, signed where there is a key."""
    one = _one(named, record)
    try:
        issued = issue(uuid=one.uuid, form=Form.ISO_27560, by=BY)
    except Conflict:
        return _shown(request, named, one, status=409)
    return HttpResponse(
        issued.content,
        content_type=issued.media_type,
        headers={"Content-Disposition": f'attachment; filename="{issued.name}"'},
    )


def _shown(request: HttpRequest, named: Named, one: ConsentRecord, *, status: int = 200) -> HttpResponse:
    version = one.notice_version
    try:
        controller = controller_of_settings()
    except Conflict:
        controller = None  # the page says what is on record all the same; the file would be incomplete without it
    context = {
        "token": named.token,
        "one": one,
        "number": receipt_id(one.uuid),
        "told": told_of(one.purpose, version),
        "decision": DECISIONS[one.decision],
        "method": METHODS.get(one.method, BROUGHT),
        "basis": BASES[one.purpose.lawful_basis],
        "has_ended": one.expires_at is not None and one.expires_at <= timezone.now(),
        "content": content_of(version) if version else None,
        "controller": controller,
    }
    return show(request, "pages/receipt.html", context, status=status)


def _theirs(named: Named) -> Any:
    inside = ledger.all_inside(person_of(named).pk)
    records = ConsentRecord.objects.filter(profile_id__in=inside)
    return records.select_related("purpose", "notice_version__notice", "served")


def _one(named: Named, record: UUID) -> ConsentRecord:
    """
    Raises:
        LinkUnknown: there is no such record, or it is somebody else's; the two can't be told apart.
    """
    found: ConsentRecord | None = _theirs(named).filter(uuid=record).first()
    if found is None:
        raise LinkUnknown
    return found
