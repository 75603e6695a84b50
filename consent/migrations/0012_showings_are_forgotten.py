"""That a notice was shown is never edited, but for whom it was shown to and where: these are forgotten with the person."""

from django.conf import settings
from django.db import migrations
from psycopg import sql

ALLOW = """
DROP TRIGGER append_only ON consent_servednotice;
CREATE TRIGGER append_only BEFORE UPDATE ON consent_servednotice
    FOR EACH ROW WHEN (
        NEW.profile_id IS NOT NULL OR NEW.place <> ''
        OR (NEW.id, NEW.version_id, NEW.source_id, NEW.jurisdiction, NEW.served_at)
           IS DISTINCT FROM (OLD.id, OLD.version_id, OLD.source_id, OLD.jurisdiction, OLD.served_at))
    EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER append_only_delete BEFORE DELETE ON consent_servednotice
    FOR EACH ROW EXECUTE FUNCTION cdp_refuse_change();
"""
REFUSE = """
DROP TRIGGER append_only ON consent_servednotice;
DROP TRIGGER append_only_delete ON consent_servednotice;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON consent_servednotice
    FOR EACH ROW EXECUTE FUNCTION cdp_refuse_change();
"""
# Of those who were erased before there was this.
FORGET = """
UPDATE consent_servednotice s SET profile_id = NULL, place = ''
 WHERE profile_id IS NOT NULL
   AND NOT EXISTS (SELECT FROM profiles_profile p WHERE p.id = s.profile_id)
   AND NOT EXISTS (SELECT FROM identity_merge m WHERE m.absorbed_id = s.profile_id AND m.undone_at IS NULL)
"""


def let_forget(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        role = sql.Identifier(settings.APP_ROLE)
        cursor.execute(sql.SQL("GRANT UPDATE (profile_id, place) ON consent_servednotice TO {}").format(role))


def let_nothing(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        role = sql.Identifier(settings.APP_ROLE)
        cursor.execute(sql.SQL("REVOKE UPDATE (profile_id, place) ON consent_servednotice FROM {}").format(role))


class Migration(migrations.Migration):
    dependencies = [("consent", "0011_stops_and_late_records"), ("identity", "0001_initial")]
    operations = [
        migrations.RunSQL(ALLOW, REFUSE),
        migrations.RunSQL(FORGET, migrations.RunSQL.noop),
        migrations.RunPython(let_forget, let_nothing),
    ]
