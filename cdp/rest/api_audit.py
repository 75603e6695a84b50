"""The audit log over REST: who did what, to what, when and for which purpose. Reading it is an act, too.

What proves that nothing was left out or changed is exported on the audit screen.
"""

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.audit.actors import ActorKind
from cdp.audit.models import AuditEntry
from cdp.audit.reading import Sought, matching
from cdp.audit.services import record
from cdp.rest.authentication import actor_of
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.queries import OF_EVERY_LIST, MomentField, Query
from cdp.rest.views import ApiView


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    detail = serializers.JSONField(help_text="What else is to be told of it, by action.")

    class Meta:
        model = AuditEntry
        fields = (
            "id", "recorded_at", "action", "actor_kind", "actor_id", "actor_label", "object_type", "object_id", "purpose",
            "request_id", "ip_prefix", "detail",
        )  # fmt: skip
        read_only_fields = fields


class AuditQuery(Query):
    action = serializers.CharField(required=False, max_length=64, help_text="Such as segment.created.")
    actor_kind = serializers.ChoiceField([kind.value for kind in ActorKind], required=False)
    actor_id = serializers.CharField(required=False, max_length=64)
    object_type = serializers.CharField(required=False, max_length=64, help_text="Such as segments.segment.")
    object_id = serializers.CharField(required=False, max_length=64)
    purpose = serializers.CharField(required=False, max_length=64)
    since = MomentField(required=False)
    until = MomentField(required=False, help_text="The first moment that no longer counts.")


class AuditEntries(ApiView):
    required_scope = Scope.AUDIT_READ
    required_permission = "audit.view_auditentry"
    pagination_class = KeysetPagination
    keyset = ("recorded_at", "id")
    keyset_descends = True

    @extend_schema(
        operation_id="audit_list",
        summary="Read the audit log",
        parameters=[AuditQuery],
        responses=AuditEntrySerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Entries, newest first. Each page that is read is itself on record: which filters were set, not what was looked for."""
        sought = Sought(**AuditQuery.of(request))
        chosen = sorted(set(request.query_params) - OF_EVERY_LIST)
        pages = KeysetPagination()
        with transaction.atomic():
            rows = pages.paginate_queryset(matching(sought).defer("envelope"), request, self)
            record(by=actor_of(request), action="audit.listed", detail={"count": len(rows), "filters": chosen})
        return pages.get_paginated_response(AuditEntrySerializer(rows, many=True).data)
