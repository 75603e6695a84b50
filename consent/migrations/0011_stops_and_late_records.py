"""Each stop has an id, by which the audit log tells of it: when it began, and when it was lifted. Late records have an index,
so that the trail finds those of a time long ago without reading all that was learned since."""

import uuid

import django.contrib.postgres.functions
from django.db import migrations, models

# As `consent.trail.CAME_LATE`. In SQL, since moments have to be subtracted: to add days to one depends on a time zone.
LATE = """
CREATE INDEX consent_record_late ON consent_consentrecord (id DESC) WHERE recorded_at - collected_at > interval '1 day';
"""


class Migration(migrations.Migration):
    dependencies = [("consent", "0010_first_notices")]

    operations = [
        migrations.AddField(
            model_name="consentstop",
            name="uuid",
            field=models.UUIDField(
                db_default=django.contrib.postgres.functions.RandomUUID(),
                default=uuid.uuid4,
                editable=False,
                unique=True,
            ),
        ),
        migrations.RunSQL(LATE, "DROP INDEX consent_record_late;"),
    ]
