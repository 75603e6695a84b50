"""Consent over REST: reporting what people decided, and reading what one person permits, and all they ever decided.

What is told of one person leaves nobody out, not even who objects to everything: whoever must honour a no has to read it. So
it takes a scope of its own, says nothing else of them, and is on record.
"""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.audit.services import record
from cdp.collecting.reading import ConsentInputs, LoneConsentInput, read_choices
from cdp.collecting.services import Recorded, collect
from cdp.errors import DomainError
from cdp.identity import ledger
from cdp.profiles.models import Profile
from cdp.rest.authentication import actor_of
from cdp.rest.models import Scope
from cdp.rest.pagination import KeysetPagination
from cdp.rest.permissions import sees_unmasked
from cdp.rest.queries import MomentField, Query
from cdp.rest.views import ApiView
from cdp.vault.ring import VaultUnusable
from consent import consent_mode_export
from consent.evidence import opened
from consent.models import ConsentRecord, Decision, NoticeVersion
from consent.moments import Held, Standing, held_at, held_now
from consent.querysets import PRIVACY_RIGHTS
from segments.api_people import find

IDENTIFIER = OpenApiParameter(
    "identifier",
    str,
    OpenApiParameter.PATH,
    description="`namespace:value`, percent-encoded: user_id, email, anonymous_id, an external id's type, or uuid.",
)


class NoticeShownSerializer(serializers.ModelSerializer[NoticeVersion]):
    """What they had been told."""

    key = serializers.CharField(source="notice.key")
    version = serializers.IntegerField(source="number")

    class Meta:
        model = NoticeVersion
        fields = ("key", "version", "locale", "sha256")
        read_only_fields = fields


class RecordedSerializer(serializers.Serializer[Recorded]):
    """What became of one decision."""

    uuid = serializers.UUIDField(help_text="The platform's id of the person.")
    record = serializers.UUIDField(source="record.uuid", help_text="The id of the record.")
    purpose = serializers.CharField(source="record.purpose.key")
    decision = serializers.ChoiceField(
        Decision.choices,
        source="record.decision",
        help_text="As recorded: a yes may have to be confirmed first (pending).",
    )
    awaits = serializers.SerializerMethodField(help_text="What a pending yes awaits: confirmation, or guardian.")
    refused = serializers.SerializerMethodField(help_text="Why a yes was recorded as a no: too_young.")
    is_repeat = serializers.BooleanField(help_text="It was on record already, and nothing was written.")

    def get_awaits(self, recorded: Recorded) -> str | None:
        return recorded.record.evidence.get("awaits")

    def get_refused(self, recorded: Recorded) -> str | None:
        return recorded.record.evidence.get("refused")


class AllRecordedSerializer(serializers.Serializer[Any]):
    results = RecordedSerializer(many=True)


class PendingSerializer(serializers.Serializer[Any]):
    """A yes that doesn't count yet."""

    since = serializers.DateTimeField()
    awaits = serializers.CharField()


class HeldSerializer(serializers.Serializer[Held]):
    """How a person stands to one purpose."""

    purpose = serializers.CharField(source="purpose.key")
    permits = serializers.BooleanField(help_text="Whether they may be read, or reached, for it.")
    standing = serializers.ChoiceField([(one.value, one.value) for one in Standing])
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True, help_text="Until when the yes holds.")
    method = serializers.CharField(source="record.method", default=None, allow_null=True)
    jurisdiction = serializers.CharField(source="record.jurisdiction", default="")
    notice = NoticeShownSerializer(source="record.notice_version", default=None, allow_null=True)
    pending = PendingSerializer(allow_null=True, default=None)


class PersonConsentSerializer(serializers.Serializer[Any]):
    """What one person permits."""

    uuid = serializers.UUIDField()
    at = serializers.DateTimeField(help_text="As of when.")
    known_at = serializers.DateTimeField(allow_null=True, help_text="Counting only what was known by then.")
    purposes = HeldSerializer(many=True)


class ConsentHistorySerializer(serializers.ModelSerializer[ConsentRecord]):
    """One decision as it was made, and as it was learned."""

    purpose = serializers.CharField(source="purpose.key")
    notice = NoticeShownSerializer(source="notice_version", allow_null=True)
    evidence = serializers.DictField(help_text="Facts that tell nothing personal.")
    personal = serializers.SerializerMethodField(help_text="The rest, if you may see it; null otherwise.")
    personal_is = serializers.SerializerMethodField(
        help_text="none, hidden, shown, or destroyed with the person's key."
    )

    class Meta:
        model = ConsentRecord
        fields = (
            "uuid", "purpose", "decision", "reach", "method", "collected_at", "recorded_at", "expires_at", "jurisdiction",
            "notice", "served", "evidence", "personal", "personal_is",
        )  # fmt: skip
        read_only_fields = fields

    def get_personal(self, one: ConsentRecord) -> dict[str, Any] | None:
        return self.context["opened"].get(one.pk)

    def get_personal_is(self, one: ConsentRecord) -> str:
        if one.sealed_evidence is None:
            return "none"
        if one.pk not in self.context["opened"]:
            return "hidden"
        return "destroyed" if self.context["opened"][one.pk] is None else "shown"


class MomentQuery(Query):
    at = MomentField(required=False, help_text="As of when; now, if left out.")
    known_at = MomentField(required=False, help_text="Counting only what had been learned by then.")


class HistoryQuery(Query):
    purpose = serializers.CharField(max_length=64, required=False)


class ConsentModeSerializer(serializers.Serializer[Any]):
    """The map that Google's tags take: `gtag('consent', 'update', consent_mode)`."""

    uuid = serializers.UUIDField()
    consent_mode = serializers.DictField(child=serializers.ChoiceField([("granted", "granted"), ("denied", "denied")]))


ONE_YES = OpenApiExample(
    "A yes in a form",
    value={
        "user": {"namespace": "email", "value": "ann@example.com"},
        "purpose": "marketing_email",
        "decision": "granted",
        "collected_at": "2026-11-21T08:00:00Z",
        "method": "form",
        "notice": {"key": "newsletter", "version": 3, "locale": "de-CH"},
        "evidence": {"form": "footer", "ip": "203.0.113.7", "fields": {"newsletter": "on"}},
        "create": True,
    },
    request_only=True,
)
MANY = OpenApiExample(
    "Two decisions at once",
    value={
        "decisions": [
            {
                "user": {"namespace": "user_id", "value": "42"},
                "purpose": "sms",
                "decision": "withdrawn",
                "collected_at": "2026-11-21T08:00:00Z",
            },
            {
                "user": {"namespace": "user_id", "value": "43"},
                "purpose": "personalisation",
                "decision": "granted",
                "collected_at": "2026-11-21T08:00:00Z",
                "jurisdiction": "FR",
                "guardian": {"how": "credit card check", "who": "mother", "at": "2026-11-21T07:59:00Z"},
            },
        ]
    },
    request_only=True,
)
RECORDED = OpenApiExample(
    "It awaits their confirmation",
    value={
        "results": [
            {
                "uuid": "01910f3c-6b5e-7cc0-8000-5f2d3a1b4c6d",
                "record": "7f8b2c9e-1f3a-4c43-9d2a-0a5c7e1b2d3f",
                "purpose": "marketing_email",
                "decision": "pending",
                "awaits": "confirmation",
                "refused": None,
                "is_repeat": False,
            }
        ]
    },
    response_only=True,
)


class Consents(ApiView):
    required_scope = {"POST": Scope.CONSENTS_WRITE}
    required_permission = {"POST": "consent.add_consentrecord"}

    @extend_schema(
        operation_id="consents_record",
        summary="Report what people decided",
        request=PolymorphicProxySerializer(
            component_name="NewConsents",
            serializers=[LoneConsentInput, ConsentInputs],
            resource_type_field_name=None,
        ),
        responses={201: AllRecordedSerializer},
        examples=[ONE_YES, MANY, RECORDED],
    )
    def post(self, request: Request) -> Response:
        """Record one decision, or up to 1,000 as `decisions`: all of them, or none and every error with its place. The same
        decision at the same moment by the same method is no second record, so sending it again is harmless. A withdrawal
        holds from the next read on. Who isn't known answers 404, unless `create` is true."""
        choices, create = read_choices(request.data)
        try:
            done = collect(choices=choices, by=actor_of(request), create=create)
        except VaultUnusable:
            message = "Evidence can't be sealed here at present, so nothing was recorded. Send it again later."
            raise DomainError("evidence_not_sealable", message, status=503) from None
        return Response(AllRecordedSerializer({"results": done}).data, status=status.HTTP_201_CREATED)


class PersonConsent(ApiView):
    required_scope = Scope.CONSENTS_READ
    required_permission = "consent.view_consentrecord"

    @extend_schema(
        operation_id="consents_current",
        summary="What a person permits",
        parameters=[IDENTIFIER, MomentQuery],
        responses=PersonConsentSerializer,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """For each purpose what holds: decision, since when and until when, and what they had been told. With `at`, what held
        then by all that is known; with `known_at`, by what had reached us. Nobody is left out of this read."""
        asked = MomentQuery.of(request)
        namespace, person = find(identifier)
        now = timezone.now()
        at, known_at = asked.get("at"), asked.get("known_at")
        if (at or now) > now or (known_at or now) > now:
            raise DomainError(
                "moment_ahead", "What will be permitted isn't known.", "/at" if at and at > now else "/known_at"
            )
        if at is None and known_at is None:
            held = held_now(profile_id=person.pk, now=now)
        else:
            held = held_at(profile_id=person.pk, at=at or now, known_at=known_at)
        moments = {name: moment.isoformat() for name, moment in asked.items()}
        _on_record(request, person, "profile.consent_read", {"by": namespace, **moments})
        pending = _pending(person.pk, held) if at is None and known_at is None else {}
        rows = [HeldSerializer(one).data | {"pending": pending.get(one.purpose.pk)} for one in held]
        return Response({"uuid": person.uuid, "at": at or now, "known_at": known_at, "purposes": rows})


class PersonConsentHistory(ApiView):
    required_scope = Scope.CONSENTS_READ
    required_permission = "consent.view_consentrecord"
    pagination_class = KeysetPagination
    keyset = ("id",)
    keyset_descends = True

    @extend_schema(
        operation_id="consents_history",
        summary="All that a person decided",
        parameters=[IDENTIFIER, HistoryQuery],
        responses=ConsentHistorySerializer(many=True),
    )
    def get(self, request: Request, identifier: str) -> Response:
        """Every decision on record, newest learned first; of everybody who was merged into them, too. Personal evidence comes
        with the scope `profiles:reveal`."""
        asked = HistoryQuery.of(request)
        namespace, person = find(identifier)
        records = ConsentRecord.objects.filter(profile_id__in=ledger.all_inside(person.pk))
        if "purpose" in asked:
            records = records.filter(purpose__key=asked["purpose"])
        pages = KeysetPagination()
        rows = pages.paginate_queryset(records.select_related("purpose", "notice_version__notice"), request, self)
        is_masked = not sees_unmasked(request)
        told = {} if is_masked else opened(rows)
        detail = {"by": namespace, "masked": is_masked, "count": len(rows), "is_next": bool(pages.cursor)}
        _on_record(request, person, "profile.consent_history_read", detail)
        return pages.get_paginated_response(ConsentHistorySerializer(rows, many=True, context={"opened": told}).data)


class PersonConsentMode(ApiView):
    required_scope = Scope.CONSENTS_READ
    required_permission = "consent.view_consentrecord"

    @extend_schema(
        operation_id="consents_consent_mode",
        summary="A person's consent in Google's words",
        parameters=[IDENTIFIER],
        responses=ConsentModeSerializer,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """Consent Mode v2, worked out from what the person permits now: each of Google's types is denied until all it needs
        is granted. Only storage for security is always granted."""
        Query.of(request)
        namespace, person = find(identifier)
        held = held_now(profile_id=person.pk, now=timezone.now())
        _on_record(request, person, "profile.consent_read", {"by": namespace, "as": "consent_mode"})
        return Response({"uuid": person.uuid, "consent_mode": consent_mode_export.of_person(held)})


def _pending(profile_id: int, held: list[Held]) -> dict[int, dict[str, Any]]:
    """Purpose -> the newest yes that doesn't count yet, where nothing newer was said."""
    since: dict[int, datetime] = {one.purpose.pk: one.since for one in held if one.since is not None}
    waiting = ConsentRecord.objects.filter(profile_id=profile_id, decision=Decision.PENDING, evidence__has_key="awaits")
    found: dict[int, dict[str, Any]] = {}
    for one in waiting.order_by("collected_at", "pk"):
        if one.purpose_id not in since or one.collected_at > since[one.purpose_id]:
            found[one.purpose_id] = {"since": one.collected_at, "awaits": one.evidence["awaits"]}
    return found


@transaction.atomic
def _on_record(request: Request, person: Profile, action: str, detail: dict[str, Any]) -> None:
    record(by=actor_of(request), action=action, object=person, purpose=PRIVACY_RIGHTS, detail=detail)
