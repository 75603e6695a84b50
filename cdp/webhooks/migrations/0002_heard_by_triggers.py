"""What webhooks hear beside audiences is written by triggers; who may do what with webhooks."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

EVERYTHING = ["add_webhook", "change_webhook", "view_webhook", "delete_webhook"]
GROUPS = {"marketer": EVERYTHING, "integrator": EVERYTHING, "compliance": ["view_webhook"], "admin": EVERYTHING}

# For each statement and not for each row: a batch of events writes thousands at once. Where no webhook that is on hears such a
# thing of such a person, nothing is written. A value that came again changes nothing.
HEAR = """
CREATE FUNCTION webhooks_hear_traits(changed_profiles bigint[], changed_traits bigint[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO webhooks_happened (uuid, type, profile_id, keys, at)
    SELECT gen_random_uuid(), 'profile.updated', c.profile_id, array_agg(DISTINCT left(t.key, 200)), now()
      FROM unnest(changed_profiles, changed_traits) AS c(profile_id, trait_id) JOIN profiles_trait t ON t.id = c.trait_id
     WHERE EXISTS (SELECT FROM activation_audiencemember m JOIN webhooks_heardaudience h ON h.audience_id = m.audience_id
                     JOIN webhooks_webhook w ON w.id = h.webhook_id AND w.state = 'enabled' AND 'profile.updated' = ANY (w.events)
                    WHERE m.profile_id = c.profile_id)
     GROUP BY c.profile_id ORDER BY c.profile_id
$$;
CREATE FUNCTION webhooks_traits_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhooks_webhook WHERE state = 'enabled' AND 'profile.updated' = ANY (events)) THEN
        PERFORM webhooks_hear_traits(array_agg(c.profile_id), array_agg(c.trait_id)) FROM changed c;
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION webhooks_traits_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhooks_webhook WHERE state = 'enabled' AND 'profile.updated' = ANY (events)) THEN
        PERFORM webhooks_hear_traits(array_agg(c.profile_id), array_agg(c.trait_id))
           FROM changed c LEFT JOIN before b USING (trait_id, profile_id) WHERE b.raw IS DISTINCT FROM c.raw;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER told_insert AFTER INSERT ON profiles_traitvalue REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION webhooks_traits_written();
CREATE TRIGGER told_delete AFTER DELETE ON profiles_traitvalue REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION webhooks_traits_written();
CREATE TRIGGER told_update AFTER UPDATE ON profiles_traitvalue REFERENCING NEW TABLE AS changed OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION webhooks_traits_changed();

CREATE FUNCTION webhooks_consents_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhooks_happened (uuid, type, profile_id, purpose_id, keys, at)
    SELECT gen_random_uuid(), 'consent.changed', c.profile_id, c.purpose_id, '{}', now() FROM changed c
     WHERE EXISTS (SELECT FROM webhooks_webhook w WHERE w.state = 'enabled' AND 'consent.changed' = ANY (w.events)
                      AND w.purpose_id = c.purpose_id);
    RETURN NULL;
END $$;
CREATE FUNCTION webhooks_consents_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhooks_happened (uuid, type, profile_id, purpose_id, keys, at)
    SELECT gen_random_uuid(), 'consent.changed', c.profile_id, c.purpose_id, '{}', now()
      FROM changed c LEFT JOIN before b USING (purpose_id, profile_id)
     WHERE b.decision IS DISTINCT FROM c.decision
       AND EXISTS (SELECT FROM webhooks_webhook w WHERE w.state = 'enabled' AND 'consent.changed' = ANY (w.events)
                      AND w.purpose_id = c.purpose_id);
    RETURN NULL;
END $$;
CREATE TRIGGER told_insert AFTER INSERT ON consent_consentstate REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION webhooks_consents_written();
CREATE TRIGGER told_delete AFTER DELETE ON consent_consentstate REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION webhooks_consents_written();
CREATE TRIGGER told_update AFTER UPDATE ON consent_consentstate REFERENCING NEW TABLE AS changed OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION webhooks_consents_changed();
"""
UNHEAR = """
DROP TRIGGER told_update ON consent_consentstate;
DROP TRIGGER told_delete ON consent_consentstate;
DROP TRIGGER told_insert ON consent_consentstate;
DROP TRIGGER told_update ON profiles_traitvalue;
DROP TRIGGER told_delete ON profiles_traitvalue;
DROP TRIGGER told_insert ON profiles_traitvalue;
DROP FUNCTION webhooks_consents_changed();
DROP FUNCTION webhooks_consents_written();
DROP FUNCTION webhooks_traits_changed();
DROP FUNCTION webhooks_traits_written();
DROP FUNCTION webhooks_hear_traits(bigint[], bigint[]);
"""


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("webhooks"), verbosity=0, using=using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, codenames in GROUPS.items():
        group = groups.filter(name=name).first()
        if group is not None:  # an installation may do without
            group.permissions.add(*permissions.filter(content_type__app_label="webhooks", codename__in=codenames))


class Migration(migrations.Migration):
    dependencies = [
        ("webhooks", "0001_initial"),
        ("activation", "0002_heard_by_triggers"),
        ("segments", "0003_roles"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        migrations.RunSQL(HEAR, UNHEAR),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
