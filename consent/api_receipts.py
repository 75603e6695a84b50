"""Receipts over REST: what somebody decided, in a form that they or their software can keep.

A receipt names a person by our id, and is given of those, too, who objected to everything else. So it is read for answering
people about their own data, by who may see personal data.
"""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiResponse, OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from cdp.rest.authentication import actor_of
from cdp.rest.models import Scope
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from consent.receipts.issuing import Form, form_or_error, issue


class ReceiptQuery(Query):
    format = serializers.CharField(
        required=False, default=str(Form.ISO_27560), help_text=f"One of {', '.join(Form)}; the first, if left out."
    )


class ConsentReceipt(ApiView):
    required_scope = Scope.PROFILES_REVEAL
    required_permission = "profiles.reveal_pii"

    @extend_schema(
        operation_id="consents_receipt",
        summary="Issue a receipt of a consent record",
        parameters=[ReceiptQuery],
        responses={
            (200, "application/ld+json"): OpenApiResponse(OpenApiTypes.OBJECT, "ISO/IEC TS 27560 in terms of W3C DPV."),
            (200, "application/json"): OpenApiResponse(OpenApiTypes.OBJECT, "Kantara KI-CR-v1.1.0."),
            (200, "application/jwt"): OpenApiResponse(OpenApiTypes.STR, "The same, signed."),
        },
    )
    def get(self, request: Request, uuid: Any) -> HttpResponse:
        """What was decided, when and on which words. `iso-27560` is signed (Data Integrity, eddsa-jcs-2022) where the
        installation has a key; of the Kantara forms `kantara-jwt` is. Those are of a yes only."""
        wanted = ReceiptQuery.of(request)
        issued = issue(uuid=uuid, form=form_or_error(wanted["format"]), by=actor_of(request))
        return HttpResponse(
            issued.content,
            content_type=issued.media_type,
            headers={
                "Content-Disposition": f'attachment; filename="{issued.name}"',
                "Cache-Control": "no-store, private",
            },
        )
