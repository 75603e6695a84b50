"""Who may see and change slots; versions of them are never rewritten."""

from django.apps import apps as real_apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations
from psycopg import sql

GROUPS = {
    "marketer": ["view_slot", "add_slot", "change_slot", "delete_slot"],
    "admin": ["view_slot", "add_slot", "change_slot", "delete_slot"],
    "compliance": ["view_slot"],
    "integrator": ["view_slot"],
}


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("content"), verbosity=0, using=using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, codenames in GROUPS.items():
        group = groups.filter(name=name).first()
        if group is not None:  # an installation may do without
            group.permissions.add(*permissions.filter(content_type__app_label="content", codename__in=codenames))


def never_rewritten(apps, schema_editor):
    role = sql.Identifier(settings.APP_ROLE)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(sql.SQL("REVOKE UPDATE ON content_slotversion FROM {}").format(role))


class Migration(migrations.Migration):
    dependencies = [
        ("content", "0001_slots"),
        ("segments", "0020_public_segments"),
        ("rest", "0007_scopes_without_choices"),
    ]
    operations = [
        migrations.RunPython(grant, migrations.RunPython.noop),
        migrations.RunPython(never_rewritten, migrations.RunPython.noop),
    ]
