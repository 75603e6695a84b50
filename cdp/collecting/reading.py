"""Reading decisions as other systems write them: their fields, and what they point to; all errors at once, each with its place."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from rest_framework import serializers

from cdp.collecting.services import Choice
from cdp.errors import DomainError, DomainErrors
from cdp.identity.normalise import NAMESPACE
from cdp.rest.errors import flattened
from cdp.rest.queries import MomentField
from consent.evidence import MOST_BYTES, check_size
from consent.jurisdictions import is_jurisdiction
from consent.models import Decision, Method, NoticeVersion, Purpose, ServedNotice
from consent.services import Shown

MOST_AT_ONCE: Final = 1_000
DECISIONS: Final = (Decision.GRANTED, Decision.DENIED, Decision.WITHDRAWN)
METHODS: Final = (
    Method.API,
    Method.BANNER,
    Method.PREFERENCE_CENTRE,
    Method.FORM,
    Method.UNSUBSCRIBE,
    Method.DOUBLE_OPT_IN,
    Method.PRIVACY_REQUEST,
)

# By name, for the description of the API.
DECISION_CHOICES: Final = [(one.value, one.label) for one in DECISIONS]
METHOD_CHOICES: Final = [(one.value, one.label) for one in METHODS]


class UserInput(serializers.Serializer[Any]):
    """Whose decision it is. `uuid` as a namespace is the platform's own id."""

    namespace = serializers.RegexField(
        NAMESPACE, help_text="user_id, email, anonymous_id, the type of an external id, or uuid."
    )
    value = serializers.CharField(max_length=512)


class NoticeInput(serializers.Serializer[Any]):
    key = serializers.CharField(max_length=64)
    version = serializers.IntegerField(min_value=1)
    locale = serializers.CharField(max_length=35, default="en")


class ConsentInput(serializers.Serializer[Any]):
    """What one person decided about one purpose."""

    user = UserInput()
    purpose = serializers.CharField(max_length=64, help_text="The key of the purpose.")
    decision = serializers.ChoiceField(DECISION_CHOICES)
    collected_at = MomentField(help_text="When they decided. Of several decisions the newest holds.")
    method = serializers.ChoiceField(METHOD_CHOICES, default=Method.API.value)
    notice = NoticeInput(required=False, help_text="What they had been told: the version of a notice.")
    served = serializers.UUIDField(required=False, help_text="The id under which a notice was served to them.")
    jurisdiction = serializers.CharField(
        max_length=6,
        required=False,
        help_text="Whose law applied: a country (DE), a region (US-CA) or EU. By what is known of the person, if left out.",
    )
    evidence = serializers.DictField(
        required=False,
        help_text=f"What proves it, up to {MOST_BYTES // 1024} KB. It may be personal: it is sealed, and ends with the person's key.",
    )
    guardian = serializers.DictField(
        required=False,
        help_text="How a parent or guardian agreed, where the person is too young to agree alone. Sealed like evidence.",
    )


class ConsentInputs(serializers.Serializer[Any]):
    """Many decisions: all are recorded, or none."""

    decisions = serializers.ListField(child=ConsentInput(), max_length=MOST_AT_ONCE, min_length=1)
    create = serializers.BooleanField(  # type: ignore[assignment]  # DRF takes declared fields away first
        default=False, help_text="Make profiles for people who aren't known."
    )


class LoneConsentInput(ConsentInput):
    """One decision."""

    create = serializers.BooleanField(  # type: ignore[assignment]
        default=False, help_text="Make a profile if the person isn't known."
    )


def read_choices(body: Any) -> tuple[list[Choice], bool]:
    """The decisions, and whether people who aren't known are to be made.

    Raises:
        DomainErrors: with every error there is.
    """
    is_list = isinstance(body, Mapping) and "decisions" in body
    form = (ConsentInputs if is_list else LoneConsentInput)(data=body)
    if not form.is_valid():
        raise refusal(list(flattened(form.errors, "")))
    given = form.validated_data
    items: Sequence[Mapping[str, Any]] = given["decisions"] if is_list else [given]
    prefix = "/decisions/{}" if is_list else ""
    return _choices(items, [prefix.format(number) for number in range(len(items))]), given["create"]


def _choices(items: Sequence[Mapping[str, Any]], pointers: Sequence[str]) -> list[Choice]:
    reader = Reader(items)
    found = [reader.choice(item, pointer) for item, pointer in zip(items, pointers, strict=True)]
    if reader.errors:
        raise refusal(reader.errors)
    return [choice for choice in found if choice is not None]


def refusal(errors: Sequence[DomainError]) -> DomainErrors:
    """All of them; a single one also stands at the top."""
    if len(errors) > 1:
        return DomainErrors(errors, message=f"{len(errors)} things need mending.")
    (only,) = errors
    refused = DomainErrors(errors, code=only.code, message=only.message)
    refused.pointer = only.pointer
    return refused


class Reader:
    """What decisions point to, asked of the database once for all; and what is wrong with any of them."""

    def __init__(self, items: Sequence[Mapping[str, Any]]) -> None:
        self.errors: list[DomainError] = []
        self.now = timezone.now()
        self.purposes = {one.key: one for one in Purpose.objects.all()}
        named = {(n["key"], n["version"], n["locale"]) for item in items if (n := item.get("notice"))}
        self.versions = versions_named(named)
        served = [item["served"] for item in items if "served" in item]
        self.served: dict[UUID, int] = dict(ServedNotice.objects.filter(pk__in=served).values_list("pk", "version_id"))

    def choice(self, item: Mapping[str, Any], pointer: str) -> Choice | None:
        before = len(self.errors)
        purpose = self.purpose(item["purpose"], f"{pointer}/purpose")
        self.moment(item["collected_at"], f"{pointer}/collected_at")
        self.jurisdiction(item.get("jurisdiction", ""), f"{pointer}/jurisdiction")
        shown = self._shown(item, pointer)
        personal = self._personal(item, pointer)
        if len(self.errors) > before or purpose is None:
            return None
        return Choice(
            user=f"{item['user']['namespace']}:{item['user']['value']}",
            purpose=purpose,
            decision=Decision(item["decision"]),
            collected_at=item["collected_at"],
            method=Method(item["method"]),
            shown=shown,
            jurisdiction=item.get("jurisdiction", ""),
            personal=personal,
            by_guardian="guardian" in item,
            pointer=pointer,
        )

    def purpose(self, key: str, pointer: str) -> Purpose | None:
        found = self.purposes.get(key)
        if found is None:
            self._add("purpose_unknown", f"purpose must be one of {', '.join(sorted(self.purposes))}.", pointer)
        return found

    def moment(self, at: datetime, pointer: str) -> None:
        if at > self.now:
            self._add("decided_in_the_future", "A decision can't have been made after now.", pointer)

    def jurisdiction(self, code: str, pointer: str) -> None:
        if code and not is_jurisdiction(code):
            message = "A jurisdiction is a country as in ISO 3166-1 (DE), a region of the US or Canada (US-CA), or EU."
            self._add("jurisdiction_unknown", message, pointer)

    def _shown(self, item: Mapping[str, Any], pointer: str) -> Shown:
        version_id, served_id = None, item.get("served")
        if notice := item.get("notice"):
            version_id = self.versions.get((notice["key"], notice["version"], notice["locale"]))
            if version_id is None:
                self._add(
                    "notice_unknown", "There is no such version of a notice in this language.", f"{pointer}/notice"
                )
        if served_id is not None:
            of_served = self.served.get(served_id)
            if of_served is None:
                self._add("served_unknown", "Nothing was served under this id.", f"{pointer}/served")
            elif version_id not in (None, of_served):
                self._add(
                    "served_otherwise", "What was served is another version than `notice` says.", f"{pointer}/served"
                )
            version_id = of_served
        return Shown(version_id=version_id, served_id=served_id)

    def _personal(self, item: Mapping[str, Any], pointer: str) -> dict[str, Any]:
        personal: dict[str, Any] = {}
        for name in ("evidence", "guardian"):
            if name in item:
                try:
                    check_size(item[name], f"{pointer}/{name}")
                except DomainError as error:
                    self.errors.append(error)
                personal[name] = item[name]
        if "guardian" in item and not item["guardian"]:
            self._add(
                "guardian_empty", "Say how the guardian agreed: who they are, how and when.", f"{pointer}/guardian"
            )
        if item["method"] == Method.DOUBLE_OPT_IN and not item.get("evidence"):
            self._add("evidence_missing", "A double opt-in that you ran needs its evidence.", f"{pointer}/evidence")
        return personal

    def _add(self, code: str, message: str, pointer: str) -> None:
        self.errors.append(DomainError(code, message, pointer))


Named = tuple[str, int, str]


def versions_named(named: set[Named]) -> dict[Named, int]:
    """Key of each notice's version that is named by key, number and language."""
    asked = Q(pk__in=())
    for key, number, locale in named:
        asked |= Q(notice__key=key, number=number, locale__iexact=locale)
    rows = NoticeVersion.objects.filter(asked).values_list("notice__key", "number", "locale", "pk")
    by_folded = {(key, number, locale.lower()): pk for key, number, locale, pk in rows}
    return {
        (key, number, locale): pk
        for key, number, locale in named
        if (pk := by_folded.get((key, number, locale.lower()))) is not None
    }
