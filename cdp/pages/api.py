"""Links to people's own pages over REST, for a system that puts them into its messages.

Whoever has somebody's link can decide for them, so they are given to who may report what people decided.
"""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import DomainError
from cdp.pages.issuing import Why, issue_links
from cdp.profiles.models import Profile
from cdp.rest.authentication import actor_of
from cdp.rest.models import Scope
from cdp.rest.views import ApiView
from consent.links import Kind
from consent.querysets import purpose_or_error
from segments.list_people import who_is

MOST_PEOPLE: Final = 500
KINDS: Final = (Kind.PREFERENCES.value, Kind.UNSUBSCRIBE.value)


class WantedLinks(serializers.Serializer[Any]):
    people = serializers.ListField(
        child=serializers.CharField(max_length=600),
        min_length=1,
        max_length=MOST_PEOPLE,
        help_text="`namespace:value` each: user_id, email, anonymous_id, an external id's type, or uuid.",
    )
    kind = serializers.ChoiceField(KINDS, default=KINDS[0], help_text="What it opens.")
    purpose = serializers.CharField(required=False, max_length=64, help_text="Of a link to unsubscribe: from which.")
    why = serializers.ChoiceField(
        [one.value for one in Why],
        help_text="What you take them for: a `message` to the person, or they `asked` somebody. It is on record.",
    )


class PageLinkSerializer(serializers.Serializer[Any]):
    person = serializers.CharField(help_text="As you named them.")
    url = serializers.URLField(allow_null=True, help_text="Null where nobody is known by it.")
    ends_at = serializers.DateTimeField(allow_null=True, help_text="Until when it works; null: for ever.")
    headers = serializers.DictField(
        child=serializers.CharField(), help_text="For a message with it, of a link to unsubscribe (RFC 8058)."
    )


class PageLinksSerializer(serializers.Serializer[Any]):
    links = PageLinkSerializer(many=True, help_text="One for each of the people, in your order.")


EXAMPLE = OpenApiExample(
    "For the foot of a newsletter",
    value={"people": ["user_id:42", "user_id:43"], "kind": "preferences", "why": "message"},
    request_only=True,
)


class Links(ApiView):
    required_scope = Scope.CONSENTS_WRITE
    required_permission = "consent.add_consentrecord"

    @extend_schema(
        operation_id="links_create",
        summary="Take links to people's own pages",
        request=WantedLinks,
        responses=PageLinksSerializer,
        examples=[EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """Signed links, to be put into messages to these people and nowhere else: whoever has one reads and changes their choices.
        They are kept nowhere here; that you took them is on record."""
        wanted = WantedLinks(data=request.data)
        wanted.is_valid(raise_exception=True)
        given = wanted.validated_data
        if (given["kind"] == Kind.UNSUBSCRIBE) != ("purpose" in given):
            raise DomainError(
                "purpose_of_unsubscribing", "A link to unsubscribe names a purpose, no other does.", "/purpose"
            )
        purpose = purpose_or_error(given["purpose"]) if "purpose" in given else None
        if purpose is not None and not purpose.is_theirs:
            raise DomainError("purpose_not_theirs", "Nobody can unsubscribe from this purpose.", "/purpose")
        found = who_is(given["people"])
        people = Profile.objects.in_bulk({pk for pk in found.values() if pk is not None})
        issued = issue_links(
            people=list(people.values()), why=Why(given["why"]), unsubscribes=purpose, by=actor_of(request)
        )
        links = dict(zip(people, issued, strict=True))
        told = [_told(name, links.get(pk) if (pk := found[name]) is not None else None) for name in given["people"]]
        return Response({"links": told}, headers={"Cache-Control": "no-store, private"})


def _told(name: str, link: Any) -> dict[str, Any]:
    if link is None:
        return {"person": name, "url": None, "ends_at": None, "headers": {}}
    return {"person": name, "url": link.url, "ends_at": link.ends_at, "headers": dict(link.headers)}
