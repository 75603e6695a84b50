"""The fragments that the builder puts together a field picker and value inputs from. What a field is like stands in the
modules beside; the builder, which places these and listens to them, is no business of this one.

GET  fields/               q, kind (one of FieldKind or "more", may be repeated), event, list (id of the listbox; "fields-list"),
                           only (a kind: nothing else is looked for, and there are no tabs), value (with event: its own value, too)
    Tabs and a listbox, to be swapped in below a combobox (`role="combobox"`, `aria-controls` the id of the listbox).
    Each tab is a button with `data-kind` ("" for all) and `aria-pressed`. Each option has an id ("<list>-0", ...), by which
    `aria-activedescendant` names it, and says what it is by `data-kind`, `data-key`, `data-event`, `data-type` (a `Type`, or
    ""), `data-label`, and the form of a condition about it and what that names by `data-form` and
    `data-about`; what this reader may not write a rule on has `aria-disabled="true"`. How many fit is said in a
    `role="status"`. With `event` it lists the properties of that event instead, and offers what was typed as the name of one
    that wasn't seen lately.
GET  fields/card/          kind, key, event
    A `<section>` about one field. 404 where there is none that the reader may see.
GET  fields/values/        kind, key, event, q, list (id of the listbox; "values-list")
    Options of a listbox: values to choose from, each with `data-value` as a rule has it. Personal fields have none. The list has
    `data-closed` where there are no other values than these.
POST fields/distribution/  op, value (repeated for "between"), id (prefix of ids; "hist"), and what is compared:
                           kind and key (trait, score), with event (property; kind=event for its value),
                           or figure: the JSON of a condition on events, `{"performed": ..., "measure": ..., ...}`
    A `<figure class="hist">`. Each button that sets the threshold has `data-threshold`: the value as a rule has it. So has
    each position of its slider; `cdp/js/fields.js` moves the picture with it and sends, from the figure and bubbling, the
    event `fields:threshold` with `detail` `{value, shown, done}`: `done` is false while it is dragged. Buttons send it too.

Whoever sees segments may see what fields are like; the figures of a condition, which are counted when asked for, are for
those who may read members, as previews are.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from cdp.audit.admin_base import reader_of
from cdp.errors import DomainError, NotFound
from segments.fields.cards import Card, card
from segments.fields.distributions import Distribution, Scale
from segments.fields.figures import distribution_of
from segments.fields.models import FieldKind
from segments.fields.picking import IN_PICKER, Beside, search, unit_of_values
from segments.fields.pictures import histogram, shown
from segments.fields.suggesting import CLOSED, values_of
from segments.moments import moment_of_judgement
from segments.rules import VERSION, Performed, Ranked, RuleErrors
from segments.sharing import catalog_visible_to, load_for, sees_segments

LONGEST_NAME = 200  # characters, of a property as rules name it
ID = re.compile(r"[a-z][a-z0-9-]{0,119}")
KINDS = {"": "All"} | {kind.value: kind.label if isinstance(kind, Beside) else f"{kind.label}s" for kind in IN_PICKER}


def _refuse_strangers(request: HttpRequest) -> None:
    if not sees_segments(reader_of(request)):
        raise PermissionDenied


def _id(given: str | None, otherwise: str) -> str:
    """An id for elements, as the builder has several pickers; what could be no id is left aside."""
    return given if given and ID.fullmatch(given) else otherwise


def _kind(given: str) -> FieldKind | Beside:
    try:
        return Beside.MORE if given == Beside.MORE else FieldKind(given)
    except ValueError:
        raise Http404 from None


def list_view(request: HttpRequest) -> HttpResponse:
    _refuse_strangers(request)
    query, event, only = (request.GET.get(name, "") for name in ("q", "event", "only"))
    asked = {_kind(one) for one in ([only] if only else request.GET.getlist("kind")) if one in KINDS and one}
    found = search(reader_of(request), query, kinds=asked or None, event=event)
    options = [one for _, fields in found.groups for one in fields]
    numbers = {id(one): number for number, one in enumerate(options)}
    typed = query.strip()[:LONGEST_NAME]
    context = {
        "found": found,
        "total": sum(found.counts.get(kind, 0) for kind in asked) if asked else found.total,
        "groups": [(kind, [(numbers[id(one)], one) for one in fields]) for kind, fields in found.groups],
        "tabs": []
        if only or event
        else [
            (
                kind,
                label,
                found.total if not kind else found.counts.get(_kind(kind), 0),
                kind in asked or not (kind or asked),
            )
            for kind, label in KINDS.items()
        ],
        "event": event,
        "unseen": typed if event and typed and all(one.key != typed for one in options) else "",
        "value_in": unit_of_values() if event and request.GET.get("value") and not typed else "",
        "list_id": _id(request.GET.get("list"), "fields-list"),
        "query": query,
    }
    return render(request, "segments/fields/list.html", context)


def card_view(request: HttpRequest) -> HttpResponse:
    _refuse_strangers(request)
    return render(request, "segments/fields/card.html", card_context(_card(request, request.GET)))


def card_context(found: Card) -> dict[str, Any]:
    """What the card's template shows."""
    lies = found.distribution
    if lies is None or not lies.is_shown:
        return {"card": found, "picture": None}
    ends = [shown(lies.edges[place], lies) for place in (0, -1)]
    return {"card": found, "picture": histogram(lies, op=""), "ends": ends}


def values_view(request: HttpRequest) -> HttpResponse:
    _refuse_strangers(request)
    found = _card(request, request.GET)
    context = {
        "suggestions": values_of(found, request.GET.get("q", "")),
        "is_closed": found.field.type in CLOSED,
        "list_id": _id(request.GET.get("list"), "values-list"),
    }
    return render(request, "segments/fields/values.html", context)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What a histogram is of, and what is said above it."""

    title: str
    unit: str
    lies: Distribution | None
    has: str


def distribution_view(request: HttpRequest) -> HttpResponse:
    _refuse_strangers(request)
    try:
        asked = _figure(request) if request.POST.get("figure") else _field(request)
    except RuleErrors as errors:
        return _without_picture(request, f"Mend the condition first: {errors.errors[0].message}.", status=422)
    except DomainError as error:
        return _without_picture(request, error.message, status=422)
    if asked.lies is None:
        return _without_picture(
            request, "How these figures lie can’t be told in a few seconds. The condition works all the same."
        )
    if not asked.lies.is_shown:
        people = asked.lies.people
        said = "Nobody has such a figure." if not people else "Too few people have such a figure to show how they lie."
        return _without_picture(request, said)
    op, compared = request.POST.get("op", "gte"), _compared(request.POST.getlist("value"), asked.lies)
    context = {
        "asked": asked,
        "op": op,
        "picture": histogram(asked.lies, op=op, values=compared, unit=asked.unit),
        "id": _id(request.POST.get("id"), "hist"),
        "is_log": asked.lies.scale == Scale.LOG,
    }
    return render(request, "segments/fields/histogram.html", context)


def _without_picture(request: HttpRequest, said: str, *, status: int = 200) -> HttpResponse:
    return render(request, "segments/fields/no_histogram.html", {"said": said}, status=status)


def _card(request: HttpRequest, given: Any) -> Card:
    if any("\0" in given.get(name, "") for name in ("key", "event")):  # which no database can look for
        raise Http404
    try:
        return card(
            reader_of(request), _kind(given.get("kind", "")), given.get("key", ""), event=given.get("event", "")
        )
    except NotFound:
        raise Http404 from None


def _field(request: HttpRequest) -> _Asked:
    found = _card(request, request.POST)
    if found.field.is_personal:
        raise DomainError("personal_data", "Of personal data nothing is shown but how many people have it.")
    if found.measured_at is None:
        raise DomainError(
            "not_measured", "Nobody has counted this field yet. It is done each night, or on the page of traits."
        )
    if found.distribution is None:
        raise DomainError("not_a_number", "Only numbers and dates lie somewhere between each other.")
    has = (
        "events with it, in 30 days"
        if found.field.kind in (FieldKind.PROPERTY, FieldKind.EVENT)
        else "people who have it"
    )
    title = f"Value of {found.field.label}" if found.field.kind == FieldKind.EVENT else found.field.label
    return _Asked(title=title, unit=found.unit, lies=found.distribution, has=has)


def _figure(request: HttpRequest) -> _Asked:
    if not request.user.has_perm("segments.view_members"):
        raise PermissionDenied
    try:
        document = json.loads(request.POST["figure"])
    except (ValueError, RecursionError):
        raise DomainError("not_json", "The condition isn’t JSON.") from None
    if not isinstance(document, dict) or "performed" not in document:
        raise DomainError("not_a_figure", "Only what is counted over events has such figures.")
    # What it is compared with makes no difference, and may not be typed in full yet.
    kept = {
        key: document[key]
        for key in ("performed", "measure", "of", "where", "within", "per", "each")
        if key in document
    }
    figure = load_for(reader_of(request), {"version": VERSION, **kept, "op": "gte", "value": 1})
    if isinstance(figure, Ranked) or not isinstance(figure, Performed):
        raise DomainError("not_a_figure", "Only what is counted over events has such figures.")
    known = catalog_visible_to(reader_of(request))
    try:
        lies = distribution_of(figure, known, moment_of_judgement())
    except ValueError:
        raise DomainError("not_a_number", "Only numbers lie somewhere between each other.") from None
    label = known.events[figure.event].label
    is_value = figure.computed.takes_property and figure.of is None
    unit = unit_of_values() if is_value else ""
    return _Asked(title=_title(figure, label, is_value=is_value), unit=unit, lies=lies, has=f"people with {label}")


def _title(figure: Performed, label: str, *, is_value: bool) -> str:
    noun = figure.computed.noun.capitalize()
    if is_value:
        return f"{noun} value of {label}, per person"
    return f"{noun} of {figure.of}, {label}, per person" if figure.of else f"{noun} of {label}, per person"


def _compared(given: list[str], lies: Distribution) -> tuple[Decimal, ...]:
    """What the condition compares with, as far as it is there and can be read; at most two."""
    found = []
    for text in given[:2]:
        try:
            if lies.scale == Scale.DATE:
                moment = datetime.fromisoformat(text)
                found.append(Decimal(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())))
            elif (value := Decimal(text)).is_finite() and abs(value) < 10**15:
                found.append(value)
        except (ValueError, InvalidOperation, OverflowError):
            continue
    return tuple(found)
