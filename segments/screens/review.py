"""Reviewing a draft and saving it: what changes in the rule, who would come and go, and that nothing somebody else saved is lost.

Each answer is a dialog over the page where htmx asks, and a page of its own where a form does. The draft stays where it is written
until it is saved. What a change does is told by `segments.rules.compare` and `segments.drafts`; saving is a service.
"""

import re
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html

from cdp.audit.admin_base import actor_of, reader_of
from cdp.errors import Conflict, DomainError
from cdp.profiles.models import Profile
from consent.querysets import INTERNAL_ANALYSIS, purpose_or_error, purposes_for_lists
from segments import details, services, views
from segments.builder.views import shown
from segments.carrying import carried, hand_lists
from segments.drafts import DraftChange, Moved, change_by_draft
from segments.estimates import rounded
from segments.models import Segment, SegmentStatus, SegmentVersion
from segments.previews import PREVIEW_SECONDS, Accuracy
from segments.rules import RuleErrors
from segments.running import Superseded
from segments.saving import SavedMeanwhile, refuse_saved_meanwhile
from segments.screens.frame import demand, segment_or_404
from segments.screens.history import changes_between, names_of
from segments.screens.rule import demand_new, rule_page
from segments.text import lay_out

SAMPLE: Final = 5
# The place of a condition, at the beginning of the place of what is wrong with it.
CONDITION: Final = re.compile(r"(?:(?:/not)?/(?:all|any)/\d+)+")


# ---- Reviewing -------------------------------------------------------------------------------------------------------


def review_view(request: HttpRequest, uuid: UUID | None = None) -> HttpResponse:
    """What saving would do: the rule beside the one that it takes the place of. Who would come and go is asked for afterwards."""
    segment = _segment(request, uuid)
    given = views.Given.of(request)
    try:
        document = given.rule(request)
        if segment is None:
            details.name_of(given.name)
            details.refuse_pace(given.cadence or "minutes", given.refresh_minutes, given.hour)
        else:
            _refuse_archived(segment)
            lists = hand_lists(segment)
            document = carried(document, lists)
            newest = segment.versions.first()
            refuse_saved_meanwhile(segment, document, base=given.base, newest=newest, lists=lists)
    except SavedMeanwhile as newer:
        return _conflict(request, segment, given, newer)
    except (RuleErrors, DomainError) as error:
        return _marked(request, segment, given, error)
    context = {
        **_around(request, segment, given),
        "sentence": views.sentence_of(request, document),
        "may_read": request.user.has_perm("segments.view_members"),
        "purposes": purposes_for_lists(),
        "chosen_purpose": request.POST.get("purpose") or _usual_purpose(segment),
    }
    if segment is not None and newest is not None:
        before = segment.live_version or newest
        changes, unreadable = changes_between(request, before.rule, document)
        is_saved = newest.rule == document
        context |= {
            "before": before,
            "before_sentence": views.sentence_of(request, before.rule),
            "is_live": before.pk == segment.live_version_id,
            "changes": changes,
            "unreadable": unreadable,
            "is_saved": is_saved,
            "is_as_live": is_saved and newest.pk == segment.live_version_id and segment.status == SegmentStatus.LIVE,
            "number": newest.number if is_saved else newest.number + 1,
        }
    return _answer(request, "segments/_review.html", context)


def people_view(request: HttpRequest, uuid: UUID | None = None) -> HttpResponse:
    """Who would enter and leave: about, and then, when it asks again, exactly. A read of people: for a purpose, and audited."""
    segment = _segment(request, uuid)
    # By a rule of their own making somebody could ask about everybody: a share of one segment isn't enough.
    if not request.user.has_perm("segments.view_members"):
        raise PermissionDenied
    given = views.Given.of(request)
    accuracy = Accuracy.EXACT if request.POST.get("accuracy") == Accuracy.EXACT else Accuracy.SAMPLE
    context: dict[str, Any] = {"segment": segment, "turn": uuid4(), "people_url": request.path}
    try:
        document = given.rule(request)
        live = segment.live_version if segment else None
        purpose = purpose_or_error(request.POST.get("purpose"))
        found = change_by_draft(
            before=live.rule if live else None,
            after=carried(document, hand_lists(segment)) if segment else document,
            purpose=purpose,
            segment=segment,
            by=actor_of(request),
            sample_size=SAMPLE,
            accuracy=accuracy,
            ticket=views.ticket_of(request),
        )
    except Superseded:
        return HttpResponse(status=204)
    except RuleErrors as errors:
        context["refused"] = "; ".join(error.message.capitalize() for error in errors.errors)
    except DomainError as error:
        context["refused"] = error.message
    except OperationalError:
        context["refused"] = (
            f"Counting took longer than {PREVIEW_SECONDS} seconds and was stopped. Saving needs no count."
        )
    else:
        context |= {
            "live": live,
            "found": found,
            "purpose": purpose,
            "sides": _sides(found, is_first=live is None),
            "goes_on": accuracy == Accuracy.SAMPLE,
        }
    return render(request, "segments/_review_people.html", context)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of the change: what it is called, how many, and some of them by what they are called."""

    title: str
    icon: str
    moved: Moved
    people: list[tuple[Profile, str]]

    @property
    def about(self) -> int | None:
        return None if self.moved.count is None else rounded(self.moved.count)


def _sides(found: DraftChange, *, is_first: bool) -> list[Side]:
    named = names_of([*found.entering.sample, *found.leaving.sample])
    sides = [("In it" if is_first else "Enter", "enter", found.entering)]
    if not is_first:
        sides += [("Leave", "exit", found.leaving), ("Stay", "users", found.staying)]
    return [
        Side(title=title, icon=icon, moved=moved, people=[(one, named[one.pk]) for one in moved.sample])
        for title, icon, moved in sides
    ]


# ---- Saving ----------------------------------------------------------------------------------------------------------


def save_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A new version, live at once where that is asked for; or theirs, beside the draft that was kept from being saved."""
    segment = segment_or_404(request, uuid)
    demand(request, segment, "change_segment")
    given, was_live = views.Given.of(request), segment.live_version
    if "theirs" in request.POST:
        newest = segment.versions.first()
        text = lay_out(newest.rule) if newest else ""
        return rule_page(request, segment, version=newest, text=text, kept=given.text)
    try:
        rule = given.rule(request)
        saved = {"segment": segment, "rule": rule, "by": actor_of(request), "user": reader_of(request)}
        if given.goes_live:
            version, _ = services.save_and_publish(**saved, base=given.base)
        else:
            version = services.save_version(**saved, base=given.base)
    except SavedMeanwhile as newer:
        return _conflict(request, segment, given, newer)
    except (RuleErrors, DomainError) as error:
        return _marked(request, segment, given, error)
    is_live = given.goes_live or version.pk == segment.live_version_id
    said = "is live." if is_live else "is saved, not yet live."
    messages.success(
        request,
        _with_way_back(f"Version {version.number} {said}", segment, was_live, version)
        if is_live
        else f"Version {version.number} {said}",
    )
    return _done(request, segment)


def _with_way_back(said: str, segment: Segment, was_live: SegmentVersion | None, version: SegmentVersion) -> str:
    """What was done; where another version was live, with a link to it, which first shows who would come and go."""
    if was_live is None or was_live.pk == version.pk:
        return said
    url = reverse("admin:segments_segment_difference", args=[segment.uuid])
    return format_html(
        '{} <a href="{}?before={}&amp;after={}">Go back to version {}</a>',
        said,
        url,
        version.number,
        was_live.number,
        was_live.number,
    )


def save_new_view(request: HttpRequest) -> HttpResponse:
    demand_new(request)
    given = views.Given.of(request)
    try:
        segment = services.create_segment(
            name=given.name,
            description=given.description,
            cadence=given.cadence,
            refresh_minutes=given.refresh_minutes,
            daily_hour=given.daily_hour,
            rule=given.rule(request),
            owner=reader_of(request),
            by=actor_of(request),
        )
    except (RuleErrors, DomainError) as error:
        return _marked(request, None, given, error)
    if given.goes_live:
        try:
            services.publish(
                segment=segment, version=segment.versions.get(), by=actor_of(request), user=reader_of(request)
            )
        except RuleErrors as errors:
            messages.error(request, f"Saved as a draft, which can't go live: {errors}")
        else:
            messages.success(request, "The segment is live. Its members are being worked out.")
    else:
        messages.success(request, "Saved as a draft.")
    return _done(request, segment)


# ---- Answers ---------------------------------------------------------------------------------------------------------


def _conflict(request: HttpRequest, segment: Segment | None, given: views.Given, newer: SavedMeanwhile) -> HttpResponse:
    """Whose version came first, what it says, and what this draft would make of it."""
    assert segment is not None, "a new segment has no version that somebody else could have saved"
    mine, _ = views.read(given.text)
    lists = hand_lists(segment)
    theirs: SegmentVersion = newer.newest
    changes, unreadable = changes_between(request, theirs.rule, carried(mine, lists))
    base = segment.versions.filter(number=newer.base).first()
    context = {
        **_around(request, segment, given),
        "theirs": theirs,
        "is_own": theirs.created_by_id == reader_of(request).pk,
        "base": base,
        "their_changes": changes_between(request, base.rule, theirs.rule)[0] if base else [],
        "sentences": [views.sentence_of(request, one) for one in (theirs.rule, mine)],
        "changes": changes,
        "unreadable": unreadable,
        "next_number": theirs.number + 1,
    }
    answer = _answer(request, "segments/_conflict.html", context, status=409)
    if _is_asked_by_htmx(request):
        answer["HX-Retarget"], answer["HX-Reswap"] = "#review", "innerHTML"
    return answer


def _marked(
    request: HttpRequest, segment: Segment | None, given: views.Given, error: RuleErrors | DomainError
) -> HttpResponse:
    """What is wrong, where it stands: at its condition or its field; what stands nowhere, above all of it."""
    is_htmx = _is_asked_by_htmx(request)
    if segment is None:
        context = {**views.beginnings(request), **views.refused(request, given, error), **_shown(request, given, error)}
        answer = render(request, "segments/new.html", context, status=422)
        if is_htmx:
            answer["HX-Retarget"] = answer["HX-Reselect"] = "#new-segment"
            answer["HX-Reswap"] = "morph:outerHTML"
        return answer
    panel = _shown(request, given, error)
    if not is_htmx:
        context = {**views.refused(request, given, error), "base": given.base}
        if not panel.get("mistakes") and isinstance(error, RuleErrors):
            context["error"] = DomainError("rule_refused", _said(error))
        return rule_page(request, segment, status=422, **context)
    if panel.get("mistakes") or panel.get("places"):
        answer = render(request, "segments/builder/_panel.html", {**panel, "may_edit": True}, status=422)
        answer["HX-Retarget"], answer["HX-Reswap"] = "#builder", "morph:outerHTML"
        return answer
    status = 409 if isinstance(error, Conflict) else 422
    context = {**_around(request, segment, given), "said": _said(error)}
    answer = render(request, "segments/_refused_dialog.html", context, status=status)
    answer["HX-Retarget"], answer["HX-Reswap"] = "#review", "innerHTML"
    return answer


def _shown(request: HttpRequest, given: views.Given, error: RuleErrors | DomainError) -> dict[str, Any]:
    """The builder's panel, with the focus at the first condition that is wrong."""
    panel = shown(request, given.text)
    if isinstance(error, RuleErrors) and (place := CONDITION.match(error.errors[0].pointer)):
        panel["focus"] = place[0]
    return panel


def _said(error: RuleErrors | DomainError) -> str:
    if isinstance(error, RuleErrors):
        return "; ".join(one.message[:1].upper() + one.message[1:] for one in error.errors)
    return error.message


def _answer(request: HttpRequest, body: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    wrapper = "segments/review_dialog.html" if _is_asked_by_htmx(request) else "segments/review_page.html"
    return render(request, wrapper, {**context, "body": body}, status=status)


def _done(request: HttpRequest, segment: Segment) -> HttpResponse:
    """To the segment's page: by htmx a redirect would be followed into the dialog."""
    if _is_asked_by_htmx(request):
        address = reverse("admin:segments_segment_detail", args=[segment.uuid])
        return HttpResponse(headers={"HX-Redirect": address})
    return redirect("admin:segments_segment_detail", uuid=segment.uuid)


def _around(request: HttpRequest, segment: Segment | None, given: views.Given) -> dict[str, Any]:
    """What all of these answers have: the draft itself, which what is saved is read from."""
    new = segment is None
    return {
        "segment": segment,
        "given": given,
        "save_url": reverse(
            "admin:segments_segment_new" if new else "admin:segments_segment_detail", args=_of(segment)
        ),
        "people_url": reverse(
            "admin:segments_segment_new_people" if new else "admin:segments_segment_review_people", args=_of(segment)
        ),
        "preview_token": _token(request),
    }


def _token(request: HttpRequest) -> UUID:
    """By which a review's count takes the place of the one before it on the same page, and not of what its panel counts."""
    try:
        return uuid5(UUID(request.POST.get("preview", "")), "review")
    except ValueError:
        return uuid4()


def _of(segment: Segment | None) -> list[UUID]:
    return [segment.uuid] if segment else []


def _segment(request: HttpRequest, uuid: UUID | None) -> Segment | None:
    """The segment that this reader may change; None of a new one, which they may make."""
    if uuid is None:
        demand_new(request)
        return None
    segment = segment_or_404(request, uuid)
    demand(request, segment, "change_segment")
    return segment


def _refuse_archived(segment: Segment) -> None:
    if segment.status == SegmentStatus.ARCHIVED:
        said = f"“{segment.name}” is archived; restore it before changing its rule."
        raise Conflict("segment_archived", said)


def _usual_purpose(segment: Segment | None) -> str:
    meant_for = segment.purposes.first() if segment else None
    return meant_for.key if meant_for else INTERNAL_ANALYSIS


def _is_asked_by_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"
