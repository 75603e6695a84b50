"""People added to a segment and removed from it by hand, files of people for lists, and orders to page through members and lists by."""

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

GROUPS = ("marketer", "admin")


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("segments"), verbosity=0, using=using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    by_hand = permissions.get(content_type__app_label="segments", codename="edit_members")
    for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=GROUPS):
        group.permissions.add(by_hand)


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0002_newest_of_a_segment"),
        ("profiles", "0006_samples_of_people"),
        ("segments", "0011_fields"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.CreateModel(
            name="ListUpload",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "mode",
                    models.CharField(
                        choices=[
                            ("append", "Put them on the list"),
                            ("replace", "Have just them on the list"),
                            ("remove", "Take them off the list"),
                        ],
                        max_length=8,
                    ),
                ),
                ("reason", models.CharField(blank=True, help_text="Kept with each entry.", max_length=200)),
                ("name", models.CharField(help_text="Of the file.", max_length=150)),
                (
                    "sha256",
                    models.CharField(help_text="Of the file, so that it can be told which one it was.", max_length=64),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("ready", "To be looked at"), ("applying", "Being applied"), ("applied", "Applied")],
                        default="ready",
                        max_length=16,
                    ),
                ),
                (
                    "headings",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), default=list, size=None
                    ),
                ),
                (
                    "namespaces",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(blank=True, max_length=50), default=list, size=None
                    ),
                ),
                ("rows", models.IntegerField(default=0)),
                ("matched", models.IntegerField(default=0)),
                ("added", models.IntegerField(default=0)),
                ("removed", models.IntegerField(default=0)),
                ("problems", models.JSONField(default=list)),
                ("problem_counts", models.JSONField(default=dict)),
                ("uploaded_by", models.CharField(max_length=150)),
                ("uploaded_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("applied_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "upload to a list",
                "ordering": ["-uploaded_at"],
            },
        ),
        migrations.CreateModel(
            name="UploadRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("line", models.IntegerField(help_text="In the file; its heading is line 1.")),
                (
                    "cells",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), null=True, size=None),
                ),
                ("profile_id", models.BigIntegerField(null=True)),
                (
                    "problem",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("unmatched", "Leads to nobody"),
                            ("ambiguous", "Its columns lead to different people"),
                            ("repeated", "The same person as in a row above"),
                            ("empty", "Has nothing in the chosen columns"),
                            ("erased", "Of somebody who was erased meanwhile"),
                        ],
                        max_length=16,
                    ),
                ),
            ],
        ),
        migrations.AlterModelOptions(
            name="segment",
            options={
                "ordering": ["name"],
                "permissions": [
                    ("refresh_segment", "Can refresh segments"),
                    ("view_members", "Can read the members of segments"),
                    ("edit_members", "Can add people to segments and remove them by hand"),
                ],
            },
        ),
        migrations.AddField(
            model_name="staticlist",
            name="by_hand",
            field=models.CharField(
                blank=True, choices=[("include", "Added by hand"), ("exclude", "Removed by hand")], max_length=8
            ),
        ),
        migrations.AddField(
            model_name="staticlist",
            name="segment",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="hand_lists",
                to="segments.segment",
            ),
        ),
        migrations.AddIndex(
            model_name="listentry",
            index=models.Index(fields=["list", "-added_at", "-origin_id"], name="segments_list_by_time"),
        ),
        migrations.AddIndex(
            model_name="membership",
            index=models.Index(fields=["segment", "entered_at", "profile"], name="segments_members_by_entry"),
        ),
        migrations.AddConstraint(
            model_name="staticlist",
            constraint=models.UniqueConstraint(
                condition=models.Q(("by_hand", ""), _negated=True),
                fields=("segment", "by_hand"),
                name="segments_one_list_each_way",
            ),
        ),
        migrations.AddConstraint(
            model_name="staticlist",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("by_hand", ""), ("segment", None)),
                    models.Q(("segment__isnull", False), models.Q(("by_hand", ""), _negated=True)),
                    _connector="OR",
                ),
                name="segments_list_by_hand_of_a_segment",
            ),
        ),
        migrations.AddField(
            model_name="listupload",
            name="job",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="jobs.job"
            ),
        ),
        migrations.AddField(
            model_name="listupload",
            name="static_list",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="uploads",
                to="segments.staticlist",
            ),
        ),
        migrations.AddField(
            model_name="uploadrow",
            name="upload",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="waiting",
                to="segments.listupload",
            ),
        ),
        migrations.AddIndex(
            model_name="listupload",
            index=models.Index(fields=["static_list", "-uploaded_at"], name="segments_uploads_of_a_list"),
        ),
        migrations.AddConstraint(
            model_name="uploadrow",
            constraint=models.UniqueConstraint(fields=("upload", "line"), name="segments_upload_row_once"),
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
