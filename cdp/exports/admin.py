"""The screens of exports: what was made, asking for one, one with its file; schedules; and the destinations files go to.

Nobody is named here: who is in a file is in the file.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.errors import DomainError, DomainErrors
from cdp.exports import destinations, services
from cdp.exports.access import exportable_audiences, may_have, visible_exports, visible_schedules
from cdp.exports.api import as_answer
from cdp.exports.fields import fields_there_are
from cdp.exports.forms import DestinationForm, ExportForm, initial_of
from cdp.exports.keeping import delete_files, open_file
from cdp.exports.links import make_link
from cdp.exports.manifest import manifest_of
from cdp.exports.models import Destination, Export, Gone, Place, Schedule
from cdp.exports.planning import next_planned
from cdp.jobs.models import JobState
from cdp.key_pages import Key, key_page, number
from cdp.profiles.models import Workspace
from cdp.vault.ring import VaultUnusable

PAGE = 25
BY_NUMBER = (Key(name="id", read=number, descends=True),)
LINK_HOURS = (1, 24, 72, 168)
FIELDS = {"fields": "fields_of_people", "every": "when"}
"""How the form calls what the services call otherwise."""


def _demand(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(f"exports.{permission}"):
        raise PermissionDenied


def _add(form: forms.Form, error: DomainError | VaultUnusable) -> None:
    """What is wrong, where it was entered."""
    for one in error.errors if isinstance(error, DomainErrors) else [error]:
        if isinstance(one, DomainError):
            name = one.pointer.removeprefix("/values").strip("/").split("/")[0]
            name = FIELDS.get(name, name)
            form.add_error(name if name in form.fields else None, one.message)
        else:
            form.add_error(None, str(one))


class _Screens(ReadOnlyAdmin):
    """What the three have in common."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)


@admin.register(Export)
class ExportAdmin(_Screens):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        name = "exports_export_{}".format
        return [
            path("new/", wrap(self.new_view), name=name("new")),
            path("<uuid:uuid>/", wrap(self.export_view), name=name("detail")),
            path("<uuid:uuid>/file/", wrap(require_POST(self.file_view)), name=name("file")),
            path("<uuid:uuid>/<slug:act>/", wrap(require_POST(self.act_view)), name=name("act")),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return visible_exports(reader_of(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        _demand(request, "view_export")
        page = key_page(visible_exports(reader_of(request)), request.GET, keys=BY_NUMBER, size=PAGE)
        context = {
            "page": page,
            "is_moving": any(one.state in (JobState.QUEUED, JobState.RUNNING) for one in page.rows),
            "may_add": request.user.has_perm("exports.add_export"),
        }
        return render(request, "exports/list.html", context)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        _demand(request, "add_export")
        user = reader_of(request)
        first = {"audience": request.GET.get("audience", ""), "when": request.GET.get("when", "once")}
        form = ExportForm(request.POST or None, user=user, initial=first)
        if request.method == "POST" and form.is_valid():
            if not form.is_once:
                _demand(request, "add_schedule")
            asked: dict[str, Any] = {
                "audience": form.audiences[form.cleaned_data["audience"]],
                "spec": form.spec,
                "by": actor_of(request),
                "user": user,
            }
            try:
                if form.is_once:
                    export = services.request_export(**asked)
                    return redirect("admin:exports_export_detail", uuid=export.uuid)
                services.create_schedule(name=form.cleaned_data["name"], **form.plan, **asked)
            except DomainError as error:
                _add(form, error)
            else:
                messages.success(request, "It is planned. Its first file is made at the time below.")
                return redirect("admin:exports_schedule_changelist")
        context = {"form": form, "withheld": len(form.withheld), "zone": Workspace.current().time_zone}
        return render(request, "exports/new.html", context, status=422 if form.errors else 200)

    def export_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        export = self._export(request, uuid)
        return render(request, "exports/export.html", self._context(request, export))

    def _context(self, request: HttpRequest, export: Export) -> dict[str, Any]:
        user = reader_of(request)
        labels = {one.key: one.label for one in fields_there_are()}
        has = may_have(user, export) and user.has_perm("exports.add_export")
        return {
            "export": export,
            "job": export.job,
            "is_moving": export.state in (JobState.QUEUED, JobState.RUNNING),
            "labels": [labels.get(key, key) for key in export.fields],
            "manifest": manifest_of(export) if export.finished_at is not None else None,
            "may_have": has,
            "may_delete": has and user.has_perm("exports.delete_export"),
            "hours": LINK_HOURS,
        }

    def file_view(self, request: HttpRequest, uuid: UUID) -> HttpResponseBase:
        """The file. By POST, so that no other site's page can have it fetched in somebody's name."""
        export = self._had(request, uuid)
        try:
            return as_answer(export, open_file(export=export, by=actor_of(request)))
        except DomainError as error:
            messages.error(request, error.message)
            return redirect("admin:exports_export_detail", uuid=uuid)

    def act_view(self, request: HttpRequest, uuid: UUID, act: str) -> HttpResponse:
        export = self._had(request, uuid)
        try:
            match act:
                case "cancel":
                    services.cancel_export(export=export, by=actor_of(request))
                    messages.success(request, "It is being stopped.")
                case "delete-file":
                    _demand(request, "delete_export")
                    delete_files([export], why=Gone.ASKED, by=actor_of(request))
                    messages.success(request, "The file is deleted.")
                case "link":
                    return self._link(request, export)
                case _:
                    raise Http404
        except DomainError as error:
            messages.error(request, error.message)
        return redirect("admin:exports_export_detail", uuid=uuid)

    def _link(self, request: HttpRequest, export: Export) -> HttpResponse:
        text = request.POST.get("hours", "")
        hours = int(text) if text.isdigit() and len(text) < 5 else 0
        link = make_link(export=export, user=reader_of(request), by=actor_of(request), hours=hours)
        context = self._context(request, export)
        context |= {"link": request.build_absolute_uri(link.path), "link_ends": link.expires_at}
        return render(request, "exports/export.html", context)

    @staticmethod
    def _export(request: HttpRequest, uuid: UUID) -> Export:
        _demand(request, "view_export")
        return get_object_or_404(visible_exports(reader_of(request)).select_related("since"), uuid=uuid)

    def _had(self, request: HttpRequest, uuid: UUID) -> Export:
        _demand(request, "add_export")
        export = self._export(request, uuid)
        if not may_have(reader_of(request), export):
            raise PermissionDenied
        return export


@admin.register(Schedule)
class ScheduleAdmin(_Screens):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        name = "exports_schedule_{}".format
        return [
            path("<uuid:uuid>/", wrap(self.schedule_view), name=name("detail")),
            path("<uuid:uuid>/<slug:act>/", wrap(require_POST(self.act_view)), name=name("act")),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return visible_schedules(reader_of(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        _demand(request, "view_schedule")
        page = Paginator(visible_schedules(reader_of(request)).order_by("name", "pk"), PAGE).get_page(
            request.GET.get("page")
        )
        now, zone = timezone.now(), Workspace.current().time_zone
        rows = [(one, next_planned(one, now=now, zone=zone) if one.is_on else None) for one in page]
        context = {"page": page, "rows": rows, "may_add": request.user.has_perm("exports.add_schedule")}
        return render(request, "exports/schedules.html", context)

    def schedule_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """One schedule: what it makes, and changing that."""
        schedule = self._schedule(request, uuid)
        user = reader_of(request)
        may_change = self._may_change(request, schedule)
        form = ExportForm(request.POST or None, user=user, is_schedule=True, initial=initial_of(schedule))
        if request.method == "POST":
            if not may_change:
                raise PermissionDenied
            if form.is_valid() and self._changed(request, schedule, form):
                messages.success(request, "Saved. It makes its files as you may read people from now on.")
                return redirect("admin:exports_schedule_detail", uuid=uuid)
        context = {
            "schedule": schedule,
            "form": form,
            "may_change": may_change,
            "may_delete": may_change and user.has_perm("exports.delete_schedule"),
            "made": visible_exports(user).filter(schedule=schedule)[:10],
            "next_at": next_planned(schedule, now=timezone.now(), zone=Workspace.current().time_zone)
            if schedule.is_on
            else None,
            "withheld": len(form.withheld),
            "zone": Workspace.current().time_zone,
        }
        return render(request, "exports/schedule.html", context, status=422 if form.errors else 200)

    @staticmethod
    def _changed(request: HttpRequest, schedule: Schedule, form: ExportForm) -> bool:
        spec = {name: getattr(form.spec, name) for name in services.OF_SPEC}
        try:
            services.change_schedule(
                schedule=schedule,
                by=actor_of(request),
                user=reader_of(request),
                name=form.cleaned_data["name"],
                **form.plan,
                **spec,
            )
        except DomainError as error:
            _add(form, error)
            return False
        return True

    def act_view(self, request: HttpRequest, uuid: UUID, act: str) -> HttpResponse:
        schedule = self._schedule(request, uuid)
        if not self._may_change(request, schedule):
            raise PermissionDenied
        try:
            match act:
                case "on" | "off":
                    changed = {"is_on": act == "on"}
                    services.change_schedule(
                        schedule=schedule, by=actor_of(request), user=reader_of(request), **changed
                    )
                    messages.success(request, "It is on." if act == "on" else "It is off.")
                case "delete":
                    _demand(request, "delete_schedule")
                    services.delete_schedule(schedule=schedule, by=actor_of(request))
                    messages.success(request, "The schedule is deleted. The files it made stay for their days.")
                    return redirect("admin:exports_schedule_changelist")
                case _:
                    raise Http404
        except DomainError as error:
            messages.error(request, error.message)
        return redirect("admin:exports_schedule_detail", uuid=uuid)

    @staticmethod
    def _schedule(request: HttpRequest, uuid: UUID) -> Schedule:
        _demand(request, "view_schedule")
        return get_object_or_404(visible_schedules(reader_of(request)), uuid=uuid)

    @staticmethod
    def _may_change(request: HttpRequest, schedule: Schedule) -> bool:
        user = reader_of(request)
        return (
            user.has_perm("exports.change_schedule")
            and exportable_audiences(user).filter(pk=schedule.audience_id).exists()
        )


@admin.register(Destination)
class DestinationAdmin(_Screens):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        name = "exports_destination_{}".format
        return [
            path("new/<slug:place>/", wrap(self.new_view), name=name("new")),
            path("<uuid:uuid>/", wrap(self.destination_view), name=name("detail")),
            path("<uuid:uuid>/<slug:act>/", wrap(require_POST(self.act_view)), name=name("act")),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        _demand(request, "view_destination")
        page = Paginator(Destination.objects.all(), PAGE).get_page(request.GET.get("page"))
        context = {"page": page, "places": Place.choices, "may_add": request.user.has_perm("exports.add_destination")}
        return render(request, "exports/destinations.html", context)

    def new_view(self, request: HttpRequest, place: str) -> HttpResponse:
        _demand(request, "add_destination")
        if place not in Place.values:
            raise Http404
        form = DestinationForm(request.POST or None, place=place, is_new=True)

        def make() -> Destination:
            return destinations.create_destination(
                name=form.cleaned_data["name"],
                place=place,
                values={name: value for name, value in form.values.items() if value},
                by=actor_of(request),
                user=reader_of(request),
            )

        return self._entered(request, form, make, {"place": Place(place).label})

    def destination_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        _demand(request, "view_destination")
        destination = get_object_or_404(Destination, uuid=uuid)
        form = DestinationForm(
            request.POST or None,
            place=destination.place,
            is_new=False,
            initial={"name": destination.name, **destination.address},
        )
        may_change = request.user.has_perm("exports.change_destination")
        if request.method == "POST" and not may_change:
            raise PermissionDenied

        def change() -> Destination:
            return destinations.change_destination(
                destination=destination, name=form.cleaned_data["name"], values=form.values, by=actor_of(request)
            )

        context = {
            "destination": destination,
            "place": destination.get_place_display(),
            "has_secret": destinations.has_secret(destination),
            "may_change": may_change,
            "may_delete": request.user.has_perm("exports.delete_destination"),
        }
        return self._entered(request, form, change, context)

    @staticmethod
    def _entered(
        request: HttpRequest, form: DestinationForm, write: Callable[[], Destination], context: dict[str, Any]
    ) -> HttpResponse:
        if request.method == "POST" and form.is_valid():
            try:
                written = write()
            except (DomainError, VaultUnusable) as error:
                _add(form, error)
            else:
                messages.success(request, "Saved. Try it now: a small file is put there.")
                return redirect("admin:exports_destination_detail", uuid=written.uuid)
        context = {**context, "form": form}
        return render(request, "exports/destination.html", context, status=422 if form.errors else 200)

    def act_view(self, request: HttpRequest, uuid: UUID, act: str) -> HttpResponse:
        _demand(request, "change_destination")
        destination = get_object_or_404(Destination, uuid=uuid)
        try:
            match act:
                case "try":
                    failure = destinations.try_destination(destination=destination, by=actor_of(request))
                    if failure:
                        messages.error(request, f"It didn't take the file. {failure}")
                    else:
                        messages.success(request, "It works: a small file was put there.")
                case "delete":
                    _demand(request, "delete_destination")
                    destinations.delete_destination(destination=destination, by=actor_of(request))
                    messages.success(request, "The destination is deleted, with its secret.")
                    return redirect("admin:exports_destination_changelist")
                case _:
                    raise Http404
        except (DomainError, VaultUnusable) as error:
            messages.error(request, str(error))
        return redirect("admin:exports_destination_detail", uuid=uuid)
