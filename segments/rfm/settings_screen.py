"""The screen of RFM's settings: window, thresholds, weights and the table of groups, checked while it is written.

What is typed is in `segments.rfm.drafting`, what sound settings are in `segments.analytics.rfm`; saving is a service.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from cdp.audit.admin_base import actor_of, reader_of
from cdp.charts import Height
from cdp.errors import DomainError
from consent.models import Purpose
from segments.analytics.rfm import MOST_WINDOW_DAYS, Cutting, GroupRow, Measure, Problem, groups_by_cell
from segments.analytics.rfm_groups import DEFAULT_SCHEME
from segments.rfm.drafting import CUTS, MOST_ROWS, Draft
from segments.rfm.grid import STEPS
from segments.rfm.looking import Look, looked_at
from segments.rfm.models import RfmSettings
from segments.rfm.pictures import MEASURES, distribution_figure
from segments.rfm.screens import PAGE, RUN, demand, frame
from segments.rfm.services import change_settings, request_run

CHANGE: Final = "segments.change_rfmsettings"
SETTINGS: Final = "admin:segments_rfmrun_settings"
COLOURS: Final = 12
STEP_CHOICES: Final = [(str(n), str(n)) for n in range(1, STEPS + 1)]
NO_GROUP: Final = "no group"
UNITS: Final = {"recency": "days", "frequency": "orders", "monetary": "amount"}


def page(request: HttpRequest) -> HttpResponse:
    """The settings as they are saved; on POST those that were typed, saved or with what is wrong."""
    demand(request)
    if request.method == "POST":
        return _save(request)
    saved = RfmSettings.current()
    draft = Draft.from_scheme(saved.as_scheme, purpose=saved.purpose.key, is_nightly=saved.is_nightly)
    return _shown(request, draft, "segments/rfm/settings.html")


def draft_view(request: HttpRequest) -> HttpResponse:
    """What is typed, after a step on the table, with what is wrong and what it would come to. Nothing is saved."""
    demand(request, CHANGE)
    act, draft = request.POST.get("do", ""), Draft.of(request.POST)
    if act == "defaults":
        draft = replace(draft, rows=DEFAULT_SCHEME.groups)
    return _shown(request, draft.after(act), "segments/rfm/_settings.html", focus=_focus_after(act, len(draft.rows)))


def _save(request: HttpRequest) -> HttpResponse:
    demand(request, CHANGE)
    draft = Draft.of(request.POST)
    scheme, wrong = draft.read()
    if scheme is None or wrong:
        return _shown(request, draft, "segments/rfm/settings.html", status=422)
    try:
        change_settings(by=actor_of(request), scheme=scheme, purpose=draft.purpose, is_nightly=draft.is_nightly)
        if request.POST.get("save") == "run":
            demand(request, RUN)
            request_run(by=actor_of(request), user=reader_of(request))
            return redirect(PAGE)
    except DomainError as error:
        return _shown(request, draft, "segments/rfm/settings.html", status=422, error=error.message)
    messages.success(request, "Saved. Scores are as they were until the next run.")
    return redirect(SETTINGS)


def _focus_after(act: str, rows: int) -> str:
    """The id of what has the focus after a step, so that a row is moved on and on by one key."""
    verb, _, place = act.partition("-")
    if verb in ("up", "down") and place.isascii() and place.isdecimal() and len(place) < 3:
        to = int(place) + (1 if verb == "down" else -1)
        return f"{verb}-{min(max(to, 0), rows - 1)}"
    if verb == "add":
        return f"name-{min(rows, MOST_ROWS - 1)}"
    return ""


def _shown(
    request: HttpRequest, draft: Draft, template: str, *, status: int = 200, focus: str = "", error: str = ""
) -> HttpResponse:
    _, wrong = draft.read()
    look = looked_at("")
    at = groups_by_cell(draft.rows)
    context = {
        "draft": draft,
        "focus": focus,
        "error": error,
        "may_change": request.user.has_perm(CHANGE),
        "purposes": [(one.key, one.label) for one in Purpose.objects.all()],
        "most_days": MOST_WINDOW_DAYS,
        "steps": STEP_CHOICES,
        "mistakes": {name: _said(wrong, f"/{name}") for name in ("window_days", "weights")},
        "measures": [_measure(draft, one, wrong, look) for one in Measure],
        "weights": [{"name": f"{one}-weight", "label": MEASURES[one], "value": draft.weights[one]} for one in Measure],
        "rows": rows_shown(draft.rows, at, wrong),
        "is_full": len(draft.rows) >= MOST_ROWS,
        "cover": cover_shown(draft.rows, at),
        "is_sound": not wrong,
        "cover_said": said_of(draft.rows, at, wrong),
        **_spread(draft, look, at),
    }
    if template.endswith("settings.html") and "_settings" not in template:
        context |= frame(request, SETTINGS, look)
    return render(request, template, context, status=status)


def _said(wrong: Sequence[Problem], pointer: str) -> str:
    return " ".join(one.message for one in wrong if one.pointer == pointer or one.pointer.startswith(f"{pointer}/"))


def _measure(draft: Draft, measure: Measure, wrong: Sequence[Problem], look: Look | None) -> dict[str, Any]:
    """The controls of one measure, and its distribution in the newest run with the thresholds drawn in."""
    is_fixed = measure.value in draft.fixed
    unit = look.currency if look and measure == Measure.MONETARY else UNITS[measure]
    kinds = {"value": (draft.values[measure], unit), "percent": (draft.percents[measure], "%")}
    shown, hidden = ("value", "percent") if is_fixed else ("percent", "value")
    # Recency is good when it is little: its lowest cut parts 5 from 4.
    parts = [(5 - n, 4 - n) if measure == Measure.RECENCY else (n + 1, n + 2) for n in CUTS]
    distribution = next((one for one in look.distributions if one.measure == measure), None) if look else None
    if distribution and is_fixed:
        typed = draft.read()[0]
        cuts = [float(one) for one in typed.cuts_of(measure).values] if typed else []
        distribution = replace(distribution, cuts=cuts) if len(cuts) == len(CUTS) else distribution
    return {
        "key": measure.value,
        "label": MEASURES[measure],
        "is_fixed": is_fixed,
        "fixed": Cutting.FIXED.value,
        "quantiles": Cutting.QUANTILES.value,
        "controls": [
            {"name": f"{measure}-{shown}-{n}", "label": f"{low} | {high}, {kinds[shown][1]}", "value": value}
            for n, (value, (low, high)) in enumerate(zip(kinds[shown][0], parts, strict=True))
        ],
        "kept": [(f"{measure}-{hidden}-{n}", value) for n, value in enumerate(kinds[hidden][0])],
        "error": _said(wrong, f"/{measure}"),
        "figure": (
            distribution_figure(distribution, look.currency, height=Height.LOW) if distribution and look else None
        ),
    }


def rows_shown(
    rows: Sequence[GroupRow], at: dict[tuple[int, int], int], wrong: Sequence[Problem]
) -> list[dict[str, Any]]:
    """The rows with how many cells each has, and what is wrong with it."""
    cells = Counter(at.values())
    return [
        {
            "row": row,
            "called": row.name or f"group {number + 1}",
            "r_low": str(row.r_low),
            "r_high": str(row.r_high),
            "fm_low": str(row.fm_low),
            "fm_high": str(row.fm_high),
            "cells": cells[number],
            "colour": number % COLOURS,
            "error": _said(wrong, f"/groups/{number}"),
        }
        for number, row in enumerate(rows)
    ]


def cover_shown(rows: Sequence[GroupRow], at: dict[tuple[int, int], int]) -> list[tuple[int, list[dict[str, str]]]]:
    """For each FM, from the top, the cells with their group's colour and name."""
    shown = []
    for fm in range(STEPS, 0, -1):
        cells = []
        for r in range(1, STEPS + 1):
            number = at.get((r, fm))
            text = NO_GROUP if number is None else rows[number].name or f"group {number + 1}"
            cells.append({"text": text, "css": "rf-none" if number is None else f"g{number % COLOURS}"})
        shown.append((fm, cells))
    return shown


def said_of(rows: Sequence[GroupRow], at: dict[tuple[int, int], int], wrong: Sequence[Problem]) -> str:
    """In a sentence, whether this can be saved."""
    if not wrong:
        return f"All 25 cells have a group, and each of the {len(rows)} rows takes some."
    gaps = _said([one for one in wrong if one.pointer == "/groups"], "/groups")
    others = sum(1 for one in wrong if one.pointer != "/groups")
    more = (
        f"{others} thing{'s' if others > 1 else ''} to mend, told where {'they stand' if others > 1 else 'it stands'}."
    )
    return " ".join(filter(None, [gaps, more if others else ""]))


def _spread(draft: Draft, look: Look | None, at: dict[tuple[int, int], int]) -> dict[str, Any]:
    """How the people of the newest run would spread over this table, and when that isn't all that changes."""
    if look is None:
        return {}
    typed, _ = draft.read()
    others = typed is None or replace(typed, groups=look.scheme.groups) != look.scheme
    return {
        "spread": spread_of(draft.rows, look, at),
        "spread_run": look,
        "spread_unsure": (
            "Window, thresholds or weights are changed, too. These are the people of the cells as they were; how scores "
            "themselves change is known after the next run."
            if others
            else ""
        ),
    }


def spread_of(rows: Sequence[GroupRow], look: Look, at: dict[tuple[int, int], int]) -> list[tuple[str, int, int]]:
    """(Group, people now, people with this table), of a run's cells: a group depends on nothing but the cell."""
    now, then = Counter[str](), Counter[str]()
    for place, sums in look.sums.items():
        now[look.group_at[place]] += sums.people
        number = at.get(place)
        then[NO_GROUP if number is None else rows[number].name] += sums.people
    names = dict.fromkeys([*(row.name for row in rows), *(one.name for one in look.groups), *then])
    return [(name, now[name], then[name]) for name in names if name and (now[name] or then[name])]
