"""The screens of static lists: which there are, who is on one, and making, renaming and deleting them.

Files of people are in `segments.screens.uploads`. A segment's own lists, of who was added and removed by hand, have a screen here
too, for whoever may read its members; they are changed where the segment's members are.
"""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.signing import BadSignature, Signer
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.audit.services import record
from cdp.errors import DomainError, NotFound
from cdp.identity.merging import survivor_of
from cdp.profiles.models import Profile
from consent.querysets import INTERNAL_ANALYSIS, permitted, purpose_or_error
from segments.lists import change_list, create_list, delete_list, remove_people, users_of_list
from segments.models import ListEntry, StaticList
from segments.rules import VERSION, RuleErrors
from segments.screens import uploads
from segments.services import create_segment, publish
from segments.sharing import may, may_change_list, reads_people, visible_lists, visible_segments
from segments.showing_members import shown

PAGE = 25


def list_or_404(request: HttpRequest, key: str) -> StaticList:
    """The list, if this reader may see who is on it: reading people takes its own right."""
    user = reader_of(request)
    found = visible_lists(user).select_related("segment").filter(key=key).first()
    if found is None:
        raise Http404
    may_read = reads_people(user) and (found.segment is None or may(user, "view_members", found.segment))
    if not may_read:
        raise PermissionDenied
    return found


@admin.register(StaticList)
class StaticListAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        get = self.admin_site.admin_view

        def post(view: Any) -> Any:
            return get(require_POST(view))

        name = "segments_staticlist_{}".format
        return [
            path("new/", get(self.new_view), name=name("new")),
            path("sizes/", get(self.sizes_view), name=name("sizes")),
            path("list/<slug:key>/", get(self.list_view), name=name("detail")),
            path("list/<slug:key>/settings/", get(self.settings_view), name=name("settings")),
            path("list/<slug:key>/delete/", post(self.delete_one_view), name=name("delete_one")),
            path("list/<slug:key>/remove/<uuid:person>/", post(self.remove_view), name=name("remove")),
            *uploads.addresses(get, post),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[StaticList]:
        """For the admin's own pages of one list: no name of a segment that the reader may not see."""
        return visible_lists(reader_of(request))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not request.user.has_perm("segments.view_staticlist"):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Everybody's lists by name, page by page."""
        if not request.user.has_perm("segments.view_staticlist"):
            raise PermissionDenied
        query, after = request.GET.get("q", "").strip(), request.GET.get("after", "")
        found = StaticList.objects.filter(segment=None)
        if query:
            found = found.filter(Q(name__icontains=query) | Q(key__icontains=query))
        if place := _place("lists", after):
            name, number = str(place[0]), int(place[1])
            found = found.filter(Q(name__gt=name) | Q(name=name, pk__gt=number))
        rows = list(found.annotate(uses=Count("used_by")).order_by("name", "pk")[: PAGE + 1])
        last = rows[PAGE - 1] if len(rows) > PAGE else None
        context = {
            "lists": rows[:PAGE],
            "keys": ",".join(one.key for one in rows[:PAGE]),
            "query": query,
            "is_first": not after,
            "next": _signed("lists", [last.name, last.pk]) if last else "",
            "may_add": request.user.has_perm("segments.add_staticlist"),
            "may_read": reads_people(reader_of(request)),
        }
        return render(request, "segments/lists.html", context)

    def sizes_view(self, request: HttpRequest) -> HttpResponse:
        """How many people are on each of the lists of a page; asked for once the page is there."""
        if not request.user.has_perm("segments.view_staticlist"):
            raise PermissionDenied
        keys = request.GET.get("keys", "").split(",")[:PAGE]
        lists = dict(StaticList.objects.filter(segment=None, key__in=keys).values_list("pk", "key"))
        people = Count("profile_id", distinct=True)
        counts = dict(ListEntry.objects.filter(list__in=lists).order_by().values_list("list").annotate(people))
        sizes = [(key, counts.get(pk, 0)) for pk, key in lists.items()]
        return render(request, "segments/lists_sizes.html", {"sizes": sizes})

    def list_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Who is on a list, newest first: of those who permit analysis, masked, and on record."""
        static_list = list_or_404(request, key)
        purpose = purpose_or_error(INTERNAL_ANALYSIS)
        query, after = request.GET.get("q", "").strip(), request.GET.get("after", "")
        who = permitted((Profile.objects.found_by(query) if query else Profile.objects.all()).order_by(), purpose)
        entries = ListEntry.objects.filter(list=static_list, profile__in=who.values("pk"))
        if place := _place(static_list.key, after):
            at, number = parse_datetime(str(place[0])), int(place[1])
            entries = entries.filter(added_at__lte=at).filter(Q(added_at__lt=at) | Q(origin_id__lt=number))
        found = entries.select_related("profile").prefetch_related("profile__identifiers")
        rows = list(found.order_by("-added_at", "-origin_id")[: PAGE + 1])
        last = rows[PAGE - 1] if len(rows) > PAGE else None
        people = shown([one.profile for one in rows[:PAGE]], [], is_masked=True)
        with transaction.atomic():
            detail = {"sample": [str(one.profile.uuid) for one in people], "masked": True}
            record(
                by=actor_of(request),
                action="list.people_viewed",
                object=static_list,
                purpose=purpose.key,
                detail=detail,
            )
        context = {
            **self._frame(request, static_list),
            "rows": list(zip(rows[:PAGE], people, strict=True)),
            "query": query,
            "is_first": not after,
            "next": _signed(static_list.key, [last.added_at.isoformat(), last.origin_id]) if last else "",
            "files": static_list.uploads.select_related("job")[:5],
        }
        return render(request, "segments/list_people.html", context)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        """A new list; of it a segment, too, if that is wanted, and its file next."""
        if not request.user.has_perm("segments.add_staticlist"):
            raise PermissionDenied
        may_segment = request.user.has_perm("segments.add_segment") and reads_people(reader_of(request))
        wants = (request.POST if request.method == "POST" else request.GET).get("segment") == "yes"
        context = {"may_segment": may_segment, "segment_too": wants and may_segment, "given": request.POST}
        if request.method != "POST":
            return render(request, "segments/list_new.html", context)
        try:
            made = self._make(request, segment_too=wants and may_segment)
        except (DomainError, RuleErrors) as error:
            return render(request, "segments/list_new.html", context | {"error": error}, status=422)
        if "upload" in request.POST and reads_people(reader_of(request)):
            return redirect("admin:segments_listupload_new", key=made.key)
        messages.success(request, "The list is made. Nobody is on it yet.")
        return redirect("admin:segments_staticlist_detail", key=made.key)

    @staticmethod
    @transaction.atomic
    def _make(request: HttpRequest, *, segment_too: bool) -> StaticList:
        by, user = actor_of(request), reader_of(request)
        name, about = request.POST.get("name", ""), request.POST.get("description", "").strip()[:2000]
        made = create_list(name=name, description=about, by=by)
        if segment_too:
            rule = {"version": VERSION, "in_list": made.key}
            segment = create_segment(name=made.name, description=about, rule=rule, owner=user, by=by)
            publish(segment=segment, version=segment.versions.get(), by=by, user=user)
        return made

    def settings_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Its name and description; and deleting it."""
        static_list = list_or_404(request, key)
        if static_list.segment is not None:
            raise Http404
        if request.method != "POST":
            return self._settings(request, static_list)
        if not request.user.has_perm("segments.change_staticlist"):
            raise PermissionDenied
        given = {field: request.POST.get(field, "").strip()[:2000] for field in ("name", "description")}
        try:
            change_list(static_list=static_list, **given, by=actor_of(request))
        except DomainError as error:
            return self._settings(request, static_list, error=error, given=given, status=422)
        messages.success(request, "Saved.")
        return redirect("admin:segments_staticlist_settings", key=key)

    def delete_one_view(self, request: HttpRequest, key: str) -> HttpResponse:
        if not request.user.has_perm("segments.delete_staticlist"):
            raise PermissionDenied
        static_list = list_or_404(request, key)
        if static_list.segment is not None:
            raise Http404
        try:
            delete_list(static_list=static_list, by=actor_of(request))
        except DomainError:
            return self._settings(request, static_list, is_used=True, status=409)
        messages.success(request, f"{static_list.name} is deleted, and with it who was on it.")
        return redirect("admin:segments_staticlist_changelist")

    def remove_view(self, request: HttpRequest, key: str, person: UUID) -> HttpResponse:
        """Takes somebody off the list."""
        static_list = list_or_404(request, key)
        if not may_change_list(reader_of(request), static_list):
            raise PermissionDenied
        try:
            profile = survivor_of(person)
        except NotFound:
            raise Http404 from None
        if not permitted(Profile.objects.filter(pk=profile.pk), purpose_or_error(INTERNAL_ANALYSIS)).exists():
            raise Http404
        remove_people(static_list=static_list, profile_ids=[profile.pk], by=actor_of(request))
        messages.success(request, "Taken off the list. Segments that read it follow within a second.")
        return redirect("admin:segments_staticlist_detail", key=key)

    def _settings(
        self, request: HttpRequest, static_list: StaticList, *, status: int = 200, **more: Any
    ) -> HttpResponse:
        context = {"given": {"name": static_list.name, "description": static_list.description}, **more}
        return render(
            request, "segments/list_settings.html", {**self._frame(request, static_list), **context}, status=status
        )

    @staticmethod
    def _frame(request: HttpRequest, static_list: StaticList) -> dict[str, Any]:
        user: User = reader_of(request)
        users = users_of_list(static_list)
        visible = set(visible_segments(user).filter(pk__in=[one.pk for one in users]))
        return {
            "list": static_list,
            "users": [one for one in users if one in visible],
            "hidden_users": len([one for one in users if one not in visible]),
            "may_change": may_change_list(user, static_list),
            "may_rename": user.has_perm("segments.change_staticlist") and static_list.segment is None,
            "may_delete": user.has_perm("segments.delete_staticlist") and static_list.segment is None,
        }


def _signed(what: str, place: list[Any]) -> str:
    return Signer(salt=f"page of {what}").sign_object(place)


def _place(what: str, text: str) -> list[Any] | None:
    """Where the page begins; None for the first, and for what belongs to another list."""
    try:
        found: list[Any] = Signer(salt=f"page of {what}").unsign_object(text)
    except (BadSignature, ValueError):
        return None
    return found
