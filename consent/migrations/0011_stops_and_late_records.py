"""Each stop has an id, by which the audit log tells of it: when it began, and when it was lifted; and it stays what it was. Late records have an index,
so that the trail finds those of a time long ago without reading all that was learned since."""

import uuid

import django.contrib.postgres.functions
from django.conf import settings
from django.db import migrations, models
from psycopg import sql

# As `consent.trail.CAME_LATE`. In SQL, since moments have to be subtracted: to add days to one depends on a time zone.
LATE = """
CREATE INDEX consent_record_late ON consent_consentrecord (id DESC) WHERE recorded_at - collected_at > interval '1 day';
"""
# What held at a moment is told by it, so it can be lifted, once, and lose why it was; no more.
PROTECT = """
CREATE FUNCTION consent_stop_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.uuid, NEW.profile_id, NEW.kind, NEW.since) = (OLD.id, OLD.uuid, OLD.profile_id, OLD.kind, OLD.since)
           AND (OLD.lifted_at IS NULL OR NEW.lifted_at = OLD.lifted_at) AND NEW.why IN (OLD.why, '') THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on consent_stop is refused: a stop can only be lifted, once', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER stays_what_it_was BEFORE UPDATE OR DELETE ON consent_stop
    FOR EACH ROW EXECUTE FUNCTION consent_stop_refuse_change();
CREATE TRIGGER stays_what_it_was_truncate BEFORE TRUNCATE ON consent_stop
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
"""
UNPROTECT = """
DROP TRIGGER stays_what_it_was ON consent_stop;
DROP TRIGGER stays_what_it_was_truncate ON consent_stop;
DROP FUNCTION consent_stop_refuse_change();
"""


def never_delete(apps, schema_editor):
    role = sql.Identifier(settings.APP_ROLE)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(sql.SQL("REVOKE DELETE, TRUNCATE ON consent_stop FROM {}").format(role))


class Migration(migrations.Migration):
    dependencies = [("consent", "0010_first_notices")]

    operations = [
        migrations.AddField(
            model_name="consentstop",
            name="uuid",
            field=models.UUIDField(
                db_default=django.contrib.postgres.functions.RandomUUID(),
                default=uuid.uuid4,
                editable=False,
                unique=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="purpose",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("reach", "device"), _negated=True),
                    models.Q(("mode", "opt_out"), _negated=True),
                    _connector="OR",
                ),
                name="devices_are_asked_first",
                violation_error_message="What each device is asked by itself can't take in all but who said no.",
            ),
        ),
        migrations.RunSQL(LATE, "DROP INDEX consent_record_late;"),
        migrations.RunSQL(PROTECT, UNPROTECT),
        migrations.RunPython(never_delete, migrations.RunPython.noop),
    ]
