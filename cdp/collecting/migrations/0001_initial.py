"""Files of decisions, and who may report decisions: compliance staff, beside admins."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

MAY_REPORT = ("compliance", "admin")


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("consent"), verbosity=0, using=using)
    group_model, permission_model = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    permission = permission_model.objects.using(using).get(
        content_type__app_label="consent", codename="add_consentrecord"
    )
    for group in group_model.objects.using(using).filter(name__in=MAY_REPORT):
        group.permissions.add(permission)


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("jobs", "0002_newest_of_a_segment"),
        ("consent", "0009_signals_heard"),
        ("segments", "0009_ended_by_erasure"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.CreateModel(
            name="ConsentImport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(help_text="Of the file.", max_length=150)),
                (
                    "sha256",
                    models.CharField(help_text="Of the file, so that it can be told which one it was.", max_length=64),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("refused", "Needs mending"),
                            ("ready", "Ready to apply"),
                            ("applying", "Being applied"),
                            ("applied", "Applied"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "creates_people",
                    models.BooleanField(default=False, help_text="Profiles are made for people who aren't known."),
                ),
                ("rows", models.IntegerField(default=0)),
                ("errors", models.JSONField(default=list)),
                ("error_count", models.IntegerField(default=0)),
                ("recorded", models.IntegerField(default=0)),
                ("repeated", models.IntegerField(default=0)),
                ("unknown", models.IntegerField(default=0)),
                ("uploaded_by", models.CharField(max_length=150)),
                ("uploaded_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("applied_at", models.DateTimeField(null=True)),
                (
                    "job",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="jobs.job"
                    ),
                ),
            ],
            options={
                "verbose_name": "import of consent",
                "verbose_name_plural": "imports of consent",
                "ordering": ["-uploaded_at"],
            },
        ),
        migrations.CreateModel(
            name="ImportRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.IntegerField(help_text="In the file; its heading is row 1.")),
                ("namespace", models.CharField(max_length=50)),
                ("value", models.CharField(max_length=512)),
                ("purpose_id", models.BigIntegerField()),
                ("is_granted", models.BooleanField()),
                ("collected_at", models.DateTimeField()),
                ("said", models.JSONField(help_text="The rest.")),
                (
                    "file",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="waiting",
                        to="collecting.consentimport",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="importrow",
            constraint=models.UniqueConstraint(fields=("file", "number"), name="collecting_row_once"),
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
