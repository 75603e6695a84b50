"""A version is never edited, but for what names somebody who was erased: texts in its rule may be blotted out, and no more."""

from django.db import migrations

ALLOW = """
CREATE FUNCTION segments_only_blotted(was jsonb, now jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF was = now THEN
        RETURN true;
    ELSIF jsonb_typeof(was) = 'string' THEN
        RETURN now = '"••••"'::jsonb;
    ELSIF jsonb_typeof(was) = 'object' AND jsonb_typeof(now) = 'object' THEN
        RETURN (SELECT count(*) FROM jsonb_object_keys(was)) = (SELECT count(*) FROM jsonb_object_keys(now))
           AND NOT EXISTS (
               SELECT FROM jsonb_each(was) AS w LEFT JOIN jsonb_each(now) AS n USING (key)
                WHERE n.value IS NULL OR NOT segments_only_blotted(w.value, n.value));
    ELSIF jsonb_typeof(was) = 'array' AND jsonb_typeof(now) = 'array' THEN
        RETURN jsonb_array_length(was) = jsonb_array_length(now)
           AND NOT EXISTS (
               SELECT FROM jsonb_array_elements(was) WITH ORDINALITY AS w(value, place)
                 JOIN jsonb_array_elements(now) WITH ORDINALITY AS n(value, place) USING (place)
                WHERE NOT segments_only_blotted(w.value, n.value));
    END IF;
    RETURN false;
END $$;
DROP TRIGGER never_edited ON segments_segmentversion;
CREATE TRIGGER never_edited BEFORE UPDATE ON segments_segmentversion
    FOR EACH ROW WHEN (NOT segments_only_blotted(OLD.rule, NEW.rule) OR OLD.number IS DISTINCT FROM NEW.number
                       OR OLD.segment_id IS DISTINCT FROM NEW.segment_id)
    EXECUTE FUNCTION cdp_refuse_change();
"""
REFUSE = """
DROP TRIGGER never_edited ON segments_segmentversion;
CREATE TRIGGER never_edited BEFORE UPDATE ON segments_segmentversion
    FOR EACH ROW WHEN (OLD.rule IS DISTINCT FROM NEW.rule OR OLD.number IS DISTINCT FROM NEW.number
                       OR OLD.segment_id IS DISTINCT FROM NEW.segment_id)
    EXECUTE FUNCTION cdp_refuse_change();
DROP FUNCTION segments_only_blotted(jsonb, jsonb);
"""


class Migration(migrations.Migration):
    dependencies = [("segments", "0009_ended_by_erasure")]
    operations = [migrations.RunSQL(ALLOW, REFUSE)]
