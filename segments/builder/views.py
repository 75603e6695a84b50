"""The builder's answers: the draft after each step.

What is posted is the draft's own text with the step; what comes back is the same panel after it. Counting people is in
`segments.views`, saving a draft in `segments.admin`, and what a reader may name, in `segments.sharing`.
"""

from datetime import date
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from cdp.audit.admin_base import reader_of
from segments.builder.aids import Known, properties_in
from segments.builder.phrases import phrases
from segments.builder.steps import step_of
from segments.builder.tree import tree
from segments.fields.models import FieldKind, FieldStatistics
from segments.fields.picking import unit_of_values
from segments.moments import moment_of_judgement
from segments.rules import Catalog, RuleError, RuleErrors, Type, describe, load
from segments.rules.edit import Document, EditRefused, as_draft, blank, edit
from segments.sharing import catalog_visible_to, load_for, sees_segments
from segments.text import lay_out, read

LONGEST: Final = 60  # characters; no phrase for a day is longer


def build_view(request: HttpRequest) -> HttpResponse:
    """The panel after a step. One that can't be taken leaves the draft as it is, and says why."""
    if not sees_segments(reader_of(request)):
        raise PermissionDenied
    text = request.POST.get("rule", "")
    document, places = read(text)
    if places:
        context = {**shown(request, text), "may_edit": True}
        return render(request, "segments/builder/_panel.html", context, status=422)
    known = catalog_visible_to(reader_of(request))
    said, focus, refused = "", "", ""
    try:
        draft = as_draft(document if isinstance(document, dict) else {})
        if request.POST.get("do", "show") != "show":
            step = step_of(request.POST.dict(), draft, known, today=_today())
            draft, said, focus = edit(draft, step.action), step.said, step.focus
    except EditRefused as error:
        refused, draft = error.message, as_draft_or_blank(document)
    context = {**panel(request, draft, known), "said": said, "focus": focus, "refused": refused, "may_edit": True}
    return render(request, "segments/builder/_panel.html", context, status=422 if refused else 200)


def shown(request: HttpRequest, text: str) -> dict[str, Any]:
    """What the panel shows of a text: of one that isn't JSON, where it stops being so."""
    document, places = read(text) if text else (blank(), [])
    return {"text": text, "places": places, "build": _address()} if places else panel(request, document)


def as_draft_or_blank(document: Any) -> Document:
    """The draft of what was posted; a blank one where it is too large to be shown."""
    try:
        return as_draft(document if isinstance(document, dict) else {})
    except EditRefused:
        return blank()


def panel(request: HttpRequest, document: Any, known: Catalog | None = None) -> dict[str, Any]:
    """What the panel shows of a draft.

    Args:
        document: a rule or a draft of one.
    """
    known = known or catalog_visible_to(reader_of(request))
    draft = as_draft_or_blank(document)
    errors = wrong_with(request, draft, known)
    root = tree(draft, known, errors, known_of(request, draft))
    return {
        "text": lay_out(draft),
        "root": root,
        "mistakes": root.all_mistakes,
        "sentence": "" if errors else describe(load(draft, known), known),
        "build": _address(),
    }


def wrong_with(request: HttpRequest, draft: Document, known: Catalog | None = None) -> list[RuleError]:
    """All that keeps the draft from being a rule that this reader may save."""
    try:
        load_for(reader_of(request), draft, known)
    except RuleErrors as refused:
        return list(refused.errors)
    return []


def known_of(request: HttpRequest, draft: Document) -> Known:
    """What is known of the fields that the draft names; as many queries for a large draft as for a small one."""
    named = set(properties_in(draft))
    rows = FieldStatistics.objects.filter(
        kind=FieldKind.PROPERTY, event__in={event for event, _ in named}, key__in={name for _, name in named}
    )
    types = {(event, key): Type(kind) for event, key, kind in rows.values_list("event", "key", "type") if kind}
    return Known(types=types, currency=unit_of_values(), may_count=reader_of(request).has_perm("segments.view_members"))


def phrases_view(request: HttpRequest) -> HttpResponse:
    """Days and spans that somebody may mean by what they typed (``q``); ``moving`` where a span can take a day's place."""
    if not sees_segments(reader_of(request)):
        raise PermissionDenied
    given = request.GET
    found = phrases(given.get("q", "")[:LONGEST], _today(), may_move=bool(given.get("moving")))
    return render(request, "segments/builder/phrases.html", {"phrases": found, "list_id": "values-list"})


def _today() -> date:
    """The day it is by the workspace's calendar, as people see it."""
    return moment_of_judgement().date()


def _address() -> str:
    """Where steps are posted. In the context, as a rule of 30 conditions names it some 400 times."""
    return reverse("admin:segments_segment_build")
