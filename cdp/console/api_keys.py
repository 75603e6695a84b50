"""The screens for API keys: make one, see it once, see what it reaches, limit, replace and revoke it."""

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
from cdp.errors import DomainError
from cdp.rest.limits import read_expiry, read_networks
from cdp.rest.models import ApiKey, Scope
from cdp.rest.services import change_api_key, create_api_key, revoke_api_key, rotate_api_key, scopes_of
from consent.models import Purpose
from segments.sharing import may, shared_counts, visible_segments

PAGE = 25
ONE_DAY = timedelta(days=1)
OVERLAPS = ((0, "At once"), (24, "A day"), (168, "A week"), (720, "30 days"))


class LimitsForm(forms.Form):
    """For what, from where and until when a key may be used."""

    name = forms.CharField(max_length=100, help_text="Which system will use it.")
    all_purposes = forms.BooleanField(required=False, label="Every purpose, those that are added later too")
    purposes = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, label="It reads people for"
    )
    networks = forms.CharField(
        required=False,
        widget=forms.Textarea,
        help_text="One on each line, like 203.0.113.0/24 or 2001:db8::/32. Empty: from anywhere.",
    )
    expires_on = forms.DateField(
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Leave empty for a key without an end.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        purposes = cast(forms.MultipleChoiceField, self.fields["purposes"])
        purposes.choices = list(Purpose.objects.order_by("label").values_list("key", "label"))

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        for name, read in (("networks", read_networks), ("expires_on", read_last_day)):
            if name in found:
                try:
                    found[name] = read(found[name].split() if name == "networks" else found[name])
                except DomainError as error:
                    self.add_error(name, error.message)
        return found

    def limits(self) -> dict[str, Any]:
        """What was given, as `change_api_key` takes it."""
        given = self.cleaned_data
        return {
            "name": given["name"],
            "all_purposes": given["all_purposes"],
            "purposes": [] if given["all_purposes"] else given["purposes"],
            "networks": given["networks"],
            "expires_at": given["expires_on"],
        }


class ApiKeyForm(LimitsForm):
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple, label="It may")

    def __init__(self, *args: Any, maker: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = scopes_of(maker)
        scopes = cast(forms.MultipleChoiceField, self.fields["scopes"])
        scopes.choices = [(value, label) for value, label in Scope.choices if value in offered]


def read_last_day(day: date | None) -> datetime | None:
    """When a key ends whose last day this is.

    Raises:
        DomainError: it is over.
    """
    return read_expiry(end_of(day)) if day else None


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
            path("<int:pk>/limits/", wrap(self.limits_view), name="rest_apikey_limits"),
            path("<int:pk>/rotate/", wrap(require_POST(self.rotate_view)), name="rest_apikey_rotate"),
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
        key = get_object_or_404(ApiKey.objects.select_related("created_by", "user", "replaces"), pk=pk)
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
            "may_rotate": _may_rotate(request, key),
            "replaced_by": ApiKey.objects.filter(replaces=key).first(),
            "purposes": Purpose.objects.filter(key__in=key.purposes).order_by("label"),
            "overlaps": OVERLAPS,
            "may_share": request.user.has_perm("segments.change_segment"),
        }
        return render(request, "rest/key.html", context)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("rest.add_apikey"):
            raise PermissionDenied
        year = timezone.localdate() + timedelta(days=365)
        form = ApiKeyForm(request.POST or None, maker=reader_of(request), initial={"expires_on": year.isoformat()})
        if request.method != "POST" or not form.is_valid():
            return render(request, "rest/new_key.html", {"form": form}, status=422 if form.errors else 200)
        key, secret = create_api_key(
            **form.limits(), scopes=form.cleaned_data["scopes"], by=actor_of(request), user=reader_of(request)
        )
        return self._made(request, key, secret)

    def limits_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """For what, from where and until when a key may be used; on POST changed."""
        if not request.user.has_perm("rest.change_apikey"):
            raise PermissionDenied
        key = get_object_or_404(ApiKey, pk=pk)
        last = timezone.localtime(key.expires_at - timedelta(microseconds=1)).date() if key.expires_at else None
        shown = {
            "name": key.name,
            "all_purposes": key.all_purposes,
            "purposes": key.purposes,
            "networks": "\n".join(key.networks),
            "expires_on": last.isoformat() if last else "",
        }
        form = LimitsForm(request.POST or None, initial=shown)
        if request.method == "POST" and form.is_valid():
            wanted = form.limits()
            if form.cleaned_data["expires_on"] and last == timezone.localtime(wanted["expires_at"]).date() - ONE_DAY:
                del wanted["expires_at"]  # the day stays, and so does the hour
            try:
                change_api_key(key=key, by=actor_of(request), **wanted)
            except DomainError as error:
                form.add_error(None, error.message)
            else:
                messages.success(request, f"The limits of {form.cleaned_data['name']} are changed.")
                return redirect("admin:rest_apikey_detail", pk=pk)
        return render(request, "rest/key_limits.html", {"form": form, "key": key}, status=422 if form.errors else 200)

    def rotate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A key that takes this one's place, shown once."""
        key = get_object_or_404(ApiKey.objects.select_related("user"), pk=pk)
        if not request.user.has_perm("rest.add_apikey"):
            raise PermissionDenied
        hours = request.POST.get("overlap", "")
        try:
            if hours not in {str(one) for one, _ in OVERLAPS}:
                raise DomainError("overlap_out_of_range", "Choose for how long both keys can be used.")
            fresh, secret = rotate_api_key(
                key=key, by=actor_of(request), user=reader_of(request), overlap=timedelta(hours=int(hours))
            )
        except DomainError as error:
            messages.error(request, error.message)
            return redirect("admin:rest_apikey_detail", pk=pk)
        key.refresh_from_db()
        return self._made(request, fresh, secret, old=key)

    @staticmethod
    def _made(request: HttpRequest, key: ApiKey, secret: str, old: ApiKey | None = None) -> HttpResponse:
        # Answered in place: a redirect would have to carry the secret somewhere.
        response = render(request, "rest/key_made.html", {"key": key, "secret": secret, "old": old})
        add_never_cache_headers(response)
        return response

    def revoke_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not request.user.has_perm("rest.change_apikey"):
            raise PermissionDenied
        key = revoke_api_key(key=get_object_or_404(ApiKey, pk=pk), by=actor_of(request))
        messages.success(request, f"{key.name} is revoked. Its next request is refused.")
        return redirect("admin:rest_apikey_changelist")


def _may_rotate(request: HttpRequest, key: ApiKey) -> bool:
    return request.user.has_perm("rest.add_apikey") and not set(key.scopes) - set(scopes_of(reader_of(request)))
