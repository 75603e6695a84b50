"""A version is never edited, and a membership change only ever gets its number."""

from django.db import migrations

PROTECT = """
CREATE TRIGGER never_edited BEFORE UPDATE ON segments_segmentversion
    FOR EACH ROW WHEN (OLD.rule IS DISTINCT FROM NEW.rule OR OLD.number IS DISTINCT FROM NEW.number
                       OR OLD.segment_id IS DISTINCT FROM NEW.segment_id)
    EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER only_numbered BEFORE UPDATE ON segments_membershipchange
    FOR EACH ROW WHEN (OLD.position IS NOT NULL OR (OLD.segment_id, OLD.profile_id, OLD.kind, OLD.effective_at, OLD.why)
                       IS DISTINCT FROM (NEW.segment_id, NEW.profile_id, NEW.kind, NEW.effective_at, NEW.why))
    EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON segments_segmentversion
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON segments_membershipchange
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
"""
UNPROTECT = """
DROP TRIGGER never_edited ON segments_segmentversion;
DROP TRIGGER only_numbered ON segments_membershipchange;
DROP TRIGGER never_emptied ON segments_segmentversion;
DROP TRIGGER never_emptied ON segments_membershipchange;
"""


class Migration(migrations.Migration):
    dependencies = [("segments", "0001_initial"), ("audit", "0002_append_only_and_roles")]
    operations = [migrations.RunSQL(PROTECT, UNPROTECT)]
