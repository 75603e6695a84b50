"""The rule editor's answers while somebody writes: is it sound, what does it say in English, whom would it give.

Pages around the editor are in `segments.admin`. Nothing here changes a segment.
"""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from django.core.exceptions import PermissionDenied
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from cdp.audit.admin_base import actor_of, reader_of
from cdp.errors import DomainError
from cdp.jobs.models import Job
from cdp.profiles.masking import display_name, masked_identifier
from cdp.profiles.models import Profile
from consent.querysets import purpose_or_error, purposes_for_lists
from segments.builder.cells import cells
from segments.builder.funnel import Countable, countable
from segments.builder.views import shown, wrong_with
from segments.estimates import rounded
from segments.models import Cadence, Segment
from segments.previews import PREVIEW_SECONDS, Accuracy, preview, record_preview
from segments.rules import OPERATORS, RuleErrors, describe, parse
from segments.rules.edit import EditRefused, as_draft, blank
from segments.running import Superseded, Ticket
from segments.services import REFRESH_KIND
from segments.sharing import catalog_visible_to, load_for, sees_segments, templates_for, visible_segments
from segments.templates import TEMPLATES, Offer
from segments.text import Placed, lay_out, placed, read

FIRST_RULE = blank()
DEFAULT_PURPOSE = "internal_analysis"


class NotJson(DomainError):
    """The text of a rule isn't JSON; where it stops being so is known."""

    def __init__(self, places: list[Placed]) -> None:
        self.places = places
        super().__init__("not_json", places[0].message)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the reader sent of a segment, as they wrote it."""

    name: str
    description: str
    cadence: str | None
    refresh_minutes: int
    daily_hour: int | None
    text: str
    goes_live: bool
    # The number of the newest version that whoever wrote this has seen; 0 where the form doesn't say.
    base: int = 0

    @classmethod
    def of(cls, request: HttpRequest) -> "Given":
        minutes, hour = request.POST.get("refresh_minutes", ""), request.POST.get("daily_hour")
        base = request.POST.get("base", "")
        return cls(
            name=request.POST.get("name", "").strip(),
            description=request.POST.get("description", "").strip(),
            # What a form leaves out stays as it is; what it has and can't be read is refused further on.
            cadence=request.POST.get("cadence"),
            refresh_minutes=int(minutes) if minutes.isdecimal() and len(minutes) < 7 else 0,
            daily_hour=None if hour is None else int(hour) if hour.isdecimal() and len(hour) < 3 else -1,
            text=request.POST.get("rule", ""),
            goes_live="publish" in request.POST,
            base=int(base) if base.isascii() and base.isdecimal() and len(base) < 10 else 0,
        )

    @property
    def hour(self) -> int:
        """The hour of a daily pace; where the form leaves it out, one that there is."""
        return 0 if self.daily_hour is None else self.daily_hour

    def rule(self, request: HttpRequest) -> Any:
        """The document they wrote, fit to run.

        Raises:
            NotJson: it isn't one.
            RuleErrors: all that is wrong with it; a segment they may not see is unknown to it.
        """
        document, places = read(self.text)
        if places:
            raise NotJson(places)
        load_for(reader_of(request), document)
        return document


def visible_to(request: HttpRequest) -> QuerySet[Segment]:
    """The segments this reader may see; somebody who may see none, not even by a grant, has no business here."""
    if not sees_segments(reader_of(request)):
        raise PermissionDenied
    return visible_segments(reader_of(request))


def sentence_of(request: HttpRequest, rule: Any) -> str:
    """The stored rule in English; an old version may name what is gone, or be of a form no longer read."""
    try:
        return describe(parse(rule), catalog_visible_to(reader_of(request)))
    except RuleErrors as errors:
        return f"Can't be read any more: {errors}"


def refresh_job_of(segment: Segment) -> Job | None:
    """The newest refresh of this segment."""
    return Job.objects.filter(kind=REFRESH_KIND, params__segment=segment.pk).order_by("-created_at").first()


def editor(request: HttpRequest, segment: Segment | None = None) -> dict[str, Any]:
    """What stands beside the text: the purposes to preview for, first what the segment is meant for, and the operators."""
    meant_for = segment.purposes.first() if segment else None
    return {
        "purposes": purposes_for_lists(),
        # One for each page that is open: what is typed in one doesn't end what is counted for another.
        "preview_token": uuid4(),
        "chosen_purpose": request.POST.get("purpose", meant_for.key if meant_for else DEFAULT_PURPOSE),
        "operators": OPERATORS.values(),
        "cadences": Cadence.choices,
    }


def beginnings(request: HttpRequest) -> dict[str, Any]:
    """The ready rules to begin a new segment with: first those that the reader can use now."""
    offers = sorted(templates_for(reader_of(request)), key=lambda one: not one.is_usable)
    return {"offers": offers, "usable": sum(one.is_usable for one in offers)}


def checked(request: HttpRequest, text: str) -> dict[str, Any]:
    """Every error with its line, or the sentence that says what the rule means."""
    document, places = read(text)
    if places:
        return {"errors": places}
    try:
        return {
            "errors": [],
            "sentence": describe(load_for(reader_of(request), document), catalog_visible_to(reader_of(request))),
        }
    except RuleErrors as errors:
        return {"errors": placed(text, errors.errors)}


def refused(request: HttpRequest, given: Given, error: RuleErrors | DomainError) -> dict[str, Any]:
    """The editor as it was left, with what kept it from being saved."""
    context = {**editor(request), "given": given, "text": given.text}
    if isinstance(error, RuleErrors):
        return {**context, "errors": placed(given.text, error.errors)}
    if isinstance(error, NotJson):
        return {**context, "errors": error.places}
    return {**context, **checked(request, given.text), "error": error}


def check_view(request: HttpRequest) -> HttpResponse:
    if not sees_segments(reader_of(request)):
        raise PermissionDenied
    return render(request, "segments/_check.html", checked(request, request.POST.get("rule", "")))


def fill_view(request: HttpRequest) -> HttpResponse:
    """The form of a new segment filled in from a template, or put back as it was before."""
    if not request.user.has_perm("segments.add_segment"):
        raise PermissionDenied
    before, begin = Given.of(request), beginnings(request)
    filled: Offer | None = None
    if key := request.POST.get("template", ""):
        filled = next((one for one in begin["offers"] if one.template.key == key), None)
        if filled is None:
            raise Http404
        given = replace(
            before,
            name=filled.template.name,
            description=filled.template.purpose,
            text=lay_out(filled.template.document),
        )
    else:
        name, description, text = (request.POST.get(f"kept_{one}", "") for one in ("name", "description", "text"))
        given = replace(before, name=name, description=description, text=text)
    context = {
        **editor(request),
        **begin,
        **shown(request, given.text),
        "given": given,
        "filled": filled,
        # What somebody wrote by hand is not lost by looking at a template.
        "kept": before if filled and _is_by_hand(before) else None,
    }
    return render(request, "segments/new.html", context)


def _is_by_hand(given: Given) -> bool:
    """Whether there is more in the form than what it began with, or a template put there."""
    said = {("", ""), *((one.name, one.purpose) for one in TEMPLATES)}
    texts = {lay_out(one) for one in (FIRST_RULE, *(one.document for one in TEMPLATES))}
    # Forms send their line ends in another way.
    return (given.name, given.description) not in said or "\n".join(given.text.splitlines()) not in texts


def preview_view(request: HttpRequest) -> HttpResponse:
    """Whom the rule would give now: about, and then, when the panel asks again, exactly. A read of people: for a purpose,
    and audited. While somebody types, people are only counted, and a rule that isn't sound leaves the panel as it is.
    """
    if not request.user.has_perm("segments.view_members"):
        raise PermissionDenied
    accuracy = Accuracy.EXACT if request.POST.get("accuracy") == Accuracy.EXACT else Accuracy.SAMPLE
    is_typed = "typed" in request.POST
    document, places = read(request.POST.get("rule", ""))
    if places:
        return _refused(request, "Mend the rule first: it is not JSON yet.", accuracy, is_unsound=True)
    part = _countable(request, document)
    if part is None:
        said = "Mend the rule first: there is nothing to count yet. Add a condition, or fix what is marked."
        return _refused(request, said, accuracy, is_unsound=True)
    try:
        purpose = purpose_or_error(request.POST.get("purpose"))
        load_for(reader_of(request), part.document)
        seen = preview(
            rule=part.document,
            purpose=purpose,
            sample_size=0 if is_typed else 10,
            accuracy=accuracy,
            ticket=ticket_of(request),
            with_funnel=True,
        )
    except RuleErrors as errors:
        if errors.errors[0].code == "rule_too_expensive":
            return _refused(request, errors.errors[0].message.capitalize(), accuracy)
        count = len(errors.errors)
        said = f"Mend the rule first: {count} thing{'s stand' if count > 1 else ' stands'} in its way."
        return _refused(request, said, accuracy, is_unsound=True)
    except Superseded:
        return HttpResponse(status=204)
    except DomainError as error:
        return _refused(request, error.message, accuracy)
    except OperationalError:
        said = f"Counting took longer than {PREVIEW_SECONDS} seconds and was stopped. A refresh has no such limit."
        return _refused(request, said, accuracy)
    with transaction.atomic():
        record_preview(seen, rule=part.document, purpose=purpose, by=actor_of(request))
    context = {
        "left_out": part.left_out,
        "cells": cells(seen.narrowings or {}, part.places),
        "seen": seen,
        "purpose": purpose,
        "is_typed": is_typed,
        "about": None if seen.count is None else rounded(seen.count),
        # Where an estimate is exact because there are few people, nobody is shown yet.
        "goes_on": (goes_on := accuracy == Accuracy.SAMPLE and not (is_typed and seen.accuracy == Accuracy.EXACT)),
        # What of the draft is left out has no rule to ask about; and once the whole is counted, nothing else comes.
        "asks_permits": not goes_on and not part.left_out,
        # No two answers have a place of the same name that asks on: one that stays in the page wouldn't ask again.
        "turn": uuid4(),
        "sample": [(person, _named(person)) for person in seen.sample],
    }
    return render(request, "segments/_preview.html", context)


def _countable(request: HttpRequest, document: Any) -> Countable | None:
    """What of the draft can be counted: all of a sound one, and of another what is sound in it."""
    if not isinstance(document, dict):
        return None
    try:
        draft = as_draft(document)
    except EditRefused:
        return None
    return countable(draft, [one.pointer for one in wrong_with(request, draft)])


def _refused(request: HttpRequest, said: str, accuracy: Accuracy, *, is_unsound: bool = False) -> HttpResponse:
    """What stands in the way. Of an exact count it stands below the estimate, which still holds."""
    if is_unsound and "typed" in request.POST:
        return HttpResponse(status=204)
    context = {"refused": said, "is_below": accuracy == Accuracy.EXACT}
    response = render(request, "segments/_preview.html", context)
    if accuracy == Accuracy.EXACT:
        response["HX-Retarget"], response["HX-Reswap"] = "#preview-exact", "outerHTML"
    return response


def ticket_of(request: HttpRequest) -> Ticket | None:
    """By which what is counted next for the same page takes the place of what is counted now."""
    try:
        return Ticket(caller=reader_of(request).pk, token=UUID(request.POST.get("preview", "")))
    except ValueError:
        return None


def _named(person: Profile) -> str:
    identifier = person.identifiers.order_by("namespace").last()
    fallback = masked_identifier(identifier.namespace, identifier.value) if identifier else str(person.uuid)
    return display_name(person.traits, fallback=fallback, is_masked=True)
