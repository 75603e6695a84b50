"""Looking one person up while a page is made for them: segments, scores, persona, RFM group, and what slots say to them."""

from datetime import datetime
from typing import Any, Final

from django.core.validators import slug_re
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.content.counting import counter
from cdp.content.deciding import Decision, decide, segments_asked
from cdp.content.models import Slot
from cdp.errors import DomainError
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.permissions import demand_purpose
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from consent.querysets import purpose_or_error
from segments.api_people import InSegmentSerializer
from segments.lookup import Standing, look_up, look_up_many

MOST_SLOTS: Final = 20


class LookupQuery(Query):
    purpose = serializers.CharField(
        max_length=64, required=False, help_text="What the person is read for: the key of a purpose."
    )
    slots = serializers.CharField(
        max_length=1300, required=False, help_text=f"Keys of slots, with commas between them; {MOST_SLOTS} at most."
    )


class ScoreSerializer(serializers.Serializer[Any]):
    number = serializers.FloatField(allow_null=True)
    label = serializers.CharField(allow_null=True)  # type: ignore[assignment]


class SlotContentSerializer(serializers.Serializer[Any]):
    variant = serializers.CharField(
        allow_null=True, help_text="Its name; null where it is what the slot says by default."
    )
    content = serializers.JSONField(allow_null=True)
    version = serializers.IntegerField(help_text="Of the slot.")


class LookupSerializer(serializers.Serializer[Any]):
    """How somebody stands who permits the purpose."""

    uuid = serializers.UUIDField()
    purpose = serializers.CharField()
    segments = InSegmentSerializer(many=True, help_text="Those you may see, by key.")
    scores = serializers.DictField(child=ScoreSerializer(), help_text="Of published runs, by `kind.key`.")
    persona = serializers.CharField(allow_null=True, help_text="The first of the personas they belong to.")
    personas = serializers.ListField(child=serializers.CharField(), help_text="Keys of all they belong to.")
    rfm_group = serializers.CharField(allow_null=True)
    slots = serializers.DictField(
        child=SlotContentSerializer(), help_text="What was asked for, by key; without slots that aren't served now."
    )


ANSWERED = OpenApiExample(
    "Somebody in one segment",
    value={
        "uuid": "0197f2c4-1111-7abc-8def-000000000001",
        "purpose": "personalisation",
        "segments": [
            {"key": "big-spenders", "name": "Big spenders", "status": "live", "entered_at": "2026-11-20T09:30:00Z"}
        ],
        "scores": {"rfm.group": {"number": None, "label": "champions"}},
        "persona": "Bargain hunters",
        "personas": ["bargain-hunters"],
        "rfm_group": "champions",
        "slots": {"hero": {"variant": "Big spenders", "content": {"title": "Good to see you"}, "version": 3}},
    },
    response_only=True,
)


class SegmentsOfPerson(ApiView):
    required_scope = Scope.PROFILES_LOOKUP
    required_permission = "profiles.view_profile"

    @extend_schema(
        operation_id="profiles_segments",
        summary="Look up how a person stands",
        parameters=[
            OpenApiParameter(
                "identifier",
                str,
                OpenApiParameter.PATH,
                description="`namespace:value`, percent-encoded, as for people.",
            ),
            LookupQuery,
        ],
        responses=LookupSerializer,
        examples=[ANSWERED],
    )
    def get(self, request: Request, identifier: str) -> Response:
        """How the person stands who answers to this identifier. Who doesn't permit the purpose is answered for as nobody.

        Made to be asked for every page: nothing of the answer is kept anywhere, so what changed is in the next one. Each
        answer is counted; once a minute the audit log is told how many a caller got for a purpose.
        """
        wanted = LookupQuery.of(request)
        purpose = purpose_or_error(wanted.get("purpose"))
        demand_purpose(request, purpose.key)
        slots = served(slot_keys(wanted.get("slots", "")))
        user = caller(request)
        standing = look_up(identifier, purpose=purpose.key, user_id=user.pk, asked=segments_asked(slots))
        counter.count(by=actor_of(request), purpose=purpose.key)
        return Response(answered(standing, purpose.key, slots, at=timezone.now()))


def answered(standing: Standing, purpose: str, slots: list[Slot], *, at: datetime) -> dict[str, Any]:
    """The body of an answer, as `LookupSerializer` describes it."""
    return {
        "uuid": standing.uuid,
        "purpose": purpose,
        "segments": standing.segments,
        "scores": standing.scores,
        "persona": standing.persona,
        "personas": sorted(standing.personas),
        "rfm_group": standing.rfm_group,
        "slots": {slot.key: shown(decide(slot, standing, at=at)) for slot in slots},
    }


def slot_keys(written: str) -> list[str]:
    """The keys in a list with commas.

    Raises:
        DomainError: too many, or one that can't be a key.
    """
    keys = list(dict.fromkeys(one.strip() for one in written.split(",") if one.strip()))
    if not all(slug_re.match(one) for one in keys):
        raise DomainError("slots_malformed", "slots are keys with commas between them: hero,banner.", "/slots")
    if len(keys) > MOST_SLOTS:
        raise DomainError("slots_too_many", f"Ask for {MOST_SLOTS} slots at most; received {len(keys)}.", "/slots")
    return keys


def served(keys: list[str], **narrowed: Any) -> list[Slot]:
    """The slots by these keys that are served now."""
    if not keys:
        return []
    now = timezone.now()
    return [slot for slot in Slot.objects.filter(key__in=keys, is_live=True, **narrowed) if slot.is_served(now)]


def shown(decision: Decision) -> dict[str, Any]:
    variant = decision.variant.name if decision.variant else None
    return {"variant": variant, "content": decision.content, "version": decision.slot.version}


# ---- Many at once ----------------------------------------------------------------------------------------------------

MOST_PEOPLE: Final = 500


class LookupRequest(serializers.Serializer[Any]):
    purpose = serializers.CharField(max_length=64, help_text="What the people are read for: the key of a purpose.")
    identifiers = serializers.ListField(
        child=serializers.CharField(max_length=600),
        min_length=1,
        max_length=MOST_PEOPLE,
        help_text=f"`namespace:value`, not encoded; {MOST_PEOPLE} at most.",
    )


class StandingSerializer(serializers.Serializer[Any]):
    """How somebody stands who permits the purpose."""

    uuid = serializers.UUIDField()
    segments = InSegmentSerializer(many=True, help_text="Those you may see, by key.")
    scores = serializers.DictField(child=ScoreSerializer(), help_text="Of published runs, by `kind.key`.")
    persona = serializers.CharField(allow_null=True)
    personas = serializers.ListField(child=serializers.CharField())
    rfm_group = serializers.CharField(allow_null=True)


class LookedUpSerializer(serializers.Serializer[Any]):
    person = StandingSerializer(allow_null=True, help_text="Null: not known, or without permission for the purpose.")


class StandingsSerializer(serializers.Serializer[Any]):
    purpose = serializers.CharField()
    results = LookedUpSerializer(many=True, help_text="In the order of the identifiers.")


class LookupOfMany(ApiView):
    required_scope = Scope.PROFILES_LOOKUP
    required_permission = "profiles.view_profile"
    changes_nothing = True

    @extend_schema(
        operation_id="profiles_lookup",
        summary="Look up how many people stand",
        request=LookupRequest,
        responses=StandingsSerializer,
        examples=[
            OpenApiExample(
                "Two people",
                value={"purpose": "personalisation", "identifiers": ["user_id:42", "email:ann@example.com"]},
                request_only=True,
            ),
            OpenApiExample(
                "The first is known, and permits it",
                value={
                    "purpose": "personalisation",
                    "results": [
                        {
                            "person": {
                                name: ANSWERED.value[name]
                                for name in ("uuid", "segments", "scores", "persona", "personas", "rfm_group")
                            }
                        },
                        {"person": None},
                    ],
                },
                response_only=True,
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        """How the people stand who answer to these identifiers, each at its place, all as of one moment. Counted as so many look-ups
        of one person each."""
        given = LookupRequest(data=request.data)
        given.is_valid(raise_exception=True)
        purpose = purpose_or_error(given.validated_data["purpose"])
        demand_purpose(request, purpose.key)
        found = look_up_many(given.validated_data["identifiers"], purpose=purpose.key, user_id=caller(request).pk)
        if known := sum(one is not None for one in found):
            counter.count(by=actor_of(request), purpose=purpose.key, reads=known)
        results = [{"person": None if one is None else _stands(one)} for one in found]
        return Response({"purpose": purpose.key, "results": results})


def _stands(one: Standing) -> dict[str, Any]:
    return {
        "uuid": one.uuid,
        "segments": one.segments,
        "scores": one.scores,
        "persona": one.persona,
        "personas": sorted(one.personas),
        "rfm_group": one.rfm_group,
    }
