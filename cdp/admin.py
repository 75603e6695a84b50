"""Registers the screens that no single app owns: people, users and roles."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User

from cdp.audit.admin_base import AuditedAdmin
from cdp.console import people  # noqa: F401  (importing registers the screen)

admin.site.unregister([User, Group])


@admin.register(User)
class AuditedUserAdmin(AuditedAdmin, UserAdmin):
    """Django's own, with each change in the audit log."""

    list_display = ("username", "first_name", "last_name", "is_staff", "is_active", "last_login")
    list_filter = ("is_active", "is_staff", "groups")


@admin.register(Group)
class AuditedGroupAdmin(AuditedAdmin, GroupAdmin):
    """Django's own, with each change in the audit log."""
