"""Looking one person up over REST, by any identifier: traits, identifiers, and the segments the caller may see.

It stands above profiles because it must ask identity who answers to an id, consent whether he may be shown, and
segments where he belongs.
"""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.audit.services import record
from cdp.errors import DomainError, NotFound
from cdp.identity.merging import survivor_of
from cdp.identity.normalise import NAMESPACE, Unusable, normalise
from cdp.profiles.masking import masked_identifier, masked_properties
from cdp.profiles.models import Identifier, Profile, Trait
from cdp.rest.authentication import actor_of, caller
from cdp.rest.models import Scope
from cdp.rest.permissions import demand_purpose, may_reveal, sees_unmasked
from cdp.rest.queries import Query
from cdp.rest.views import ApiView
from consent.querysets import INTERNAL_ANALYSIS, permitted, purpose_or_error
from segments.models import READABLE
from segments.querysets import segments_of
from segments.sharing import visible_segments

PUBLIC_ID = "uuid"
# One answer for whoever is unknown and for whoever may not be shown: the difference would tell of a person.
UNKNOWN = NotFound("profile_not_found", "Nobody is known by this identifier, or not for this purpose.")


class IdentifierSerializer(serializers.ModelSerializer[Identifier]):
    class Meta:
        model = Identifier
        fields = ("namespace", "value", "first_seen_at", "last_seen_at")
        read_only_fields = fields


class InSegmentSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField(help_text="live, or paused: then its members are as they were when it was paused.")
    entered_at = serializers.DateTimeField()


class ProfileSerializer(serializers.Serializer[Any]):
    """A person, or a device not yet known to be anybody's."""

    uuid = serializers.UUIDField()
    traits = serializers.DictField(child=serializers.JSONField())
    identifiers = IdentifierSerializer(many=True)
    segments = InSegmentSerializer(many=True)
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    is_masked = serializers.BooleanField(help_text="Whether personal data is hidden from you.")


class ProfileQuery(Query):
    purpose = serializers.CharField(max_length=64, default=INTERNAL_ANALYSIS, help_text="What the person is read for.")


class ProfileLookup(ApiView):
    required_scope = Scope.PROFILES_READ
    required_permission = "profiles.view_profile"

    @extend_schema(
        operation_id="profiles_detail",
        summary="Look a person up",
        parameters=[
            OpenApiParameter(
                "identifier",
                str,
                OpenApiParameter.PATH,
                description="`namespace:value`, percent-encoded: user_id, email, anonymous_id, an external id's type, or uuid.",
            ),
            ProfileQuery,
        ],
        responses=ProfileSerializer,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """A person by any identifier. Whoever was merged into another answers as that one."""
        wanted = ProfileQuery.of(request)
        purpose = purpose_or_error(wanted["purpose"], with_rights=may_reveal(request))
        demand_purpose(request, purpose.key)
        namespace, profile = find(identifier)
        if not permitted(Profile.objects.filter(pk=profile.pk), purpose).exists():
            raise UNKNOWN
        is_masked = not sees_unmasked(request)
        mine = visible_segments(caller(request)).filter(status__in=READABLE)
        with transaction.atomic():
            shown = {
                "uuid": profile.uuid,
                "traits": _traits(profile, is_masked=is_masked),
                "identifiers": _identifiers(profile, is_masked=is_masked),
                "segments": segments_of(profile, mine).order_by("key"),
                "first_seen_at": profile.first_seen_at,
                "last_seen_at": profile.last_seen_at,
                "is_masked": is_masked,
            }
            answer = ProfileSerializer(shown).data
            record(
                by=actor_of(request),
                action="profile.read",
                object=profile,
                purpose=purpose.key,
                detail={"by": namespace, "masked": is_masked, "fields": ["traits", "identifiers", "segments"]},
            )
        return Response(answer)


def parted(identifier: str) -> tuple[str, str]:
    """The namespace and the value of ``namespace:value``.

    Raises:
        DomainError: there is no namespace before a colon.
    """
    namespace, colon, value = identifier.partition(":")
    if not colon or not NAMESPACE.fullmatch(namespace):
        raise DomainError(
            "identifier_malformed", "Name a person as namespace:value, such as user_id:42.", "/identifier"
        )
    return namespace, value


def find(identifier: str) -> tuple[str, Profile]:
    """The namespace, and the profile that answers to this ``namespace:value``.

    Raises:
        DomainError: there is no namespace before a colon.
        NotFound: nobody answers to it.
    """
    namespace, value = parted(identifier)
    if namespace == PUBLIC_ID:
        # An id of ours comes first; another system may call its own ids so, too.
        with suppress(ValueError, NotFound):
            return namespace, survivor_of(UUID(value))
    try:
        wanted = normalise(namespace, value)
    except Unusable:
        raise UNKNOWN from None
    profile = Profile.objects.filter(identifiers__namespace=wanted.namespace, identifiers__value=wanted.value).first()
    if profile is None:
        raise UNKNOWN
    return namespace, profile


def _traits(profile: Profile, *, is_masked: bool) -> dict[str, Any]:
    if not is_masked:
        return profile.traits
    personal = set(Trait.objects.filter(is_pii=True).values_list("key", flat=True))
    return masked_properties(profile.traits, personal=personal)


def _identifiers(profile: Profile, *, is_masked: bool) -> list[Identifier]:
    found = list(profile.identifiers.order_by("namespace", "value"))
    for one in found if is_masked else ():
        one.value = masked_identifier(one.namespace, one.value)
    return found
