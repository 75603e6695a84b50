"""The inbox is filled and emptied all day: its storage is told so."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0001_initial")]
    operations = [
        migrations.RunSQL(
            """
            ALTER TABLE ingestion_inboxmessage SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
            -- Bodies are read once and deleted: squeezing them costs more than it saves (lz4 is the cheap squeeze).
            ALTER TABLE ingestion_inboxmessage ALTER COLUMN body SET STORAGE EXTERNAL;
            """,
            """
            ALTER TABLE ingestion_inboxmessage RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
            ALTER TABLE ingestion_inboxmessage ALTER COLUMN body SET STORAGE EXTENDED;
            """,
        )
    ]
