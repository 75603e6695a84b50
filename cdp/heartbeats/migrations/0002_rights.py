"""Who may see the health page."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("heartbeats"), verbosity=0, using=using)
    may = (
        apps.get_model("auth", "Permission")
        .objects.using(using)
        .filter(content_type__app_label="heartbeats", codename="view_heartbeat")
    )
    for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=("integrator", "admin")):
        group.permissions.add(*may)


class Migration(migrations.Migration):
    dependencies = [
        ("heartbeats", "0001_initial"),
        ("segments", "0019_grants_with_foreign_keys"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
