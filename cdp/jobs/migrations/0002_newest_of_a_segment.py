"""An index for the newest job of a segment, which its screen asks for every few seconds."""

import django.db.models.fields.json
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]
    operations = [
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                django.db.models.fields.json.KeyTransform("segment", "params"),
                models.OrderBy(models.F("created_at"), descending=True),
                name="jobs_of_segment",
            ),
        )
    ]
