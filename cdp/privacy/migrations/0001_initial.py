"""Requests of people about their own data, what each has to reach, and the files made for them."""

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [("audit", "0002_append_only_and_roles"), ("consent", "0007_stops")]

    operations = [
        migrations.CreateModel(
            name="Tombstone",
            fields=[
                ("profile_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("drop_after", models.DateTimeField(db_index=True)),
            ],
            options={
                "db_table": "privacy_tombstone",
            },
        ),
        migrations.CreateModel(
            name="PrivacyRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("access", "Access"),
                            ("portability", "Portability"),
                            ("rectification", "Rectification"),
                            ("erasure", "Erasure"),
                            ("restriction", "Restriction"),
                            ("objection", "Objection"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("received", "Received"),
                            ("identity_needed", "Identity needed"),
                            ("in_progress", "In progress"),
                            ("done", "Done"),
                            ("refused", "Refused"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="received",
                        max_length=16,
                    ),
                ),
                (
                    "came_by",
                    models.CharField(
                        choices=[
                            ("page", "Their page"),
                            ("email", "Email"),
                            ("phone", "Phone"),
                            ("letter", "Letter"),
                            ("api", "API"),
                            ("staff", "Staff"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "profile_uuid",
                    models.UUIDField(db_index=True, help_text="Who asks; empty until it is known.", null=True),
                ),
                (
                    "subject_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, size=None
                    ),
                ),
                (
                    "namespaces",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=50), default=list, size=None
                    ),
                ),
                ("country", models.CharField(blank=True, max_length=2)),
                ("region", models.CharField(blank=True, max_length=6)),
                ("law", models.CharField(help_text="By which the last day was counted.", max_length=150)),
                ("received_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("due_on", models.DateField(help_text="The last day on which it is answered in time.")),
                ("was_due_on", models.DateField(help_text="Before it was extended.", null=True)),
                ("extension_reason", models.CharField(blank=True, max_length=500)),
                (
                    "objects_to",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("purpose", "One purpose"),
                            ("profiling", "Profiling"),
                            ("legitimate_interests", "All that rests on legitimate interests"),
                        ],
                        max_length=24,
                    ),
                ),
                (
                    "corrections",
                    models.JSONField(default=dict, help_text="Trait -> what it should be; emptied once it is done."),
                ),
                (
                    "identity_method",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("logged_in", "They were logged in"),
                            ("signed_link", "A signed link to their address"),
                            ("call_back", "Called back at a known number"),
                            ("document", "A document was shown"),
                            ("known", "Known in person"),
                        ],
                        max_length=16,
                    ),
                ),
                ("identity_by", models.CharField(blank=True, max_length=150)),
                ("identity_at", models.DateTimeField(null=True)),
                (
                    "identity_note",
                    models.CharField(blank=True, help_text="Emptied when the person is erased.", max_length=500),
                ),
                ("refusal_reason", models.CharField(blank=True, max_length=500)),
                ("closed_at", models.DateTimeField(null=True)),
                ("created_by", models.CharField(max_length=150)),
                ("job_uuid", models.UUIDField(help_text="The work that was begun last.", null=True)),
                (
                    "purpose",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="consent.purpose"
                    ),
                ),
            ],
            options={
                "verbose_name": "privacy request",
                "ordering": ["due_on", "id"],
                "permissions": [("download_export", "Can download the export of a person's data")],
            },
        ),
        migrations.CreateModel(
            name="PrivacyExport",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("profile_uuid", models.UUIDField(db_index=True)),
                (
                    "file",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, help_text="The name of the file.", unique=True
                    ),
                ),
                ("bytes", models.BigIntegerField()),
                ("sha256", models.CharField(max_length=64)),
                ("made_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField()),
                ("deleted_at", models.DateTimeField(null=True)),
                (
                    "request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="exports", to="privacy.privacyrequest"
                    ),
                ),
            ],
            options={
                "ordering": ["-made_at"],
            },
        ),
        migrations.CreateModel(
            name="PrivacyTarget",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField()),
                ("key", models.CharField(max_length=24)),
                ("label", models.CharField(help_text="What it is; of a system outside, its name.", max_length=100)),
                (
                    "is_outside",
                    models.BooleanField(default=False, help_text="Somebody does it by hand, and ticks it off."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("error_code", models.CharField(blank=True, max_length=64)),
                ("counts", models.JSONField(default=dict, help_text="What came of it, in figures.")),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("done_by", models.CharField(blank=True, max_length=150)),
                (
                    "request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="targets", to="privacy.privacyrequest"
                    ),
                ),
            ],
            options={
                "ordering": ["request_id", "position"],
            },
        ),
        migrations.AddIndex(
            model_name="privacyrequest",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", True)), fields=["due_on", "id"], name="privacy_open"
            ),
        ),
        migrations.AddIndex(
            model_name="privacyrequest",
            index=models.Index(fields=["-received_at", "-id"], name="privacy_by_receipt"),
        ),
        migrations.AddConstraint(
            model_name="privacyrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("closed_at__isnull", True), ("state__in", ["received", "identity_needed", "in_progress"])
                    ),
                    models.Q(("closed_at__isnull", False), ("state__in", ("done", "refused", "withdrawn"))),
                    _connector="OR",
                ),
                name="privacy_closed_when_over",
            ),
        ),
        migrations.AddConstraint(
            model_name="privacyrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "refused"), _negated=True),
                    models.Q(("refusal_reason", ""), _negated=True),
                    _connector="OR",
                ),
                name="privacy_no_without_why",
            ),
        ),
        migrations.AddConstraint(
            model_name="privacyrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["in_progress", "done"]), _negated=True),
                    models.Q(("identity_at__isnull", False), ("profile_uuid__isnull", False)),
                    _connector="OR",
                ),
                name="privacy_identity_first",
            ),
        ),
        migrations.AddIndex(
            model_name="privacyexport",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", True)), fields=["expires_at"], name="privacy_export_end"
            ),
        ),
        migrations.AddConstraint(
            model_name="privacytarget",
            constraint=models.UniqueConstraint(fields=("request", "position"), name="privacy_target_place"),
        ),
        migrations.AddConstraint(
            model_name="privacytarget",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", "failed"), ("error_code", ""), _connector="OR"),
                name="privacy_error_of_failures",
            ),
        ),
    ]
