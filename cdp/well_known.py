"""What a site says of itself at addresses that standards name (RFC 8615). Whether it honours Global Privacy Control, so far."""

from datetime import date

from django.conf import settings
from django.http import HttpRequest, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase

from consent.signals.gpc import document


def gpc(request: HttpRequest) -> HttpResponseBase:
    """That this site acts on the signal, and since when it has the stance that it has."""
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET", "HEAD"])
    response = JsonResponse(document(date.fromisoformat(settings.GPC_SINCE)))
    response["Cache-Control"] = "public, max-age=86400"
    # Extensions read it from the pages of the site and from their own.
    response["Access-Control-Allow-Origin"] = "*"
    return response
