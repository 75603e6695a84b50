"""The four roles people and systems have, as groups.

It stands here because this is the topmost app: every permission it hands out belongs to an app below.
"""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

GROUPS = {
    "marketer": {
        "segments": ["add_segment", "change_segment", "view_segment", "delete_segment", "refresh_segment", "view_members", "view_segmentversion"],
        "profiles": ["view_profile", "view_trait", "view_eventname"],
        "jobs": ["view_job", "change_job"],
        "consent": ["view_purpose"],
    },
    "compliance": {
        "segments": ["view_segment", "view_segmentversion", "view_members"],
        "profiles": ["view_profile", "view_trait", "view_eventname", "reveal_pii"],
        "consent": ["view_purpose", "view_consentrecord", "view_consentstate"],
        "audit": ["view_auditentry"],
        "identity": ["view_merge", "undo_merge"],
        "jobs": ["view_job"],
    },
    "integrator": {
        "ingestion": ["add_source", "change_source", "view_source", "add_writekey", "change_writekey", "view_writekey",
                      "view_quarantined", "replay_quarantined"],
        "rest": ["add_apikey", "change_apikey", "view_apikey"],
        "profiles": ["view_trait", "change_trait", "view_eventname", "change_eventname"],
        "jobs": ["view_job", "change_job"],
        "segments": ["view_segment"],
    },
}  # fmt: skip
APPS = ["audit", "jobs", "rest", "profiles", "consent", "identity", "ingestion", "segments", "auth"]


def make_groups(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    for label in APPS:
        config = real_apps.get_app_config(label)
        create_permissions(config, verbosity=0, using=using)
    group_model, permission_model = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, wanted in GROUPS.items():
        group, _ = group_model.objects.using(using).get_or_create(name=name)
        for label, codenames in wanted.items():
            found = permission_model.objects.using(using).filter(content_type__app_label=label, codename__in=codenames)
            missing = set(codenames) - set(found.values_list("codename", flat=True))
            if missing:
                raise LookupError(f"no such permissions in {label}: {sorted(missing)}")
            group.permissions.add(*found)
    everything, _ = group_model.objects.using(using).get_or_create(name="admin")
    everything.permissions.add(*permission_model.objects.using(using).filter(content_type__app_label__in=APPS))


def remove_groups(apps, schema_editor):
    apps.get_model("auth", "Group").objects.using(schema_editor.connection.alias).filter(
        name__in=[*GROUPS, "admin"]
    ).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0002_versions_and_changes"),
        ("audit", "0002_append_only_and_roles"),
        ("consent", "0002_append_only_and_purposes"),
        ("identity", "0001_initial"),
        ("ingestion", "0002_inbox_for_churn"),
        ("jobs", "0001_initial"),
        ("rest", "0001_initial"),
        ("profiles", "0002_events_by_month"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_groups, remove_groups)]
