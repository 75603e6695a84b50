"""Grants on segments refer to them by foreign keys; and the rights to use a segment outside and to take its members out."""

import django.db.models.deletion
from django.apps import apps as real_apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

ROLES = {"activate_segment": ("marketer", "admin"), "export_members": ("marketer", "admin")}
# To and fro: what was granted stays granted.
CARRY = """
    INSERT INTO segments_segment{holder}permission ({holder}_id, permission_id, content_object_id)
    SELECT g.{holder}_id, g.permission_id, s.id
      FROM guardian_{holder}objectpermission g
      JOIN django_content_type t ON t.id = g.content_type_id AND t.app_label = 'segments' AND t.model = 'segment'
      JOIN segments_segment s ON s.id::text = g.object_pk
    ON CONFLICT DO NOTHING
"""
FORGET = """
    DELETE FROM guardian_{holder}objectpermission g USING django_content_type t
     WHERE t.id = g.content_type_id AND t.app_label = 'segments' AND t.model = 'segment'
"""
CARRY_BACK = """
    INSERT INTO guardian_{holder}objectpermission ({holder}_id, permission_id, content_type_id, object_pk)
    SELECT g.{holder}_id, g.permission_id, t.id, g.content_object_id::text
      FROM segments_segment{holder}permission g
      JOIN django_content_type t ON t.app_label = 'segments' AND t.model = 'segment'
    ON CONFLICT DO NOTHING
"""


def carry(apps, schema_editor):
    for holder in ("user", "group"):
        schema_editor.execute(CARRY.format(holder=holder))
        schema_editor.execute(FORGET.format(holder=holder))


def carry_back(apps, schema_editor):
    for holder in ("user", "group"):
        schema_editor.execute(CARRY_BACK.format(holder=holder))


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("segments"), verbosity=0, using=using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for codename, roles in ROLES.items():
        right = permissions.get(content_type__app_label="segments", codename=codename)
        for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=roles):
            group.permissions.add(right)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("guardian", "0003_remove_groupobjectpermission_guardian_gr_content_ae6aec_idx_and_more"),
        ("segments", "0018_assigning"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="segment",
            options={
                "ordering": ["name"],
                "permissions": [
                    ("refresh_segment", "Can refresh segments"),
                    ("view_members", "Can read the members of segments"),
                    ("edit_members", "Can add people to segments and remove them by hand"),
                    ("activate_segment", "Can use segments for audiences and webhooks"),
                    ("export_members", "Can take the members of segments out as a file"),
                ],
            },
        ),
        migrations.CreateModel(
            name="SegmentGroupPermission",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "content_object",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="group_grants", to="segments.segment"
                    ),
                ),
                ("group", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="auth.group")),
                ("permission", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="auth.permission")),
            ],
            options={
                "unique_together": {("group", "permission", "content_object")},
            },
        ),
        migrations.CreateModel(
            name="SegmentUserPermission",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "content_object",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="user_grants", to="segments.segment"
                    ),
                ),
                ("permission", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="auth.permission")),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "unique_together": {("user", "permission", "content_object")},
            },
        ),
        migrations.RunPython(carry, carry_back),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
