"""Who handles privacy requests: compliance staff, and admins."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

COMPLIANCE = {
    "privacy": ["add_privacyrequest", "change_privacyrequest", "view_privacyrequest", "download_export"],
    "identity": ["lift_suppression"],
}


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    for label in COMPLIANCE:
        create_permissions(real_apps.get_app_config(label), verbosity=0, using=using)
    groups, permissions = (apps.get_model("auth", name).objects.using(using) for name in ("Group", "Permission"))
    for label, codenames in COMPLIANCE.items():
        found = permissions.filter(content_type__app_label=label, codename__in=codenames)
        if missing := set(codenames) - set(found.values_list("codename", flat=True)):
            raise LookupError(f"no such permissions in {label}: {sorted(missing)}")
        for group in groups.filter(name__in=["compliance", "admin"]):
            group.permissions.add(*found)


def take_back(apps, schema_editor):
    using = schema_editor.connection.alias
    for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=["compliance", "admin"]):
        for label, codenames in COMPLIANCE.items():
            group.permissions.remove(*group.permissions.filter(content_type__app_label=label, codename__in=codenames))


class Migration(migrations.Migration):
    dependencies = [
        ("privacy", "0001_initial"),
        ("identity", "0002_suppression"),
        ("segments", "0003_roles"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(grant, take_back)]
