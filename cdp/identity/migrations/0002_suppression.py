"""By what nobody who was erased comes back, and how often it was tried."""

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    # The second says what the app's role may do with every later table.
    dependencies = [("identity", "0001_initial"), ("audit", "0002_append_only_and_roles")]

    operations = [
        migrations.CreateModel(
            name="Suppression",
            fields=[
                ("digest", models.BinaryField(editable=False, max_length=32, primary_key=True, serialize=False)),
                ("entered_at", models.DateTimeField(db_default=Now())),
            ],
            options={"permissions": [("lift_suppression", "Can let somebody who was erased come back")]},
        ),
        migrations.CreateModel(
            name="SuppressedCount",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "source_id", "day", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("source_id", models.IntegerField()),
                ("day", models.DateField(help_text="In UTC.")),
                ("messages", models.BigIntegerField()),
            ],
        ),
    ]
