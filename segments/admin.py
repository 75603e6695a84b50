"""The screens for segments: the list, and one segment with its rule, its versions and how it stands.

Checking and previewing a rule while it is written is in `segments.views`, who may see a segment in `segments.access`;
every change is a service.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.errors import DomainError
from segments import access, services, use, views
from segments.history import entered_and_left, with_sparklines
from segments.models import Cadence, Segment, SegmentStatus, SegmentVersion
from segments.rules import RuleErrors
from segments.sharing import change_share, may, unshare_segment
from segments.text import lay_out

PAGE = 25


@admin.register(Segment)
class SegmentAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        def post(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
            return self.admin_site.admin_view(require_POST(view))

        def get(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
            return self.admin_site.admin_view(view)

        return [
            path("new/", get(self.new_view), name="segments_segment_new"),
            path("fill/", post(views.fill_view), name="segments_segment_fill"),
            path("check/", post(views.check_view), name="segments_segment_check"),
            path("preview/", post(views.preview_view), name="segments_segment_preview"),
            path("<uuid:uuid>/", get(self.rule_view), name="segments_segment_detail"),
            path("<uuid:uuid>/versions/", get(self.versions_view), name="segments_segment_versions"),
            path("<uuid:uuid>/use/", get(self.use_view), name="segments_segment_use"),
            path("<uuid:uuid>/settings/", get(self.settings_view), name="segments_segment_settings"),
            path("<uuid:uuid>/access/", get(self.access_view), name="segments_segment_access"),
            path("<uuid:uuid>/access/<int:pk>/remove/", post(self.unshare_view), name="segments_segment_unshare"),
            path("<uuid:uuid>/standing/", get(self.standing_view), name="segments_segment_standing"),
            path("<uuid:uuid>/publish/<int:number>/", post(self.publish_view), name="segments_segment_publish"),
            path("<uuid:uuid>/refresh/", post(self.refresh_view), name="segments_segment_refresh"),
            path("<uuid:uuid>/archive/", post(self.archive_view), name="segments_segment_archive"),
            path("<uuid:uuid>/restore/", post(self.restore_view), name="segments_segment_restore"),
            path("<uuid:uuid>/delete/", post(self.delete_one_view), name="segments_segment_delete_one"),
            *super().get_urls(),
        ]

    # ---- Reading -------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        visible = views.visible_to(request)
        query, status = request.GET.get("q", "").strip(), request.GET.get("status", "")
        found = visible.filter(Q(name__icontains=query) | Q(key__icontains=query)) if query else visible
        counts = dict(found.order_by().values_list("status").annotate(Count("pk")))
        if status in SegmentStatus.values:
            found = found.filter(status=status)
        else:
            found = found.exclude(status=SegmentStatus.ARCHIVED)
        page = Paginator(found.select_related("owner").order_by("name"), PAGE).get_page(request.GET.get("page"))
        context = {
            "page": page,
            "rows": with_sparklines(list(page)),
            "query": query,
            "status": status,
            "statuses": [(value, label, counts.get(value, 0)) for value, label in SegmentStatus.choices],
            "total": sum(count for value, count in counts.items() if value != SegmentStatus.ARCHIVED),
            "may_add": request.user.has_perm("segments.add_segment"),
        }
        return render(request, "segments/list.html", context)

    def rule_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """The rule, and on POST a new version of it."""
        segment = self._segment(request, uuid)
        if request.method == "POST":
            return self._save(request, segment)
        version = self._version(segment, request.GET.get("version", ""))
        text = lay_out(version.rule) if version else ""
        return self._rule(request, segment, version=version, text=text, **views.checked(request, text))

    def versions_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        segment = self._segment(request, uuid)
        page = Paginator(segment.versions.select_related("created_by"), PAGE).get_page(request.GET.get("page"))
        rows = [(version, views.sentence_of(request, version.rule)) for version in page]
        return render(request, "segments/versions.html", {**self._frame(request, segment), "page": page, "rows": rows})

    def use_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """For whom it may be read, and why not for the others."""
        segment = self._segment(request, uuid)
        self._demand(request, segment, "view_members")
        return render(request, "segments/use.html", {**self._frame(request, segment), **use.page(request, segment)})

    def standing_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        segment = self._segment(request, uuid)
        return render(request, "segments/_standing.html", self._frame(request, segment))

    # ---- Changing ------------------------------------------------------------------------------------------

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("segments.add_segment"):
            raise PermissionDenied
        if request.method != "POST":
            text = lay_out(views.FIRST_RULE)
            begin = {**views.editor(request), **views.beginnings(request)}
            return render(request, "segments/new.html", {**begin, "text": text, **views.checked(request, text)})
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
            context = {**views.beginnings(request), **views.refused(request, given, error)}
            return render(request, "segments/new.html", context, status=422)
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
        return redirect("admin:segments_segment_detail", uuid=segment.uuid)

    def _save(self, request: HttpRequest, segment: Segment) -> HttpResponse:
        self._demand(request, segment, "change_segment")
        given = views.Given.of(request)
        try:
            version = services.save_version(
                segment=segment, rule=given.rule(request), by=actor_of(request), user=reader_of(request)
            )
            if given.goes_live:
                services.publish(segment=segment, version=version, by=actor_of(request), user=reader_of(request))
        except (RuleErrors, DomainError) as error:
            return self._rule(request, segment, status=422, **views.refused(request, given, error))
        said = (
            f"Version {version.number} is live."
            if given.goes_live
            else f"Version {version.number} is saved, not yet live."
        )
        messages.success(request, said)
        return redirect("admin:segments_segment_detail", uuid=segment.uuid)

    def settings_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """Name, description and pace; and the ways to put the segment away."""
        segment = self._segment(request, uuid)
        given = None
        if request.method == "POST":
            self._demand(request, segment, "change_segment")
            given = views.Given.of(request)
            try:
                services.change_details(
                    segment=segment,
                    name=given.name,
                    description=given.description,
                    cadence=given.cadence,
                    refresh_minutes=given.refresh_minutes,
                    daily_hour=given.daily_hour,
                    by=actor_of(request),
                )
            except DomainError as error:
                return self._settings(request, segment, error=error, given=given, status=422)
            messages.success(request, "Saved.")
            return redirect("admin:segments_segment_settings", uuid=uuid)
        return self._settings(request, segment)

    def publish_view(self, request: HttpRequest, uuid: UUID, number: int) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "change_segment")
        version = get_object_or_404(segment.versions, number=number)
        try:
            services.publish(segment=segment, version=version, by=actor_of(request), user=reader_of(request))
        except RuleErrors as errors:
            messages.error(request, f"Version {number} can't go live: {errors}")
        else:
            messages.success(request, f"Version {number} is live.")
        return redirect("admin:segments_segment_detail", uuid=uuid)

    def refresh_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "refresh_segment")
        try:
            services.request_refresh(segment=segment, by=actor_of(request), user=reader_of(request))
        except DomainError as error:
            messages.error(request, error.message)
        return redirect("admin:segments_segment_detail", uuid=uuid)

    def archive_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "change_segment")
        try:
            services.archive(segment=segment, by=actor_of(request))
        except DomainError as error:
            return self._settings(request, segment, error=error, status=409)
        messages.success(request, "Archived. Its members are kept as they are and read by nobody.")
        return redirect("admin:segments_segment_settings", uuid=uuid)

    def restore_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "change_segment")
        services.restore(segment=segment, by=actor_of(request))
        messages.success(request, "A draft again. Put a version live to bring its members up to date.")
        return redirect("admin:segments_segment_detail", uuid=uuid)

    def delete_one_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "delete_segment")
        try:
            services.delete_segment(segment=segment, by=actor_of(request))
        except DomainError as error:
            return self._settings(request, segment, error=error, status=409)
        messages.success(request, f"{segment.name} is deleted.")
        return redirect("admin:segments_segment_changelist")

    # ---- Who may see it ------------------------------------------------------------------------------------

    def access_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """Whom it is shared with; on POST one share made or changed."""
        segment = self._segment(request, uuid)
        self._demand(request, segment, "change_segment")
        if request.method != "POST":
            return self._access(request, segment, access.page(request, segment))
        try:
            user, permissions = access.wanted(request, segment)
        except DomainError as error:
            return self._access(request, segment, access.page(request, segment, error=error), status=422)
        change_share(segment=segment, user=user, permissions=permissions, by=actor_of(request))
        messages.success(request, f"Shared with {access.called(user)}.")
        return redirect("admin:segments_segment_access", uuid=uuid)

    def unshare_view(self, request: HttpRequest, uuid: UUID, pk: int) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "change_segment")
        user = get_object_or_404(User, pk=pk)
        if beyond := access.beyond(request, segment, user):
            messages.error(
                request, f"{access.called(user)} has a right that you lack: {beyond}. Who has it can take it back."
            )
            return redirect("admin:segments_segment_access", uuid=uuid)
        unshare_segment(segment=segment, user=user, by=actor_of(request))
        messages.success(request, f"{segment.name} is no longer shared with {access.called(user)}.")
        # Somebody who takes their own share back may have nothing left to see here.
        stays = may(User.objects.get(pk=reader_of(request).pk), "change_segment", segment)
        return redirect("admin:segments_segment_access", uuid=uuid) if stays else redirect("admin:index")

    def _access(
        self, request: HttpRequest, segment: Segment, page: dict[str, Any], *, status: int = 200
    ) -> HttpResponse:
        return render(request, "segments/access.html", {**self._frame(request, segment), **page}, status=status)

    # ---- Shared --------------------------------------------------------------------------------------------

    @staticmethod
    def _segment(request: HttpRequest, uuid: UUID) -> Segment:
        segment = views.visible_to(request).select_related("owner", "live_version").filter(uuid=uuid).first()
        if segment is None:
            raise Http404
        return segment

    @staticmethod
    def _demand(request: HttpRequest, segment: Segment, codename: str) -> None:
        if not may(reader_of(request), codename, segment):
            raise PermissionDenied

    @staticmethod
    def _version(segment: Segment, number: str) -> SegmentVersion | None:
        """The version asked for; without a number the newest."""
        if number.isdecimal() and len(number) < 10:
            return get_object_or_404(segment.versions, number=int(number))
        return segment.versions.first()

    def _rule(self, request: HttpRequest, segment: Segment, *, status: int = 200, **context: Any) -> HttpResponse:
        return render(
            request,
            "segments/rule.html",
            {**self._frame(request, segment), **views.editor(request), **context},
            status=status,
        )

    def _settings(
        self,
        request: HttpRequest,
        segment: Segment,
        *,
        error: DomainError | None = None,
        given: Any = None,
        status: int = 200,
    ) -> HttpResponse:
        context = {
            **self._frame(request, segment),
            "error": error,
            "given": given or segment,
            "cadences": Cadence.choices,
        }
        return render(request, "segments/settings.html", context, status=status)

    @staticmethod
    def _frame(request: HttpRequest, segment: Segment) -> dict[str, Any]:
        """What every page of one segment shows: how it stands, and what this reader may do to it."""
        job = views.refresh_job_of(segment)
        # After the job: one that ends in between would be shown as done, with the count from before it, and for good.
        segment.refresh_from_db(fields=["member_count"])
        users = services.users_of(segment)
        visible = set(views.visible_to(request).filter(pk__in=[user.pk for user in users]))
        visible_users = [user for user in users if user in visible]
        return {
            "segment": segment,
            "newest": segment.versions.first(),
            "users": visible_users,
            "hidden_users": len(users) - len(visible_users),
            "job": job,
            "flow": entered_and_left(segment, days=7),
            "may_change": may(reader_of(request), "change_segment", segment),
            "may_read": may(reader_of(request), "view_members", segment),
            "may_refresh": may(reader_of(request), "refresh_segment", segment),
            "may_delete": may(reader_of(request), "delete_segment", segment),
        }
