"""The screens for API keys: make one, see it once, see what it reaches, revoke it."""

from datetime import date, datetime, time, timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.rest.models import ApiKey, Scope
from cdp.rest.services import create_api_key, revoke_api_key, scopes_of
from segments.sharing import may, shared_counts, visible_segments

PAGE = 25


class ApiKeyForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="Which system will use it.")
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple, label="It may")
    expires_on = forms.DateField(
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Leave empty for a key without an end.",
    )

    def __init__(self, *args: Any, maker: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = scopes_of(maker)
        scopes = cast(forms.MultipleChoiceField, self.fields["scopes"])
        scopes.choices = [(value, label) for value, label in Scope.choices if value in offered]


def end_of(day: date) -> datetime:
    """The midnight that ends the day, in the time zone of the screen."""
    return timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min))


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("new/", wrap(self.new_view), name="rest_apikey_new"),
            path("<int:pk>/", wrap(self.key_view), name="rest_apikey_detail"),
            path("<int:pk>/revoke/", wrap(require_POST(self.revoke_view)), name="rest_apikey_revoke"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        keys = list(ApiKey.objects.select_related("created_by", "user").order_by("revoked_at", "name"))
        counts = shared_counts([key.user for key in keys])
        context = {
            "rows": [(key, counts.get(key.user_id, 0)) for key in keys],
            "may_add": request.user.has_perm("rest.add_apikey"),
            "may_revoke": request.user.has_perm("rest.change_apikey"),
        }
        return render(request, "rest/keys.html", context)

    def key_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One key: what it may do, and the segments it sees; of those the reader may not see, only how many."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        key = get_object_or_404(ApiKey.objects.select_related("created_by", "user"), pk=pk)
        seen = visible_segments(key.user)
        shown = seen.filter(pk__in=visible_segments(reader_of(request)).values("pk")).order_by("name")
        page = Paginator(shown, PAGE).get_page(request.GET.get("page"))
        context = {
            "key": key,
            "count": seen.count(),
            "hidden": seen.count() - page.paginator.count,
            "page": page,
            "rows": [(segment, may(reader_of(request), "change_segment", segment)) for segment in page],
            "may_revoke": request.user.has_perm("rest.change_apikey"),
            "may_share": request.user.has_perm("segments.change_segment"),
        }
        return render(request, "rest/key.html", context)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("rest.add_apikey"):
            raise PermissionDenied
        form = ApiKeyForm(request.POST or None, maker=reader_of(request))
        if request.method != "POST" or not form.is_valid():
            return render(request, "rest/new_key.html", {"form": form}, status=422 if form.errors else 200)
        expires_on = form.cleaned_data["expires_on"]
        key, secret = create_api_key(
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            expires_at=end_of(expires_on) if expires_on else None,
            by=actor_of(request),
            user=reader_of(request),
        )
        # Answered in place: a redirect would have to carry the secret somewhere.
        response = render(request, "rest/key_made.html", {"key": key, "secret": secret})
        add_never_cache_headers(response)
        return response

    def revoke_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not request.user.has_perm("rest.change_apikey"):
            raise PermissionDenied
        key = revoke_api_key(key=get_object_or_404(ApiKey, pk=pk), by=actor_of(request))
        messages.success(request, f"{key.name} is revoked. Its next request is refused.")
        return redirect("admin:rest_apikey_changelist")
