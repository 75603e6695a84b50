"""What stands around a draft while it is written: who of its people permits what, why somebody is among them, its SQL, and files.

Counting is asked for once the size is known, so that nothing waits for it. Each look at people is for a purpose, and on record.
"""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import path

from cdp.audit.admin_base import actor_of, reader_of
from cdp.errors import DomainError, NotFound
from cdp.identity.merging import survivor_of
from cdp.profiles.models import Profile
from consent.models import Purpose
from consent.querysets import permitted, purpose_or_error, purposes_for_lists
from segments import views
from segments.builder.views import as_draft_or_blank, panel
from segments.catalogue import catalog
from segments.engines import postgres
from segments.models import Segment
from segments.moments import moment_of_judgement
from segments.permission import permissions_of_rule
from segments.previews import PREVIEW_SECONDS
from segments.rule_files import LARGEST_FILE, FileRefused, rule_of_file
from segments.rules import RuleErrors, depends_on, load
from segments.rules.edit import EditRefused, as_draft
from segments.running import Superseded
from segments.screens.explained import tree_of
from segments.screens.members import is_revealed
from segments.sharing import load_for, sees_segments
from segments.showing_members import shown
from segments.text import lay_out, read
from segments.use import REASONS
from segments.why import why_draft

MOST_PURPOSES: Final = 8
Wrap = Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]


def addresses(post: Wrap) -> list[Any]:
    """Where these are."""
    name = "segments_segment_draft_{}".format
    return [
        path("draft/permits/", post(permits_view), name=name("permits")),
        path("draft/why/", post(why_view), name=name("why")),
        path("draft/sql/", post(sql_view), name=name("sql")),
        path("draft/export/", post(export_view), name=name("export")),
        path("draft/import/", post(import_view), name=name("import")),
    ]


# ---- People ----------------------------------------------------------------------------------------------------------


def permits_view(request: HttpRequest) -> HttpResponse:
    """For each purpose of the segment, how many of whom the draft gives permit it, and why the others are held back."""
    _demand_people(request)
    segment = _segment(request)
    context: dict[str, Any] = {}
    try:
        document = _document(request)
        found = permissions_of_rule(
            rule=document,
            purposes=_purposes(request, segment),
            segment=segment,
            by=actor_of(request),
            ticket=views.ticket_of(request),
        )
    except Superseded:
        return HttpResponse(status=204)
    except RuleErrors as errors:
        context["refused"] = errors.errors[0].message.capitalize()
    except DomainError as error:
        context["refused"] = error.message
    except OperationalError:
        context["refused"] = f"Counting took longer than {PREVIEW_SECONDS} seconds and was stopped."
    else:
        context["found"] = [
            {
                "purpose": purpose,
                "permitted": one.permitted,
                "share": one.permitted / one.members if one.members else 0.0,
                "members": one.members,
                "held_back": one.members - one.permitted,
                "reasons": [
                    (*REASONS[why], count) for why, count in sorted(one.left_out.items(), key=lambda each: -each[1])
                ],
            }
            for purpose, one in found
        ]
    return render(request, "segments/_permits.html", context)


def _purposes(request: HttpRequest, segment: Segment | None) -> list[Purpose]:
    """What the segment is meant for; where that isn't said, what people are shown for."""
    meant_for = set(segment.purposes.values_list("pk", flat=True)) if segment else set()
    chosen = [one for one in purposes_for_lists() if one.pk in meant_for][:MOST_PURPOSES]
    return chosen or [purpose_or_error(request.POST.get("purpose"))]


def why_view(request: HttpRequest) -> HttpResponse:
    """Why the draft is true of somebody who permits the purpose, or isn't."""
    _demand_people(request)
    # What is shown of one person is more than a sample shows of many: it takes the right to look people up.
    if not request.user.has_perm("profiles.view_profile"):
        raise PermissionDenied
    segment = _segment(request)
    context: dict[str, Any] = {}
    try:
        purpose = purpose_or_error(request.POST.get("purpose"))
        document = _document(request)
        profile = _person(request, purpose)
        is_masked = segment is None or not is_revealed(request, segment)
        told = why_draft(
            profile=profile,
            rule=document,
            segment=segment,
            purpose=purpose,
            by=actor_of(request),
            reader=reader_of(request),
            is_masked=is_masked,
        )
    except RuleErrors as errors:
        context["unexplained"] = f"Mend the rule first: {errors}"
    except DomainError as error:
        context["unexplained"] = error.message
    except OperationalError:
        context["unexplained"] = "Working it out took too long just now. Try again in a minute."
    else:
        [person] = shown([profile], [], is_masked=is_masked)
        context |= {"person": person, **tree_of(told, profile)}
    return render(request, "segments/_draft_why.html", context)


def _person(request: HttpRequest, purpose: Purpose) -> Profile:
    """Whoever was named, if they permit the purpose: else they are as unknown as somebody who never was."""
    try:
        profile = survivor_of(UUID(request.POST.get("person", "")))
    except (ValueError, NotFound):
        raise Http404 from None
    if not permitted(Profile.objects.filter(pk=profile.pk), purpose).exists():
        raise Http404
    return profile


# ---- The rule in other forms -----------------------------------------------------------------------------------------


def sql_view(request: HttpRequest) -> HttpResponse:
    """The statement by which the draft's people are found, with its operands. It isn't run, nor is anything else."""
    # Whoever may count people by the rule may see how they are counted; it names our tables, and nobody in them.
    _demand_people(request)
    context: dict[str, Any] = {}
    try:
        document = _document(request)
        known = catalog()
        loaded = load(document, known)
        if depends_on(loaded).rankings - known.thresholds.keys():
            said = "A percentile in it was never taken. Count the draft once, and ask again."
            raise DomainError("threshold_missing", said)
        sql, operands = postgres.people_of(loaded, known, as_of=moment_of_judgement(), is_laid_out=True)
    except RuleErrors as errors:
        context["refused"] = f"Mend the rule first: {errors}"
    except DomainError as error:
        context["refused"] = error.message
    else:
        used = [(name, _written(value)) for name, value in sorted(operands.items()) if f"%({name})s" in sql]
        context |= {"sql": sql, "operands": used}
    return render(request, "segments/_sql_dialog.html", context, status=422 if "refused" in context else 200)


def _written(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def export_view(request: HttpRequest) -> HttpResponse:
    """The draft as a file, as it was sent: sound or not."""
    _demand_segments(request)
    document, places = read(request.POST.get("rule", ""))
    text = request.POST.get("rule", "") if places else lay_out(document)
    segment = _segment(request)
    disposition = f'attachment; filename="{segment.key if segment else "rule"}.rule.json"'
    return HttpResponse(f"{text}\n", content_type="application/json", headers={"Content-Disposition": disposition})


def import_view(request: HttpRequest) -> HttpResponse:
    """The builder with the rule of a file instead of the draft; or the draft, and what is wrong with the file."""
    _demand_segments(request)
    given = request.FILES.get("file")
    refused = ""
    try:
        if given is None:
            raise DomainError("file_missing", "Choose a file.", "/file")
        document = as_draft(rule_of_file(given.read(LARGEST_FILE + 1)))
    except FileRefused as error:
        refused = f"{error.places[0].message} (line {error.places[0].line})"
    except (EditRefused, DomainError) as error:
        refused = error.message
    if refused:
        before, _ = read(request.POST.get("rule", ""))
        document = as_draft_or_blank(before)
        context = {**panel(request, document), "refused": f"The file was left out. {refused}", "may_edit": True}
        return render(request, "segments/builder/_panel.html", context, status=422)
    context = {**panel(request, document), "said": "Import a file", "may_edit": True}
    return render(request, "segments/builder/_panel.html", context)


# ---- Shared ----------------------------------------------------------------------------------------------------------


def _document(request: HttpRequest) -> Any:
    """The draft's document, fit to run and of nothing that its reader may not name.

    Raises:
        DomainError: it is no JSON.
        RuleErrors: all that is wrong with it.
    """
    document, places = read(request.POST.get("rule", ""))
    if places:
        raise DomainError("not_json", "Mend the rule first: it is not JSON yet.")
    load_for(reader_of(request), document)
    return document


def _segment(request: HttpRequest) -> Segment | None:
    """Whose draft it is; None of a new segment."""
    named = request.POST.get("segment", "")
    if not named:
        return None
    try:
        segment = views.visible_to(request).filter(uuid=UUID(named)).first()
    except ValueError:
        segment = None
    if segment is None:
        raise Http404
    return segment


def _demand_people(request: HttpRequest) -> None:
    """By a rule of their own making somebody could ask about everybody: a share of one segment isn't enough."""
    if not request.user.has_perm("segments.view_members"):
        raise PermissionDenied


def _demand_segments(request: HttpRequest) -> None:
    if not sees_segments(reader_of(request)):
        raise PermissionDenied
