"""The address that signed links lead to: it gives one file to whoever has its link, and tells nothing else."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from cdp.audit.context import ip_prefix
from cdp.errors import DomainError
from cdp.exports.api import as_answer
from cdp.exports.links import open_link


@require_GET
def fetch_by_link(request: HttpRequest, token: str) -> HttpResponseBase:
    try:
        export, file = open_link(token, ip_prefix=ip_prefix(request.META.get("REMOTE_ADDR")))
    except DomainError as refused:
        headers = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
        return HttpResponse(f"{refused.message}\n", status=refused.status, content_type="text/plain", headers=headers)
    return as_answer(export, file)
