"""The screens for segments: the list, and one segment with its rule, its versions and how it stands.

Checking and previewing a rule while it is written is in `segments.views`, who may see a segment in `segments.access`;
every change is a service.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.errors import Conflict, DomainError
from segments import access, services, use, views
from segments.builder.views import build_view, phrases_view
from segments.clustering import admin as clustering_admin  # noqa: F401  (Django finds the screens of clusterings here)
from segments.fields import views as fields
from segments.models import Cadence, Segment
from segments.personas import admin as personas_admin  # noqa: F401  (registers its addresses)
from segments.rfm import admin as rfm_admin  # noqa: F401  (registers)
from segments.rules import RuleErrors
from segments.screens import (
    compare,
    draft,
    history,
    listing,
    many,
    members,
    overlap,
    performance,
    review,
    rule,
    settings,
    uploads,
)
from segments.screens import lists as lists
from segments.screens.frame import demand, frame, segment_or_404
from segments.sharing import change_share, may, unshare_segment

PAGE = 25


@admin.register(Segment)
class SegmentAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        def post(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
            return self.admin_site.admin_view(require_POST(view))

        def get(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
            return self.admin_site.admin_view(view)

        return [
            path("new/", get(self.new_view), name="segments_segment_new"),
            path("fill/", post(views.fill_view), name="segments_segment_fill"),
            path("check/", post(views.check_view), name="segments_segment_check"),
            path("build/", post(build_view), name="segments_segment_build"),
            *draft.addresses(post),
            path("new/review/", post(review.review_view), name="segments_segment_new_review"),
            path("new/review/people/", post(review.people_view), name="segments_segment_new_people"),
            path("<uuid:uuid>/review/", post(review.review_view), name="segments_segment_review"),
            path("<uuid:uuid>/review/people/", post(review.people_view), name="segments_segment_review_people"),
            path("build/phrases/", get(phrases_view), name="segments_segment_phrases"),
            path("preview/", post(views.preview_view), name="segments_segment_preview"),
            path("fields/", get(fields.list_view), name="segments_segment_fields"),
            path("fields/card/", get(fields.card_view), name="segments_segment_field_card"),
            path("fields/values/", get(fields.values_view), name="segments_segment_field_values"),
            path("fields/distribution/", post(fields.distribution_view), name="segments_segment_field_distribution"),
            path("many/", post(many.many_view), name="segments_segment_many"),
            path("import/", get(many.import_view), name="segments_segment_import"),
            path("<uuid:uuid>/clone/", post(many.clone_view), name="segments_segment_clone"),
            path("<uuid:uuid>/", get(self.rule_view), name="segments_segment_detail"),
            *members.addresses(get, post),
            path(
                "<uuid:uuid>/members/upload/<slug:kind>/",
                post(uploads.by_hand_view),
                name="segments_segment_members_upload",
            ),
            path("<uuid:uuid>/history/", get(history.page), name="segments_segment_history"),
            path("<uuid:uuid>/performance/", get(performance.page), name="segments_segment_performance"),
            path(
                "<uuid:uuid>/performance/figures/",
                get(performance.figures_view),
                name="segments_segment_performance_figures",
            ),
            path("overlap/", get(overlap.page), name="segments_segment_overlap"),
            path("overlap/figures/", get(overlap.figures_view), name="segments_segment_overlap_figures"),
            path("compare/", get(compare.page), name="segments_segment_compare"),
            path("compare/figures/", get(compare.figures_view), name="segments_segment_compare_figures"),
            path("<uuid:uuid>/history/size/", get(history.size_view), name="segments_segment_size"),
            path("<uuid:uuid>/history/difference/", get(history.difference_view), name="segments_segment_difference"),
            path("<uuid:uuid>/history/people/", get(history.people_view), name="segments_segment_people_difference"),
            path("<uuid:uuid>/use/", get(self.use_view), name="segments_segment_use"),
            path("<uuid:uuid>/settings/", get(self.settings_view), name="segments_segment_settings"),
            path("<uuid:uuid>/access/", get(self.access_view), name="segments_segment_access"),
            path("<uuid:uuid>/access/<int:pk>/remove/", post(self.unshare_view), name="segments_segment_unshare"),
            path(
                "<uuid:uuid>/access/group/<int:pk>/remove/",
                post(self.unshare_group_view),
                name="segments_segment_unshare_group",
            ),
            path("<uuid:uuid>/standing/", get(self.standing_view), name="segments_segment_standing"),
            path("<uuid:uuid>/publish/<int:number>/", post(self.publish_view), name="segments_segment_publish"),
            path("<uuid:uuid>/refresh/", post(self.refresh_view), name="segments_segment_refresh"),
            path("<uuid:uuid>/pause/", post(self.pause_view), name="segments_segment_pause"),
            path("<uuid:uuid>/resume/", post(self.resume_view), name="segments_segment_resume"),
            path("<uuid:uuid>/archive/", post(self.archive_view), name="segments_segment_archive"),
            path("<uuid:uuid>/restore/", post(self.restore_view), name="segments_segment_restore"),
            path("<uuid:uuid>/delete/", post(self.delete_one_view), name="segments_segment_delete_one"),
            *super().get_urls(),
        ]

    # ---- Reading -------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return listing.list_view(request)

    def rule_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """The rule, and on POST a new version of it."""
        return review.save_view(request, uuid) if request.method == "POST" else rule.page(request, uuid)

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
        return review.save_new_view(request) if request.method == "POST" else rule.new_page(request)

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
                    **settings.given(request, segment),
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
        except DomainError as error:
            messages.error(request, error.message)
        else:
            segment.refresh_from_db(fields=["live_version"])
            messages.success(request, f"{str(segment.live_version).capitalize()} is live.")
        return redirect("admin:segments_segment_detail", uuid=uuid)

    def refresh_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "refresh_segment")
        try:
            services.request_refresh(segment=segment, by=actor_of(request), user=reader_of(request))
        except DomainError as error:
            messages.error(request, error.message)
        return redirect("admin:segments_segment_detail", uuid=uuid)

    def pause_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "change_segment")
        try:
            services.pause(segment=segment, by=actor_of(request))
        except DomainError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, "Paused. Its members stay as they are until it is resumed.")
        return redirect("admin:segments_segment_settings", uuid=uuid)

    def resume_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "change_segment")
        try:
            services.resume(segment=segment, by=actor_of(request), user=reader_of(request))
        except RuleErrors as errors:
            messages.error(request, f"It stays paused, for its rule can't be used now: {errors}")
        except DomainError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, "Live again. Its members are being brought up to date.")
        return redirect("admin:segments_segment_detail", uuid=uuid)

    def archive_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "change_segment")
        try:
            services.archive(segment=segment, by=actor_of(request))
        except Conflict as error:
            if isinstance(error, services.InUse):
                error.message = many.in_use(request, segment, error)
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
        except Conflict as error:
            if isinstance(error, services.InUse):
                error.message = many.in_use(request, segment, error)
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
        return self._unshare(request, uuid, get_object_or_404(User, pk=pk))

    def unshare_group_view(self, request: HttpRequest, uuid: UUID, pk: int) -> HttpResponse:
        return self._unshare(request, uuid, get_object_or_404(Group, pk=pk))

    def _unshare(self, request: HttpRequest, uuid: UUID, user: User | Group) -> HttpResponse:
        segment = self._segment(request, uuid)
        self._demand(request, segment, "change_segment")
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

    _segment = staticmethod(segment_or_404)
    _demand = staticmethod(demand)
    _frame = staticmethod(frame)

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
            **settings.page(request, segment),
        }
        return render(request, "segments/settings.html", context, status=status)
