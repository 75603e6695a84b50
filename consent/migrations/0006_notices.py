"""What people are told, in versions; purposes that lie beneath others; a yes that is confirmed; answers that differ."""

import uuid

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from psycopg import sql

IMMUTABLE = ("consent_noticeversion", "consent_servednotice")
PROTECT = "".join(
    f"""
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
"""
    for table in IMMUTABLE
)
UNPROTECT = "".join(
    f"DROP TRIGGER append_only ON {table}; DROP TRIGGER append_only_truncate ON {table};" for table in IMMUTABLE
)

# What the purposes of an installation do with data, so that a browser's signal or a consent string finds them.
PURPOSES = {
    # key: channel, covers profiling, granted by signals of, also ended by signals against
    "internal_analysis": ("", True, [], []),
    "marketing_email": ("email", False, ["marketing"], []),
    "sms": ("sms", False, ["marketing"], []),
    "personalisation": ("onsite", True, ["personalisation"], []),
    "analytics": ("onsite", False, ["analytics"], []),
    "partner_offers": ("", False, ["sale", "sharing"], []),
    "targeted_ads": ("ads", True, ["targeted_ads"], ["sharing"]),
}


def begin(apps, schema_editor):
    alias = schema_editor.connection.alias
    with schema_editor.connection.cursor() as cursor:
        for table in IMMUTABLE:
            cursor.execute(
                sql.SQL("REVOKE UPDATE, DELETE ON {} FROM {}").format(
                    sql.Identifier(table), sql.Identifier(settings.APP_ROLE)
                )
            )
    purpose = apps.get_model("consent", "Purpose")
    for key, (channel, covers, granted, undenied) in PURPOSES.items():
        purpose.objects.using(alias).filter(key=key).update(
            channel=channel, covers_profiling=covers, needs_granted=granted, needs_undenied=undenied
        )


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0005_records_know_their_end"),
    ]

    operations = [
        migrations.CreateModel(
            name="Confirmation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        default=uuid.uuid4,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("expires_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(db_default=0, default=0)),
                ("error", models.CharField(blank=True, db_default="", max_length=32)),
                ("used_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="ConsentConflict",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("profile_id", models.BigIntegerField(db_index=True, help_text="Who survived the merge.")),
                ("absorbed_id", models.BigIntegerField()),
                (
                    "theirs",
                    models.CharField(
                        choices=[
                            ("granted", "Granted"),
                            ("denied", "Denied"),
                            ("withdrawn", "Withdrawn"),
                            ("pending", "Pending"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "absorbed",
                    models.CharField(
                        choices=[
                            ("granted", "Granted"),
                            ("denied", "Denied"),
                            ("withdrawn", "Withdrawn"),
                            ("pending", "Pending"),
                        ],
                        max_length=16,
                    ),
                ),
                ("raised_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("settled_at", models.DateTimeField(null=True)),
                ("settled_by", models.CharField(blank=True, db_default="", max_length=150)),
                ("note", models.CharField(blank=True, db_default="", max_length=500)),
            ],
            options={
                "ordering": ["raised_at"],
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.SlugField(max_length=64, unique=True)),
                ("label", models.CharField(max_length=100)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "ordering": ["label"],
            },
        ),
        migrations.CreateModel(
            name="NoticeVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("locale", models.CharField(help_text="BCP 47, such as en or de-CH.", max_length=35)),
                ("content", models.BinaryField()),
                ("sha256", models.CharField(max_length=64)),
                ("published_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["notice", "locale", "-number"],
            },
        ),
        migrations.CreateModel(
            name="ServedNotice",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        default=uuid.uuid4,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("profile_id", models.BigIntegerField(db_index=True, null=True)),
                ("source_id", models.IntegerField(null=True)),
                (
                    "place",
                    models.CharField(blank=True, help_text="The page or screen, without its query.", max_length=500),
                ),
                ("jurisdiction", models.CharField(blank=True, max_length=16)),
                ("served_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.AddField(
            model_name="consentrecord",
            name="jurisdiction",
            field=models.CharField(blank=True, db_default="", help_text="Whose law applied: EU, US-CA.", max_length=16),
        ),
        migrations.AddField(
            model_name="consentrecord",
            name="sealed_evidence",
            field=models.BinaryField(help_text="The personal rest, under the person's own key.", null=True),
        ),
        migrations.AddField(
            model_name="consentrecord",
            name="uuid",
            field=models.UUIDField(
                db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, unique=True
            ),
        ),
        migrations.AddField(
            model_name="purpose",
            name="channel",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "None in particular"),
                    ("email", "Email"),
                    ("sms", "SMS"),
                    ("phone", "Phone calls"),
                    ("post", "Post"),
                    ("push", "Push messages"),
                    ("onsite", "Our pages and apps"),
                    ("ads", "Ads elsewhere"),
                ],
                default="",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="purpose",
            name="covers_profiling",
            field=models.BooleanField(
                default=False, help_text="People are sorted or predicted for it; who objects to profiling is left out."
            ),
        ),
        migrations.AddField(
            model_name="purpose",
            name="needs_double_opt_in",
            field=models.BooleanField(
                default=False,
                help_text="A yes counts once it is confirmed by a link that was sent to them.",
                verbose_name="needs double opt-in",
            ),
        ),
        migrations.AddField(
            model_name="purpose",
            name="needs_granted",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("device_storage", "Device storage"),
                        ("targeted_ads", "Targeted ads"),
                        ("ad_measurement", "Ad measurement"),
                        ("analytics", "Analytics"),
                        ("personalisation", "Personalisation"),
                        ("marketing", "Marketing"),
                        ("sale", "Sale"),
                        ("sharing", "Sharing"),
                        ("sensitive_data", "Sensitive data"),
                    ],
                    max_length=32,
                ),
                blank=True,
                default=list,
                help_text="A consent string that grants all of these is a yes; one that denies any of them is a no.",
                size=None,
                verbose_name="granted by signals of",
            ),
        ),
        migrations.AddField(
            model_name="purpose",
            name="needs_undenied",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("device_storage", "Device storage"),
                        ("targeted_ads", "Targeted ads"),
                        ("ad_measurement", "Ad measurement"),
                        ("analytics", "Analytics"),
                        ("personalisation", "Personalisation"),
                        ("marketing", "Marketing"),
                        ("sale", "Sale"),
                        ("sharing", "Sharing"),
                        ("sensitive_data", "Sensitive data"),
                    ],
                    max_length=32,
                ),
                blank=True,
                default=list,
                help_text="A browser that denies any of these says no.",
                size=None,
                verbose_name="also ended by signals against",
            ),
        ),
        migrations.AddField(
            model_name="purpose",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                help_text="Who says no to it says no to this one too. A yes is asked for each by itself.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="children",
                to="consent.purpose",
            ),
        ),
        migrations.AddField(
            model_name="purpose",
            name="reach",
            field=models.CharField(
                choices=[("person", "The person"), ("device", "One device")],
                default="person",
                help_text="What is kept on a device is decided there, and never passes to the person.",
                max_length=8,
                verbose_name="holds for",
            ),
        ),
        migrations.AlterField(
            model_name="consentrecord",
            name="decision",
            field=models.CharField(
                choices=[
                    ("granted", "Granted"),
                    ("denied", "Denied"),
                    ("withdrawn", "Withdrawn"),
                    ("pending", "Pending"),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="consentrecord",
            name="evidence",
            field=models.JSONField(default=dict, help_text="Facts that tell nothing personal."),
        ),
        migrations.AlterField(
            model_name="consentrecord",
            name="method",
            field=models.CharField(
                choices=[
                    ("banner", "Banner"),
                    ("preference_centre", "Preference centre"),
                    ("form", "Form"),
                    ("unsubscribe", "One-click unsubscribe"),
                    ("double_opt_in", "Double opt-in"),
                    ("gpc", "Global Privacy Control"),
                    ("signal", "Consent string"),
                    ("privacy_request", "Privacy request"),
                    ("api", "API"),
                    ("event", "Event"),
                    ("import", "Import"),
                    ("merge", "Merge"),
                    ("inherited", "A no to what it lies beneath"),
                    ("repeated", "Repeated"),
                ],
                max_length=24,
            ),
        ),
        migrations.AlterField(
            model_name="consentstate",
            name="decision",
            field=models.CharField(
                choices=[
                    ("granted", "Granted"),
                    ("denied", "Denied"),
                    ("withdrawn", "Withdrawn"),
                    ("pending", "Pending"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="purpose",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("needs_double_opt_in", False), models.Q(("mode", "opt_in"), ("reach", "person")), _connector="OR"
                ),
                name="only_a_persons_yes_is_confirmed",
                violation_error_message="Only a yes that people are asked for can need a double opt-in.",
            ),
        ),
        migrations.AddConstraint(
            model_name="purpose",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("parent__isnull", True), models.Q(("parent", models.F("id")), _negated=True), _connector="OR"
                ),
                name="no_purpose_is_its_own_parent",
                violation_error_message="A purpose can't lie beneath itself.",
            ),
        ),
        migrations.AddField(
            model_name="confirmation",
            name="record",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="confirmation", to="consent.consentrecord"
            ),
        ),
        migrations.AddField(
            model_name="consentconflict",
            name="purpose",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="conflicts", to="consent.purpose"
            ),
        ),
        migrations.AddField(
            model_name="noticeversion",
            name="notice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="versions", to="consent.notice"
            ),
        ),
        migrations.AddField(
            model_name="consentrecord",
            name="notice_version",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="records",
                to="consent.noticeversion",
            ),
        ),
        migrations.AddField(
            model_name="servednotice",
            name="version",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="served",
                to="consent.noticeversion",
            ),
        ),
        migrations.AddField(
            model_name="consentrecord",
            name="served",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="records",
                to="consent.servednotice",
            ),
        ),
        migrations.AddIndex(
            model_name="confirmation",
            index=models.Index(
                condition=models.Q(("sent_at__isnull", True), ("used_at__isnull", True)),
                fields=["expires_at"],
                name="consent_confirmation_unsent",
            ),
        ),
        migrations.AddIndex(
            model_name="consentconflict",
            index=models.Index(
                condition=models.Q(("settled_at__isnull", True)), fields=["raised_at"], name="consent_conflict_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="noticeversion",
            constraint=models.UniqueConstraint(
                fields=("notice", "locale", "number"), name="notice_version_is_counted_once"
            ),
        ),
        migrations.AddIndex(
            model_name="servednotice",
            index=models.Index(fields=["version", "served_at"], name="consent_served_by_version"),
        ),
        migrations.RunSQL(PROTECT, UNPROTECT),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
