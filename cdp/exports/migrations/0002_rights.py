"""Who may do what with exports."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

ALL = ["add", "change", "view", "delete"]
GROUPS = {
    "marketer": ["add_export", "view_export", "delete_export", *(f"{one}_schedule" for one in ALL), "view_destination"],
    "compliance": ["view_export", "view_schedule", "view_destination"],
    "integrator": ["view_export", "view_schedule", *(f"{one}_destination" for one in ALL)],
    "admin": [f"{one}_{what}" for what in ("export", "schedule", "destination") for one in ALL],
}


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("exports"), verbosity=0, using=using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, codenames in GROUPS.items():
        group = groups.filter(name=name).first()
        if group is not None:  # an installation may do without
            group.permissions.add(*permissions.filter(content_type__app_label="exports", codename__in=codenames))


class Migration(migrations.Migration):
    dependencies = [
        ("exports", "0001_initial"),
        ("segments", "0019_grants_with_foreign_keys"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
