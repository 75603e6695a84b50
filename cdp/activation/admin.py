"""The screens of audiences: which there are, making one, one with its numbers, calling it otherwise and deleting it.

Nobody is named here: who is in is read over the API, or looked at on the segment's screens.
"""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_POST

from cdp.activation.models import Audience, Channel
from cdp.activation.reading import hex_of, visible_audiences
from cdp.activation.services import change_audience, create_audience, delete_audience
from cdp.activation.showing import DAYS, is_kept_late, kept_since, moved, reasons
from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.errors import DomainError
from consent.querysets import purpose_or_error, purposes_for_lists
from segments.models import Segment, SegmentStatus
from segments.sharing import may, with_permission

PAGE = 25


@admin.register(Audience)
class AudienceAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        get = self.admin_site.admin_view

        def post(view: Any) -> Any:
            return get(require_POST(view))

        name = "activation_audience_{}".format
        return [
            path("new/", get(self.new_view), name=name("new")),
            path("audience/<slug:key>/", get(self.audience_view), name=name("detail")),
            path("audience/<slug:key>/settings/", get(self.settings_view), name=name("settings")),
            path("audience/<slug:key>/delete/", post(self.delete_one_view), name=name("delete_one")),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Audience]:
        """For the admin's own pages: nothing of a segment that the reader may not see."""
        return visible_audiences(reader_of(request))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if not request.user.has_perm("activation.view_audience"):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The audiences by name, page by page."""
        if not request.user.has_perm("activation.view_audience"):
            raise PermissionDenied
        query, after = request.GET.get("q", "").strip(), request.GET.get("after", "")
        found = visible_audiences(reader_of(request)).order_by("name", "pk")
        if query:
            found = found.filter(Q(name__icontains=query) | Q(key__icontains=query) | Q(segment__name__icontains=query))
        if last := found.filter(key=after).first() if after else None:
            found = found.filter(Q(name__gt=last.name) | Q(name=last.name, pk__gt=last.pk))
        rows = list(found[: PAGE + 1])
        context = {
            "audiences": rows[:PAGE],
            "query": query,
            "is_first": not after,
            "next": rows[PAGE - 1].key if len(rows) > PAGE else "",
            "may_add": request.user.has_perm("activation.add_audience"),
            "is_late": bool(rows) and is_kept_late(),
        }
        return render(request, "activation/audiences.html", context)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        """A new audience of a segment that the reader may use so."""
        if not request.user.has_perm("activation.add_audience"):
            raise PermissionDenied
        segments = with_permission(reader_of(request), "activate_segment").exclude(status=SegmentStatus.ARCHIVED)
        context: dict[str, Any] = {
            "segments": segments.order_by("name"),
            "purposes": purposes_for_lists().order_by("label"),
            "channels": Channel.choices,
            "given": request.POST if request.method == "POST" else request.GET,
        }
        if request.method != "POST":
            return render(request, "activation/audience_new.html", context)
        try:
            made = self._make(request, segments)
        except DomainError as error:
            return render(request, "activation/audience_new.html", context | {"error": error}, status=422)
        messages.success(request, "The audience is made. It is filled within moments.")
        return redirect("admin:activation_audience_detail", key=made.key)

    @staticmethod
    def _make(request: HttpRequest, segments: QuerySet[Segment]) -> Audience:
        segment = segments.filter(key=request.POST.get("segment", "")).first()
        if segment is None:
            raise DomainError("segment_missing", "Choose a segment that you may use for audiences.", "/segment")
        return create_audience(
            name=request.POST.get("name", "")[:150],
            description=request.POST.get("description", "").strip()[:2000],
            segment=segment,
            purpose=purpose_or_error(request.POST.get("purpose")),
            channel=request.POST.get("channel", ""),
            by=actor_of(request),
            user=reader_of(request),
        )

    def audience_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """One audience: how many, how it went, why people came and went, and where other systems read it."""
        audience = self._audience(request, key)
        oldest, newest = kept_since(audience)
        context = self._frame(request, audience) | {
            "checksum": hex_of(audience.checksum),
            "figure": moved(audience),
            "reasons": reasons(audience),
            "days": DAYS,
            "oldest": oldest,
            "newest": newest,
            "is_late": is_kept_late(),
        }
        return render(request, "activation/audience.html", context)

    def settings_view(self, request: HttpRequest, key: str) -> HttpResponse:
        audience = self._audience(request, key)
        context = self._frame(request, audience)
        if not context["may_change"]:
            raise PermissionDenied
        given = {"name": audience.name, "description": audience.description}
        if request.method != "POST":
            return render(request, "activation/audience_settings.html", context | {"given": given})
        given = {
            "name": request.POST.get("name", "")[:150],
            "description": request.POST.get("description", "").strip()[:2000],
        }
        try:
            change_audience(audience=audience, by=actor_of(request), **given)
        except DomainError as error:
            return render(
                request, "activation/audience_settings.html", context | {"given": given, "error": error}, status=422
            )
        messages.success(request, "Saved.")
        return redirect("admin:activation_audience_detail", key=key)

    def delete_one_view(self, request: HttpRequest, key: str) -> HttpResponse:
        audience = self._audience(request, key)
        if not self._frame(request, audience)["may_delete"]:
            raise PermissionDenied
        delete_audience(audience=audience, by=actor_of(request))
        messages.success(request, f"{audience.name} is deleted. Whoever followed it is told that it is gone.")
        return redirect("admin:activation_audience_changelist")

    @staticmethod
    def _audience(request: HttpRequest, key: str) -> Audience:
        if not request.user.has_perm("activation.view_audience"):
            raise PermissionDenied
        found = visible_audiences(reader_of(request)).filter(key=key).first()
        if found is None:
            raise Http404
        return found

    @staticmethod
    def _frame(request: HttpRequest, audience: Audience) -> dict[str, Any]:
        user = reader_of(request)
        activates = may(user, "activate_segment", audience.segment)
        return {
            "audience": audience,
            "may_change": activates and user.has_perm("activation.change_audience"),
            "may_delete": activates and user.has_perm("activation.delete_audience"),
        }
