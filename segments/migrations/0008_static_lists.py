"""Static lists, who is on them, and the live rules that read them; and who may look at them and change them."""

import django.db.models.deletion
import django.utils.timezone
from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

GROUPS = {
    "marketer": ["add_staticlist", "change_staticlist", "view_staticlist", "delete_staticlist"],
    "compliance": ["view_staticlist"],
    "integrator": ["view_staticlist"],
    "admin": ["add_staticlist", "change_staticlist", "view_staticlist", "delete_staticlist"],
}


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("segments"), verbosity=0, using=using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, codenames in GROUPS.items():
        group = groups.filter(name=name).first()
        if group is not None:  # an installation may do without
            group.permissions.add(*permissions.filter(content_type__app_label="segments", codename__in=codenames))


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0007_waiting_for_scores"),
        ("profiles", "0005_scores_that_are_read"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        migrations.CreateModel(
            name="StaticList",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key",
                    models.SlugField(
                        help_text="How rules and the API name it; can't change.", max_length=64, unique=True
                    ),
                ),
                ("name", models.CharField(max_length=150)),
                ("description", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={"verbose_name": "list", "ordering": ["name"]},
        ),
        migrations.CreateModel(
            name="ListEntry",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "list_id", "origin_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("origin_id", models.BigIntegerField()),
                ("added_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("added_by", models.CharField(max_length=150)),
                ("reason", models.CharField(blank=True, max_length=200)),
                (
                    "list",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="entries",
                        to="segments.staticlist",
                    ),
                ),
                (
                    "profile",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="list_entries",
                        to="profiles.profile",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["list", "profile"], name="segments_people_of_a_list"),
                    models.Index(fields=["profile", "list"], name="segments_lists_of_a_person"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ListUse",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user_id", "used_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "used",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="used_by", to="segments.staticlist"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="list_uses",
                        to="segments.segment",
                    ),
                ),
            ],
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
