"""Registers the screens that no single app owns: people, API keys, the audit log, users and roles."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import HttpRequest
from django.urls import path, reverse
from django.utils.html import format_html

from cdp.audit.admin_base import AuditedAdmin, actor_of
from cdp.console import (  # noqa: F401  (importing registers the screens)
    api_keys,
    audit,
    catalogue,
    consent_conflicts,
    consent_trail,
    notices,
    people,
    purposes,
)
from cdp.log_in.administering import user_factors_view
from cdp.log_in.factors import has_factor
from cdp.log_in.sessions import end_sessions, note_new_key

# Their screens would show the secrets of second factors, and change them past the audit log.
admin.site.unregister([User, Group, EmailAddress, Authenticator])


@admin.register(User)
class AuditedUserAdmin(AuditedAdmin, UserAdmin):
    """Django's own, with each change in the audit log. What somebody may do comes from groups, not from single permissions."""

    unaudited = ("password", "first_name", "last_name", "email")
    list_display = ("username", "first_name", "last_name", "is_staff", "is_active", "last_login")
    list_filter = ("is_active", "is_staff", "groups")
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined", "second_factors")
    fieldsets = (
        (None, {"fields": ("username", "password", "second_factors")}),
        ("Who it is", {"fields": ("first_name", "last_name", "email")}),
        ("What they may do", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("When", {"fields": ("last_login", "date_joined")}),
    )

    @admin.display(description="Second factors")
    def second_factors(self, obj: User) -> str:
        there = reverse("admin:auth_user_factors", kwargs={"pk": obj.pk})
        return format_html('<a href="{}">{}</a>', there, "Set up" if has_factor(obj) else "None")

    # What somebody may do, as it stands in the audit log: with a change of it their sessions end.
    role = frozenset({"is_active", "is_staff", "is_superuser", "groups"})

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(user_factors_view)
        return [path("<int:pk>/factors/", view, name="auth_user_factors"), *super().get_urls()]

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        before, after = self._before_and_after(request, obj)
        if any(before.get(name) != after.get(name) for name in self.role & after.keys()):
            mine = request.session.session_key if obj == request.user else None
            end_sessions(user=obj, by=actor_of(request), why="role changed", but=mine)
        return super().log_change(request, obj, message)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        """Django's own; with the new password the user's sessions end, but one's own."""
        old_key = request.session.session_key
        response = super().user_change_password(request, id, form_url)
        user = self.get_object(request, unquote(id))
        if request.method == "POST" and response.status_code == 302 and user is not None:
            mine = request.session.session_key if user == request.user else None
            note_new_key(request, old_key)
            end_sessions(user=user, by=actor_of(request), why="password changed", but=mine)
        return response

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Without the service accounts of API keys: those are no people, and have a screen of their own."""
        users: QuerySet[User] = super().get_queryset(request)
        return users.filter(api_keys=None)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs["widget"] = CheckboxSelectMultiple()
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name == "groups":
            field.widget.can_add_related = False  # groups have a screen of their own
        return field


@admin.register(Group)
class AuditedGroupAdmin(AuditedAdmin, GroupAdmin):
    """Django's own, with each change in the audit log."""

    filter_horizontal = ()
