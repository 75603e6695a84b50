"""The app's role, what it may do by default, and the trigger function that append-only tables share."""

from django.conf import settings
from django.db import migrations
from psycopg import sql

REFUSE = """
CREATE FUNCTION cdp_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the table is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
"""
PROTECT = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_auditentry
    FOR EACH ROW EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
"""
UNPROTECT = """
DROP TRIGGER append_only ON audit_auditentry;
DROP TRIGGER append_only_truncate ON audit_auditentry;
DROP FUNCTION cdp_refuse_change();
"""


def grant_to_app(apps, schema_editor):
    role = sql.Identifier(settings.APP_ROLE)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [settings.APP_ROLE])
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
        if settings.ONE_LOGIN_FOR_BOTH_ROLES:
            cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
        for statement in (
            "GRANT USAGE ON SCHEMA public TO {}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}",
            "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}",
            # Tables of later migrations get the same by default; append-only ones then take back their part.
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {}",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {}",
            "REVOKE UPDATE, DELETE ON audit_auditentry FROM {}",
        ):
            cursor.execute(sql.SQL(statement).format(role))


def take_from_app(apps, schema_editor):
    role = sql.Identifier(settings.APP_ROLE)
    with schema_editor.connection.cursor() as cursor:
        for statement in (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM {}",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM {}",
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}",
        ):
            cursor.execute(sql.SQL(statement).format(role))


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [
        migrations.RunSQL(REFUSE + PROTECT, UNPROTECT),
        migrations.RunPython(grant_to_app, take_from_app, elidable=False),
    ]
