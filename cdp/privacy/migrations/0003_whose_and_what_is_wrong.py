"""Public ids and places in rules that are noted before an erasure, identifiers that aren't theirs, samples of values that the
database keeps; and who may take links."""

import django.contrib.postgres.fields
from django.apps import apps as real_apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models
from psycopg import sql

GROUPS = ("compliance", "admin")

# What the database notes of a column is a sample of its values, which outlives rows that were deleted. Only an owner may renew it.
STATISTICS = """
CREATE FUNCTION cdp_forget_statistics() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY[
        'profiles_identifier', 'profiles_traitvalue', 'profiles_profile', 'profiles_event', 'profiles_session', 'profiles_score',
        'segments_listentry', 'segments_segmentversion', 'ingestion_inboxmessage', 'ingestion_quarantined',
        'collecting_importrow', 'consent_servednotice', 'privacy_privacyrequest'] LOOP
        EXECUTE format('ANALYZE %I', one);
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION cdp_forget_statistics() FROM PUBLIC;
"""


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    create_permissions(real_apps.get_app_config("privacy"), verbosity=0, using=using)
    groups, permissions = (apps.get_model("auth", name).objects.using(using) for name in ("Group", "Permission"))
    may = permissions.get(content_type__app_label="privacy", codename="issue_link")
    for group in groups.filter(name__in=GROUPS):
        group.permissions.add(may)


def take_back(apps, schema_editor):
    using = schema_editor.connection.alias
    groups, permissions = (apps.get_model("auth", name).objects.using(using) for name in ("Group", "Permission"))
    for group in groups.filter(name__in=GROUPS):
        group.permissions.remove(*permissions.filter(content_type__app_label="privacy", codename="issue_link"))


def let_forget(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        role = sql.Identifier(settings.APP_ROLE)
        cursor.execute(sql.SQL("GRANT EXECUTE ON FUNCTION cdp_forget_statistics() TO {}").format(role))


class Migration(migrations.Migration):
    dependencies = [("privacy", "0002_roles")]

    operations = [
        migrations.AlterModelOptions(
            name="privacyrequest",
            options={
                "ordering": ["due_on", "id"],
                "permissions": [
                    ("download_export", "Can download the export of a person's data"),
                    ("issue_link", "Can take a link to a person's own page, to hand it to them"),
                ],
                "verbose_name": "privacy request",
            },
        ),
        migrations.AddField(
            model_name="privacyrequest",
            name="subject_uuids",
            field=django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None),
        ),
        migrations.AddField(model_name="privacyrequest", name="literals", field=models.JSONField(default=list)),
        migrations.AddField(
            model_name="privacyrequest",
            name="wrong_identifiers",
            field=models.JSONField(
                default=list,
                help_text="Namespace and value of each that isn't theirs; emptied once they are removed.",
            ),
        ),
        migrations.RunPython(grant, take_back),
        migrations.RunSQL(STATISTICS, "DROP FUNCTION cdp_forget_statistics()"),
        migrations.RunPython(let_forget, migrations.RunPython.noop),
    ]
