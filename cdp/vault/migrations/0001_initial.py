"""Keys of people. A key that was destroyed stays so, whoever asks; and its old bytes are vacuumed away soon."""

from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now
from psycopg import sql

PROTECT = """
CREATE FUNCTION vault_keep_destroyed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.wrapped IS NOT NULL AND NEW.subject_id = OLD.subject_id THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % is refused: a destroyed key stays destroyed, and no key changes hands', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER keep_destroyed BEFORE UPDATE OR DELETE ON vault_subjectkey
    FOR EACH ROW EXECUTE FUNCTION vault_keep_destroyed();
CREATE TRIGGER keep_destroyed_truncate BEFORE TRUNCATE ON vault_subjectkey
    FOR EACH STATEMENT EXECUTE FUNCTION vault_keep_destroyed();
-- One destroyed key is reason enough: its old version must not lie in the table for longer than the next look.
ALTER TABLE vault_subjectkey SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1);
"""
UNPROTECT = """
DROP TRIGGER keep_destroyed ON vault_subjectkey;
DROP TRIGGER keep_destroyed_truncate ON vault_subjectkey;
DROP FUNCTION vault_keep_destroyed();
"""


def protect(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(sql.SQL("REVOKE DELETE ON vault_subjectkey FROM {}").format(sql.Identifier(settings.APP_ROLE)))


class Migration(migrations.Migration):
    initial = True

    # The audit log's second migration says what the app's role may do with every later table.
    dependencies = [("audit", "0002_append_only_and_roles")]

    operations = [
        migrations.CreateModel(
            name="SubjectKey",
            fields=[
                ("subject_id", models.BigIntegerField(primary_key=True, serialize=False)),
                (
                    "wrapped",
                    models.BinaryField(help_text="Under the master key; empty once destroyed.", null=True),
                ),
                ("wrapped_by", models.CharField(help_text="Which master key.", max_length=16)),
                ("created_at", models.DateTimeField(db_default=Now())),
                ("destroyed_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "subject key",
                "indexes": [
                    models.Index(
                        condition=models.Q(("wrapped__isnull", False)),
                        fields=["wrapped_by", "subject_id"],
                        name="vault_wrapped_by",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("destroyed_at__isnull", True), ("wrapped__isnull", False)),
                            models.Q(("destroyed_at__isnull", False), ("wrapped__isnull", True)),
                            _connector="OR",
                        ),
                        name="vault_key_or_end",
                    )
                ],
            },
        ),
        migrations.RunSQL(PROTECT, UNPROTECT),
        migrations.RunPython(protect, migrations.RunPython.noop),
    ]
