"""Unsubscribing by one click: mail programs post to this address by themselves (RFC 8058), people find one button there."""

from django.http import HttpRequest, HttpResponse

from cdp.pages.frame import page, person_of, show
from cdp.pages.language import asked_for
from cdp.pages.telling import NOTICE, told_of
from consent.links import Kind, LinkUnknown, Named
from consent.models import Purpose
from consent.notices import newest
from consent.unsubscribing import FIELD, VALUE, unsubscribe


@page(Kind.UNSUBSCRIBE)
def view(request: HttpRequest, named: Named) -> HttpResponse:
    purpose = Purpose.objects.filter(key=named.about).first()
    if purpose is None:
        raise LinkUnknown
    person = person_of(named)
    told = told_of(purpose, newest(notice_key=NOTICE, locales=[asked_for(request)]))
    if request.method != "POST":
        return show(request, "pages/unsubscribe.html", {"told": told, "field": FIELD, "value": VALUE})
    # Whatever else posts here has not been told to unsubscribe anybody.
    if request.POST.get(FIELD) != VALUE:
        return show(request, "pages/unsubscribe.html", {"told": told, "field": FIELD, "value": VALUE}, status=400)
    unsubscribe(person=person, purpose=purpose, again=lambda: person_of(named))
    return show(request, "pages/unsubscribe.html", {"told": told, "is_done": True})
