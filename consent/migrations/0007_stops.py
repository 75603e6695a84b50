"""What is halted for a person until it is lifted, and the view that says for which purposes."""

from django.conf import settings
from django.db import migrations, models
from django.utils import timezone
from psycopg import sql

# Purposes are few and stops are rare: whoever asks this of one purpose reads a handful of rows.
VIEW = """
CREATE VIEW consent_stopped AS
SELECT p.id AS purpose_id, s.profile_id
  FROM consent_stop s
  JOIN consent_purpose p ON p.key <> 'privacy_rights'
       AND (s.kind = 'restriction'
            OR (s.kind = 'profiling' AND p.covers_profiling)
            OR (s.kind = 'legitimate_interests' AND p.lawful_basis IN ('legitimate_interests', 'public_task')))
 WHERE s.lifted_at IS NULL;
"""


def only_read(apps, schema_editor):
    role = sql.Identifier(settings.APP_ROLE)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(sql.SQL("REVOKE INSERT, UPDATE, DELETE ON consent_stopped FROM {}").format(role))


class Migration(migrations.Migration):
    dependencies = [("consent", "0006_notices")]

    operations = [
        migrations.CreateModel(
            name="ConsentStop",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("profile_id", models.BigIntegerField(help_text="A plain number, as in records.")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("restriction", "Everything but their own rights"),
                            ("profiling", "Profiling"),
                            ("legitimate_interests", "What rests on legitimate interests"),
                        ],
                        max_length=24,
                    ),
                ),
                ("since", models.DateTimeField(default=timezone.now)),
                ("lifted_at", models.DateTimeField(null=True)),
                (
                    "why",
                    models.CharField(
                        blank=True, help_text="The number of a request, say, and nobody's name.", max_length=100
                    ),
                ),
            ],
            options={
                "db_table": "consent_stop",
                "indexes": [models.Index(fields=["profile_id", "since"], name="consent_stop_of_person")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("lifted_at__isnull", True)),
                        fields=("profile_id", "kind"),
                        name="consent_one_stop_of_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("lifted_at__isnull", True), ("lifted_at__gte", models.F("since")), _connector="OR"
                        ),
                        name="consent_stop_ends_after_it_began",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ConsentStopped",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "purpose_id", "profile_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("profile_id", models.BigIntegerField()),
            ],
            options={"db_table": "consent_stopped", "managed": False},
        ),
        migrations.RunSQL(VIEW, "DROP VIEW consent_stopped;"),
        migrations.RunPython(only_read, migrations.RunPython.noop),
    ]
