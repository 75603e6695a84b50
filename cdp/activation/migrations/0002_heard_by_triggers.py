"""What audiences ask for is heard by triggers; changes are never edited; the keeper's row; who may do what with audiences."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

GROUPS = {
    "marketer": ["add_audience", "change_audience", "view_audience", "delete_audience"],
    "compliance": ["view_audience"],
    "integrator": ["view_audience"],
    "admin": ["add_audience", "change_audience", "view_audience", "delete_audience"],
}
# For each statement and not for each row: a batch of events writes thousands at once. Where no audience asks for what changed,
# nothing is written.
HEAR = """
CREATE FUNCTION activation_hear_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO activation_touched (profile_id, purpose_id, why, at)
    SELECT DISTINCT c.profile_id, c.purpose_id, 'consent', now() FROM changed c
     WHERE c.purpose_id IN (SELECT purpose_id FROM activation_audience);
    RETURN NULL;
END $$;
CREATE FUNCTION activation_hear_stop() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO activation_touched (profile_id, purpose_id, why, at)
    SELECT DISTINCT c.profile_id, NULL::bigint, 'consent', now() FROM changed c WHERE EXISTS (SELECT FROM activation_audience);
    RETURN NULL;
END $$;
CREATE FUNCTION activation_hear_identifier() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO activation_touched (profile_id, purpose_id, why, at)
    SELECT DISTINCT c.profile_id, NULL::bigint, 'channel', now() FROM changed c
     WHERE c.namespace IN (SELECT channel FROM activation_audience);
    RETURN NULL;
END $$;
CREATE TRIGGER heard_insert AFTER INSERT ON consent_consentstate REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION activation_hear_consent();
CREATE TRIGGER heard_update AFTER UPDATE ON consent_consentstate REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION activation_hear_consent();
CREATE TRIGGER heard_delete AFTER DELETE ON consent_consentstate REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION activation_hear_consent();
CREATE TRIGGER heard_moved AFTER UPDATE ON consent_consentstate REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION activation_hear_consent();
CREATE TRIGGER heard_insert AFTER INSERT ON consent_stop REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION activation_hear_stop();
CREATE TRIGGER heard_update AFTER UPDATE ON consent_stop REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION activation_hear_stop();
CREATE TRIGGER heard_moved AFTER UPDATE ON consent_stop REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION activation_hear_stop();
CREATE TRIGGER heard_delete AFTER DELETE ON consent_stop REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION activation_hear_stop();
CREATE TRIGGER heard_insert AFTER INSERT ON profiles_identifier REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION activation_hear_identifier();
CREATE TRIGGER heard_delete AFTER DELETE ON profiles_identifier REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION activation_hear_identifier();
"""
# An identifier is seen again with every batch; only its going to another person matters, and that is rare enough for rows.
HEAR_MOVES = """
CREATE FUNCTION activation_hear_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO activation_touched (profile_id, purpose_id, why, at)
    SELECT p, NULL::bigint, 'channel', now() FROM unnest(ARRAY[OLD.profile_id, NEW.profile_id]) AS p
     WHERE NEW.namespace IN (SELECT channel FROM activation_audience);
    RETURN NULL;
END $$;
CREATE TRIGGER heard_moved AFTER UPDATE ON profiles_identifier FOR EACH ROW
    WHEN (OLD.profile_id IS DISTINCT FROM NEW.profile_id) EXECUTE FUNCTION activation_hear_move();
"""
UNHEAR = """
DROP TRIGGER heard_moved ON profiles_identifier;
DROP TRIGGER heard_delete ON profiles_identifier;
DROP TRIGGER heard_insert ON profiles_identifier;
DROP TRIGGER heard_delete ON consent_stop;
DROP TRIGGER heard_moved ON consent_stop;
DROP TRIGGER heard_update ON consent_stop;
DROP TRIGGER heard_insert ON consent_stop;
DROP TRIGGER heard_moved ON consent_consentstate;
DROP TRIGGER heard_delete ON consent_consentstate;
DROP TRIGGER heard_update ON consent_consentstate;
DROP TRIGGER heard_insert ON consent_consentstate;
DROP FUNCTION activation_hear_move();
DROP FUNCTION activation_hear_identifier();
DROP FUNCTION activation_hear_stop();
DROP FUNCTION activation_hear_consent();
"""
PROTECT = """
CREATE TRIGGER never_edited BEFORE UPDATE ON activation_audiencechange
    FOR EACH ROW EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON activation_audiencechange
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
INSERT INTO activation_keeper (id, numbered, segments_to, looked_to, kept_after, heard_at)
SELECT 1, 0, coalesce((SELECT numbered FROM segments_feed WHERE id = 1), 0), now(), 0, now();
"""
UNPROTECT = """
DROP TRIGGER never_emptied ON activation_audiencechange;
DROP TRIGGER never_edited ON activation_audiencechange;
DELETE FROM activation_keeper;
"""


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("activation"), verbosity=0, using=using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, codenames in GROUPS.items():
        group = groups.filter(name=name).first()
        if group is not None:  # an installation may do without
            group.permissions.add(*permissions.filter(content_type__app_label="activation", codename__in=codenames))


class Migration(migrations.Migration):
    dependencies = [
        ("activation", "0001_initial"),
        ("segments", "0018_assigning"),
        ("consent", "0012_showings_are_forgotten"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        migrations.RunSQL(HEAR + HEAR_MOVES, UNHEAR),
        migrations.RunSQL(PROTECT, UNPROTECT),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
