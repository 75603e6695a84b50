"""Versions and membership changes are never edited; the feed begins at one."""

from django.db import migrations

PROTECT = """
CREATE TRIGGER never_edited BEFORE UPDATE ON segments_segmentversion
    FOR EACH ROW WHEN (OLD.rule IS DISTINCT FROM NEW.rule OR OLD.number IS DISTINCT FROM NEW.number
                       OR OLD.segment_id IS DISTINCT FROM NEW.segment_id)
    EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER never_edited BEFORE UPDATE ON segments_membershipchange
    FOR EACH ROW EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON segments_segmentversion
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON segments_membershipchange
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
"""
UNPROTECT = """
DROP TRIGGER never_edited ON segments_segmentversion;
DROP TRIGGER never_edited ON segments_membershipchange;
DROP TRIGGER never_emptied ON segments_segmentversion;
DROP TRIGGER never_emptied ON segments_membershipchange;
"""


class Migration(migrations.Migration):
    dependencies = [("segments", "0001_initial"), ("audit", "0002_append_only_and_roles")]
    operations = [
        migrations.RunSQL(PROTECT, UNPROTECT),
        # Filled and emptied all day, as the inbox is.
        migrations.RunSQL(
            "ALTER TABLE segments_pendingchange SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)",
            "ALTER TABLE segments_pendingchange RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)",
        ),
        migrations.RunSQL("INSERT INTO segments_feed (id, numbered) VALUES (1, 0)", migrations.RunSQL.noop),
    ]
