"""The Members page of a segment: who is in it, for a purpose and page by page; why; and who was added or removed by hand.

Pages are read in `segments.paging_members`, what is shown of each in `segments.showing_members`; verdicts in `segments.why`, and
what is done by hand in `segments.by_hand`. Each look at people is on record.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.signing import Signer
from django.db import OperationalError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme

from cdp.audit.admin_base import actor_of, reader_of
from cdp.audit.services import record
from cdp.database import limit_statements
from cdp.errors import DomainError, NotFound
from cdp.identity.merging import survivor_of
from cdp.profiles.models import Profile
from cdp.spreadsheet import as_file
from consent.models import Purpose
from consent.querysets import INTERNAL_ANALYSIS, permitted, purpose_or_error, purposes_for_lists
from segments.by_hand import entries_of, put_by_hand, standing_by_hand, undo_by_hand
from segments.carrying import HandLists, hand_lists
from segments.models import READABLE, ByHand, ListEntry, Segment
from segments.paging_members import page_of_members
from segments.permission import permission_of
from segments.querysets import members_of
from segments.rules import RuleErrors
from segments.screens.explained import explanation
from segments.screens.frame import demand, frame, segment_or_404
from segments.sharing import may
from segments.showing_members import MOST_COLUMNS, Column, chosen, columns_there_are, shown
from segments.sorting_members import (
    NEWEST,
    Order,
    headings,
    is_personal,
    may_sort_by_values,
    names_among,
    order_of,
    orders,
)
from segments.use import REASONS

SECONDS: Final = 5
REVEAL_SECONDS: Final = 15 * 60
CHUNK: Final = 1_000
BY_HAND_SHOWN: Final = 10
# Exports go by profile number: then the log can tell whom each part of one held, as of pages over the API.
Wrap = Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]


def addresses(get: Wrap, post: Wrap) -> list[Any]:
    """Where the page and its parts are."""
    return [
        path("<uuid:uuid>/members/", get(page_view), name="segments_segment_members"),
        path("<uuid:uuid>/members/figures/", get(figures_view), name="segments_segment_member_figures"),
        path("<uuid:uuid>/members/columns/", post(columns_view), name="segments_segment_member_columns"),
        path("<uuid:uuid>/members/reveal/", post(reveal_view), name="segments_segment_members_reveal"),
        path("<uuid:uuid>/members/members.csv", post(export_view), name="segments_segment_members_export"),
        path("<uuid:uuid>/members/find/", get(find_view), name="segments_segment_member_find"),
        path("<uuid:uuid>/members/<uuid:person>/", get(why_view), name="segments_segment_member"),
        path("<uuid:uuid>/members/<uuid:person>/by-hand/", post(by_hand_view), name="segments_segment_member_by_hand"),
    ]


# ---- The page --------------------------------------------------------------------------------------------------------


def page_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    segment = _segment(request, uuid)
    purpose = _purpose(request)
    is_masked = not is_revealed(request, segment)
    columns_known = columns_there_are()
    columns = chosen(request.session.get("member_columns", []), columns_known)
    sorts: dict[str, Any] = {
        "segment": segment,
        "columns": columns,
        "names": [] if is_masked else names_among(columns_known),
    }
    order = order_of(request.GET.get("order", NEWEST), **sorts)
    query = request.GET.get("q", "").strip()
    context: dict[str, Any] = {
        **frame(request, segment),
        "purposes": purposes_for_lists(),
        "purpose": purpose,
        "query": query,
        "order": order.key,
        "orders": list(orders(**sorts)),
        "headings": headings(order, **sorts),
        "sorts": may_sort_by_values(segment),
        "is_readable": _is_readable(segment),
        "columns": columns,
        "columns_known": columns_known,
        "most_columns": MOST_COLUMNS,
        "is_masked": is_masked,
        "may_reveal": request.user.has_perm("profiles.reveal_pii"),
        "is_first": not request.GET.get("after"),
        **_by_hand(request, segment, purpose, is_masked=is_masked),
    }
    if _is_readable(segment):
        try:
            context |= _page(request, segment, purpose, order, query, columns, is_masked=is_masked)
        except OperationalError:
            context["too_slow"] = True
    return render(request, "segments/members.html", context)


@transaction.atomic
def _page(
    request: HttpRequest,
    segment: Segment,
    purpose: Purpose,
    order: Order,
    query: str,
    columns: list[Column],
    *,
    is_masked: bool,
) -> dict[str, Any]:
    limit_statements(seconds=SECONDS)
    page = page_of_members(
        segment=segment,
        purpose=purpose,
        order=order,
        search=query,
        reads_personal=not is_masked,
        after=request.GET.get("after", ""),
    )
    people = shown([one.profile for one in page.members], columns, is_masked=is_masked)
    _record_people(request, segment, purpose, [one.profile for one in page.members], columns, is_masked=is_masked)
    rows = list(zip(page.members, people, strict=True))
    return {"rows": rows, "next": page.next, "by_hand_of": _marks(segment, [one.profile_id for one in page.members])}


def _record_people(
    request: HttpRequest,
    segment: Segment,
    purpose: Purpose,
    people: list[Profile],
    columns: list[Column],
    *,
    is_masked: bool,
) -> None:
    """Who was shown, by name: in other orders than by number nobody could work it out afterwards."""
    detail = {
        "sample": [str(one.uuid) for one in people],
        "fields": ["uuid", "entered_at", "identifiers", *_fields(columns)],
        "masked": is_masked,
    }
    record(by=actor_of(request), action="members.viewed", object=segment, purpose=purpose.key, detail=detail)


def _fields(columns: list[Column]) -> list[str]:
    """What the log calls these columns."""
    said = {
        "scores" if one.trait is None else "personal traits" if is_personal(one.trait) else "traits" for one in columns
    }
    return sorted({*said, "personal traits"})  # names are


def _marks(segment: Segment, profile_ids: list[int]) -> dict[int, ByHand]:
    """Who of these was added by hand; whoever was removed is no member."""
    on = ListEntry.objects.filter(list__segment=segment, profile__in=profile_ids)
    return {one: ByHand(kind) for one, kind in on.values_list("profile_id", "list__by_hand")}


def figures_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """How many are in, how many of them permit the purpose, and why the others are left out."""
    segment, purpose = _segment(request, uuid), _purpose(request)
    context: dict[str, Any] = {"segment": segment, "purpose": purpose}
    try:
        found = permission_of(segment=segment, purpose=purpose, by=actor_of(request))
    except DomainError as error:
        return render(request, "segments/members_figures.html", context | {"error": error})
    reasons = [(REASONS[why][0], count) for why, count in sorted(found.left_out.items(), key=lambda one: -one[1])]
    context |= {"found": found, "held_back": found.members - found.permitted, "reasons": reasons}
    return render(request, "segments/members_figures.html", context)


def columns_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Remembers which columns this reader wants to see, of every segment."""
    _segment(request, uuid)
    request.session["member_columns"] = [one.key for one in chosen(request.POST.getlist("column"), columns_there_are())]
    return _back(request, uuid)


def reveal_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Shows personal data in this list for a quarter of an hour, or masks it again."""
    segment = _segment(request, uuid)
    if not request.user.has_perm("profiles.reveal_pii"):
        raise PermissionDenied
    now, key = time.time(), str(segment.uuid)
    still = {one: until for one, until in request.session.get("revealed_members", {}).items() if until > now}
    if "mask" in request.POST:
        still.pop(key, None)
    else:
        with transaction.atomic():
            detail = {"seconds": REVEAL_SECONDS}
            record(by=actor_of(request), action="members.revealed", object=segment, detail=detail)
        still[key] = now + REVEAL_SECONDS
    request.session["revealed_members"] = still
    return _back(request, uuid)


def is_revealed(request: HttpRequest, segment: Segment) -> bool:
    """Whether this reader asked, within the last quarter of an hour, to see these members unmasked, and still may."""
    until = request.session.get("revealed_members", {}).get(str(segment.uuid), 0)
    return until > time.time() and request.user.has_perm("profiles.reveal_pii")


# ---- Taking the list away --------------------------------------------------------------------------------------------


def export_view(request: HttpRequest, uuid: UUID) -> HttpResponseBase:
    """The members who permit the purpose as CSV, with the columns that are shown; streamed, each part on record."""
    segment, purpose = _segment(request, uuid), _purpose(request)
    if not _is_readable(segment):
        raise Http404
    is_masked = not is_revealed(request, segment)
    columns = chosen(request.session.get("member_columns", []), columns_there_are())
    header = ["uuid", "identifier", "entered_at", *(one.name for one in columns)]
    rows = _rows(request, segment, purpose, columns, is_masked=is_masked)
    return as_file(f"{segment.key}-{purpose.key}.csv", header, rows)


def _rows(
    request: HttpRequest, segment: Segment, purpose: Purpose, columns: list[Column], *, is_masked: bool
) -> Iterator[list[str]]:
    """A part at a time, by profile number, each asked for anew: who withdraws meanwhile isn't in the next."""
    signer, after = Signer(salt="members.csv"), 0
    while True:
        with transaction.atomic():
            found = members_of(segment, purpose, after=after).order_by("profile_id")
            members = list(found.prefetch_related("profile__identifiers")[:CHUNK])
            detail = {
                "version": segment.live_version.number if segment.live_version else None,
                "cursor": signer.sign_object([str(after)]) if after else "",
                "count": len(members),
                "fields": ["uuid", "entered_at", "identifiers", *_fields(columns)],
                "masked": is_masked,
            }
            record(by=actor_of(request), action="members.exported", object=segment, purpose=purpose.key, detail=detail)
            people = shown([one.profile for one in members], columns, is_masked=is_masked)
        for member, one in zip(members, people, strict=True):
            cells = ["" if cell.value is None else str(cell.value) for cell in one.cells]
            yield [str(one.profile.uuid), one.identifier, member.entered_at.isoformat(), *cells]
        if len(members) < CHUNK:
            return
        after = members[-1].profile_id


# ---- One person ------------------------------------------------------------------------------------------------------


def why_view(request: HttpRequest, uuid: UUID, person: UUID) -> HttpResponse:
    """Why somebody is in, or isn't; as a part of the page, or as one of its own."""
    segment, purpose = _segment(request, uuid), _purpose(request)
    try:
        profile = survivor_of(person)
    except NotFound:
        raise Http404 from None
    if not permitted(Profile.objects.filter(pk=profile.pk), purpose).exists():
        raise Http404
    if "closed" in request.GET:
        [shown_as] = shown([profile], [], is_masked=not is_revealed(request, segment))
        button = {"segment": segment, "purpose": purpose, "uuid": profile.uuid, "name": shown_as.name, "is_oob": True}
        return render(request, "segments/members_why_button.html", button)
    context = _why(request, segment, purpose, profile)
    if request.headers.get("HX-Request"):
        return render(request, "segments/members_why.html", context | {"is_row": True})
    return render(request, "segments/member.html", {**frame(request, segment), **context})


def find_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Somebody looked up by an identifier, member or not, and why."""
    segment, purpose = _segment(request, uuid), _purpose(request)
    if not request.user.has_perm("profiles.view_profile"):
        raise PermissionDenied
    query = request.GET.get("who", "").strip()
    found = list(permitted(Profile.objects.found_by(query), purpose)[:2]) if query else []
    context: dict[str, Any] = {"segment": segment, "purpose": purpose, "who": query, "many": len(found) > 1}
    if len(found) == 1:
        context |= _why(request, segment, purpose, found[0])
    else:
        with transaction.atomic():  # nobody was shown, and yet somebody was looked for
            _record_people(request, segment, purpose, [], [], is_masked=True)
    if request.headers.get("HX-Request"):
        return render(request, "segments/members_found.html", context)
    return render(request, "segments/member.html", {**frame(request, segment), **context})


def _why(request: HttpRequest, segment: Segment, purpose: Purpose, profile: Profile) -> dict[str, Any]:
    # What is shown of one person is more than a list shows of many: it takes the right to look people up.
    if not request.user.has_perm("profiles.view_profile"):
        raise PermissionDenied
    is_masked = not is_revealed(request, segment)
    [person] = shown([profile], [], is_masked=is_masked)
    lists = hand_lists(segment)
    return {
        "segment": segment,
        "purpose": purpose,
        "person": person,
        "entry": standing_by_hand(lists, profile),
        "removes": lists is not None and ListEntry.objects.filter(list=lists.exclude, profile=profile).exists(),
        "may_edit": may(reader_of(request), "edit_members", segment),
        "is_masked": is_masked,
        **explanation(request, segment, purpose, profile, is_masked=is_masked),
    }


def by_hand_view(request: HttpRequest, uuid: UUID, person: UUID) -> HttpResponse:
    """Adds somebody, removes somebody, or takes that back."""
    segment, purpose = _segment(request, uuid), _purpose(request)
    demand(request, segment, "edit_members")
    if not request.user.has_perm("profiles.view_profile"):
        raise PermissionDenied
    try:
        profile = survivor_of(person)
    except NotFound:
        raise Http404 from None
    if not permitted(Profile.objects.filter(pk=profile.pk), purpose).exists():
        raise Http404
    act = request.POST.get("act", "")
    try:
        if act == "undo":
            undo_by_hand(segment=segment, profile=profile, by=actor_of(request))
            said = "Taken back: the rule decides about them again."
        elif act in ByHand.values:
            put_by_hand(
                segment=segment,
                profile=profile,
                kind=ByHand(act),
                reason=request.POST.get("reason", ""),
                by=actor_of(request),
                user=reader_of(request),
            )
            said = "Added by hand." if act == ByHand.INCLUDE else "Removed by hand."
        else:
            raise Http404
    except (RuleErrors, DomainError) as error:
        messages.error(request, error.message if isinstance(error, DomainError) else f"The rule can't go live: {error}")
    else:
        messages.success(request, f"{said} Members follow within a second.")
    return _back(request, uuid)


def _by_hand(request: HttpRequest, segment: Segment, purpose: Purpose, *, is_masked: bool) -> dict[str, Any]:
    """The newest on each of the two lists, of those who may be shown."""
    lists = hand_lists(segment)
    context: dict[str, Any] = {"lists": lists, "may_edit": may(reader_of(request), "edit_members", segment), "hand": []}
    if lists is None:
        return context
    return context | {"hand": [_hand(request, lists, kind, purpose, is_masked=is_masked) for kind in ByHand]}


def _hand(request: HttpRequest, lists: HandLists, kind: ByHand, purpose: Purpose, *, is_masked: bool) -> dict[str, Any]:
    shows = permitted(Profile.objects.order_by(), purpose).values("pk")
    entries = entries_of(lists, kind).filter(profile__in=shows).prefetch_related("profile__identifiers")
    newest = list(entries[: BY_HAND_SHOWN + 1])
    people = shown([one.profile for one in newest[:BY_HAND_SHOWN]], [], is_masked=is_masked)
    if newest:
        with transaction.atomic():
            detail = {"sample": [str(one.profile.uuid) for one in people], "masked": is_masked}
            record(
                by=actor_of(request),
                action="list.people_viewed",
                object=lists.of(kind),
                purpose=purpose.key,
                detail=detail,
            )
    return {
        "kind": kind,
        "list": lists.of(kind),
        "rows": list(zip(newest[:BY_HAND_SHOWN], people, strict=True)),
        "has_more": len(newest) > BY_HAND_SHOWN,
    }


# ---- Shared ----------------------------------------------------------------------------------------------------------


def _segment(request: HttpRequest, uuid: UUID) -> Segment:
    segment = segment_or_404(request, uuid)
    demand(request, segment, "view_members")
    return segment


def _is_readable(segment: Segment) -> bool:
    """Whether it has members: while it is paused, those from before."""
    return segment.status in READABLE and segment.live_version is not None


def _purpose(request: HttpRequest) -> Purpose:
    """What the people are read for."""
    asked = (request.POST if request.method == "POST" else request.GET).get("purpose") or INTERNAL_ANALYSIS
    try:
        return purpose_or_error(asked)
    except DomainError:
        raise Http404 from None


def _back(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """To where the form stood, if that is a page of this segment's members."""
    home = reverse("admin:segments_segment_members", args=[uuid])
    to = request.POST.get("back", "")
    is_ours = to.startswith(home) and url_has_allowed_host_and_scheme(to, allowed_hosts=None)
    return redirect(to if is_ours else home)
