"""Retention, the record of processing, who may see and change them, and the door for dropping months that are empty."""

import django.db.models.deletion
import django.utils.timezone
from django.apps import apps as real_apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models
from psycopg import sql

# The door looks itself: whoever calls it can drop nothing that holds an event, nor a month that isn't long over. It needs
# the whole table for a moment, and gives up where it doesn't get it: no batch waits longer than that.
DOOR = """
CREATE FUNCTION cdp_drop_event_month(day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    month timestamptz := date_trunc('month', day::timestamptz);
    part text := 'profiles_event_' || to_char(month, 'YYYY_MM');
    is_empty boolean;
BEGIN
    IF month + interval '1 month' > now() - interval '28 days' THEN
        RAISE EXCEPTION 'the month of % is not long over', day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Whoever makes partitions holds it, too.
    PERFORM pg_advisory_xact_lock(7305001);
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'profiles_event'::regclass AND inhrelid = to_regclass(part)) THEN
        RETURN false;
    END IF;
    LOCK TABLE ONLY profiles_event IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', part) INTO is_empty;
    IF is_empty THEN
        EXECUTE format('DROP TABLE %I', part);
    END IF;
    RETURN is_empty;
END $$;
REVOKE ALL ON FUNCTION cdp_drop_event_month(date) FROM PUBLIC;
"""
PROTECT = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON accountability_publishedrecord
    FOR EACH ROW EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON accountability_publishedrecord
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
"""
UNPROTECT = """
DROP TRIGGER append_only ON accountability_publishedrecord;
DROP TRIGGER append_only_truncate ON accountability_publishedrecord;
"""

ALL = [
    "view_retentionrule", "change_retentionrule", "apply_retention", "view_publishedrecord", "add_publishedrecord",
    "view_controller", "change_controller", "investigate_breach",
]  # fmt: skip
GROUPS = {"compliance": ALL, "admin": ALL}


def let_the_app(apps, schema_editor):
    role = sql.Identifier(settings.APP_ROLE)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(sql.SQL("GRANT EXECUTE ON FUNCTION cdp_drop_event_month(date) TO {}").format(role))
        cursor.execute(sql.SQL("REVOKE UPDATE, DELETE ON accountability_publishedrecord FROM {}").format(role))


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("accountability"), verbosity=0, using=using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, codenames in GROUPS.items():
        group = groups.filter(name=name).first()
        if group is not None:  # an installation may do without
            group.permissions.add(*permissions.filter(content_type__app_label="accountability", codename__in=codenames))


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("audit", "0003_the_tree"),
        ("consent", "0005_records_know_their_end"),
        ("profiles", "0006_samples_of_people"),
        ("segments", "0009_ended_by_erasure"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.CreateModel(
            name="PublishedRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(unique=True)),
                ("content", models.BinaryField()),
                ("sha256", models.CharField(editable=False, max_length=64)),
                ("missing", models.PositiveIntegerField(help_text="How many entries were missing.")),
                ("published_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("published_by", models.CharField(max_length=150)),
            ],
            options={
                "verbose_name": "record of processing",
                "ordering": ["-number"],
            },
        ),
        migrations.CreateModel(
            name="PurposeEntry",
            fields=[
                (
                    "purpose",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="record_entry",
                        serialize=False,
                        to="consent.purpose",
                    ),
                ),
                (
                    "subjects",
                    models.TextField(
                        blank=True,
                        help_text="Empty: those named for all purposes.",
                        max_length=1000,
                        verbose_name="categories of data subjects",
                    ),
                ),
                (
                    "recipients",
                    models.TextField(
                        blank=True,
                        help_text="To whom data is disclosed outside this platform, such as processors.",
                        max_length=2000,
                    ),
                ),
                (
                    "transfers",
                    models.TextField(
                        blank=True,
                        help_text="To which; “none”, if there are none.",
                        max_length=2000,
                        verbose_name="transfers to third countries",
                    ),
                ),
                (
                    "safeguards",
                    models.TextField(
                        blank=True,
                        help_text="What a transfer rests on: a decision of adequacy, standard clauses.",
                        max_length=2000,
                    ),
                ),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="RetentionRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("job_uuid", models.UUIDField(unique=True)),
                ("as_of", models.DateTimeField()),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ended_at", models.DateTimeField(help_text="Once it stands in the audit log.", null=True)),
                ("is_complete", models.BooleanField(default=False, help_text="Nothing was left to do.")),
                ("people", models.BigIntegerField(default=0)),
                (
                    "months",
                    models.JSONField(
                        default=list, help_text="Whose partitions held nothing any more and were dropped."
                    ),
                ),
            ],
            options={
                "ordering": ["-started_at"],
            },
        ),
        migrations.CreateModel(
            name="Controller",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(blank=True, max_length=200)),
                ("address", models.TextField(blank=True, max_length=1000)),
                ("contact", models.CharField(blank=True, help_text="Email address or phone number.", max_length=300)),
                (
                    "representative",
                    models.TextField(
                        blank=True,
                        help_text="In the Union, where the controller is outside of it (Art. 27).",
                        max_length=1000,
                    ),
                ),
                ("joint_controllers", models.TextField(blank=True, max_length=1000)),
                (
                    "officer",
                    models.TextField(
                        blank=True,
                        help_text="Name and contact details.",
                        max_length=1000,
                        verbose_name="data protection officer",
                    ),
                ),
                (
                    "authority",
                    models.CharField(
                        blank=True,
                        help_text="To which a breach is notified.",
                        max_length=300,
                        verbose_name="supervisory authority",
                    ),
                ),
                (
                    "subjects",
                    models.TextField(
                        blank=True,
                        help_text="Such as customers, subscribers, visitors.",
                        max_length=1000,
                        verbose_name="categories of data subjects",
                    ),
                ),
                (
                    "measures",
                    models.TextField(
                        blank=True,
                        help_text="Technical and organisational ones (Art. 32(1)). What the platform does by itself is stated beside it.",
                        max_length=4000,
                        verbose_name="security measures",
                    ),
                ),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "verbose_name": "controller",
                "permissions": [("investigate_breach", "Can find out who was read, by whom")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("pk", 1)), name="accountability_one_controller")
                ],
            },
        ),
        migrations.CreateModel(
            name="PurposeLifetime",
            fields=[
                (
                    "purpose",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="data_lifetime",
                        serialize=False,
                        to="consent.purpose",
                    ),
                ),
                ("retention_days", models.PositiveIntegerField()),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("retention_days__gte", 1), ("retention_days__lte", 36525)),
                        name="accountability_purpose_days",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RetentionRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("events", "Events"),
                            ("traits", "Traits"),
                            ("scores", "Scores no longer read"),
                            ("quarantine", "Quarantined messages"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "category",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("demographic", "Demographic"),
                            ("behavioural", "Behavioural"),
                            ("psychographic", "Psychographic"),
                            ("technographic", "Technographic"),
                            ("computed", "Computed"),
                        ],
                        max_length=16,
                    ),
                ),
                ("days", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "reason",
                    models.CharField(
                        blank=True, help_text="Why so long: the law or the need it rests on.", max_length=300
                    ),
                ),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "event_name",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="profiles.eventname",
                    ),
                ),
            ],
            options={
                "ordering": ["kind", "event_name__name", "category"],
                "permissions": [("apply_retention", "Can have data deleted whose time is over")],
            },
        ),
        migrations.CreateModel(
            name="KeptFor",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "rule_id", "purpose_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "rule",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="kept_for",
                        to="accountability.retentionrule",
                    ),
                ),
                (
                    "purpose",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="consent.purpose"
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="purposes",
            field=models.ManyToManyField(
                blank=True, related_name="+", through="accountability.KeptFor", to="consent.purpose"
            ),
        ),
        migrations.CreateModel(
            name="Deleted",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id", "kind", "what", "month", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("events", "Events"),
                            ("traits", "Traits"),
                            ("scores", "Scores no longer read"),
                            ("quarantine", "Quarantined messages"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "what",
                    models.CharField(
                        help_text="An event's name, a category of traits, a kind of score.", max_length=200
                    ),
                ),
                ("month", models.DateField(help_text="Its first day; of what lies in no month, the day of the run.")),
                ("count", models.BigIntegerField()),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deleted",
                        to="accountability.retentionrun",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.UniqueConstraint(
                fields=("kind", "event_name", "category"), name="accountability_one_rule_each", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("event_name__isnull", True), ("kind", "events"), _connector="OR"),
                    models.Q(("category", ""), ("kind", "traits"), _connector="OR"),
                ),
                name="accountability_rule_of_its_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("days__isnull", True), models.Q(("days__gte", 1), ("days__lte", 36525)), _connector="OR"
                ),
                name="accountability_days_of_a_life",
            ),
        ),
        migrations.RunSQL(DOOR + PROTECT, UNPROTECT + "DROP FUNCTION cdp_drop_event_month(date);"),
        migrations.RunPython(let_the_app, migrations.RunPython.noop),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
