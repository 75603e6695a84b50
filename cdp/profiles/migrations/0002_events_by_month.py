"""The events table, partitioned by month, and the one door through which the app may have partitions made.

The app's role has no DDL, so the door is a function that runs as its owner and can do nothing else.
"""

from django.conf import settings
from django.db import migrations
from psycopg import sql

TABLE = """
CREATE SEQUENCE profiles_event_id_seq AS bigint CACHE 1000;
CREATE TABLE profiles_event (
    occurred_at timestamptz NOT NULL,
    id bigint NOT NULL DEFAULT nextval('profiles_event_id_seq'),
    profile_id bigint NOT NULL,
    identifier_id bigint,
    name_id integer NOT NULL,
    type smallint NOT NULL,
    message_id varchar(100) NOT NULL,
    source_id integer NOT NULL,
    received_at timestamptz NOT NULL,
    sent_at timestamptz,
    original_timestamp timestamptz,
    amount numeric(19,4),
    currency varchar(3),
    value numeric(19,4),
    properties jsonb NOT NULL,
    context jsonb NOT NULL,
    flags varchar(40)[],
    PRIMARY KEY (occurred_at, id)
) PARTITION BY RANGE (occurred_at);
ALTER SEQUENCE profiles_event_id_seq OWNED BY profiles_event.id;
CREATE INDEX profiles_event_by_person ON profiles_event (profile_id, name_id, occurred_at) INCLUDE (value);
CREATE INDEX profiles_event_by_name ON profiles_event (name_id, occurred_at) INCLUDE (profile_id, value);
CREATE TABLE profiles_event_default PARTITION OF profiles_event DEFAULT;
"""

# Rows of the month that already fell into the default partition are moved before the month is attached. Each month is
# its own table first: attaching takes a weaker lock on the parent than CREATE ... PARTITION OF would.
FUNCTION = """
CREATE FUNCTION cdp_ensure_event_partitions(from_day date, to_day date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    month timestamptz := date_trunc('month', from_day::timestamptz);
    after timestamptz;
    part text;
    made integer := 0;
BEGIN
    IF from_day < date '1970-01-01' OR to_day > date '2100-01-01' OR to_day < from_day OR to_day - from_day > 366 * 40 THEN
        RAISE EXCEPTION 'partitions from % to % are outside of what is kept', from_day, to_day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(7305001);
    WHILE month <= to_day::timestamptz LOOP
        after := month + interval '1 month';
        part := 'profiles_event_' || to_char(month, 'YYYY_MM');
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE profiles_event INCLUDING ALL)', part);
            -- Proves the range beforehand, so that attaching needn't scan the new table.
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT in_month CHECK (occurred_at >= %L AND occurred_at < %L)', part, month, after);
            LOCK TABLE profiles_event_default IN ACCESS EXCLUSIVE MODE;
            EXECUTE format(
                'WITH moved AS (DELETE FROM profiles_event_default WHERE occurred_at >= %L AND occurred_at < %L RETURNING *) '
                'INSERT INTO %I SELECT * FROM moved', month, after, part);
            EXECUTE format('ALTER TABLE profiles_event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, month, after);
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT in_month', part);
            made := made + 1;
        END IF;
        month := after;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION cdp_ensure_event_partitions(date, date) FROM PUBLIC;
"""

UNDO = """
DROP FUNCTION cdp_ensure_event_partitions(date, date);
DROP TABLE profiles_event;
"""


def let_the_app_call_it(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("GRANT EXECUTE ON FUNCTION cdp_ensure_event_partitions(date, date) TO {}").format(
                sql.Identifier(settings.APP_ROLE)
            )
        )
        cursor.execute("SELECT cdp_ensure_event_partitions(current_date - 31, current_date + 92)")


class Migration(migrations.Migration):
    dependencies = [("profiles", "0001_initial"), ("audit", "0002_append_only_and_roles")]
    operations = [
        migrations.RunSQL(TABLE + FUNCTION, UNDO),
        migrations.RunPython(let_the_app_call_it, migrations.RunPython.noop),
        # A trait value found by (trait, value): one narrow index per type, holding only the rows of that type.
        migrations.RunSQL(
            """
            CREATE INDEX profiles_trait_by_number ON profiles_traitvalue (trait_id, number) INCLUDE (profile_id) WHERE number IS NOT NULL;
            CREATE INDEX profiles_trait_by_text ON profiles_traitvalue (trait_id, text_folded text_pattern_ops) INCLUDE (profile_id) WHERE text_folded IS NOT NULL;
            CREATE INDEX profiles_trait_by_moment ON profiles_traitvalue (trait_id, moment) INCLUDE (profile_id) WHERE moment IS NOT NULL;
            CREATE INDEX profiles_trait_by_boolean ON profiles_traitvalue (trait_id, boolean) INCLUDE (profile_id) WHERE boolean IS NOT NULL;
            CREATE INDEX profiles_trait_by_items ON profiles_traitvalue USING gin (items) WHERE items IS NOT NULL;
            -- Drained in order and emptied all day long: vacuum must not wait for a fifth of it to be dead.
            -- Room on each page for the next version of a row that is counted on in place.
            ALTER TABLE profiles_eventtotal SET (fillfactor = 80);
            ALTER TABLE profiles_profile SET (fillfactor = 80);
            ALTER TABLE profiles_dirtyprofile SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
            """,
            """
            DROP INDEX profiles_trait_by_number, profiles_trait_by_text, profiles_trait_by_moment, profiles_trait_by_boolean, profiles_trait_by_items;
            """,
        ),
    ]
