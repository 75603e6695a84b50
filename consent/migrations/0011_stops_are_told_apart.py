"""Each stop has an id, by which the audit log tells of it: when it began, and when it was lifted."""

import uuid

import django.contrib.postgres.functions
from django.db import migrations, models


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
    ]
