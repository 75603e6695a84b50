"""What each device last said by a header or a consent string."""

from django.db import migrations, models

# Whatever takes identifiers away does so by statements of its own, so the database follows them.
FOLLOW = """
ALTER TABLE consent_signalheard ADD CONSTRAINT consent_signalheard_device
    FOREIGN KEY (device_id) REFERENCES profiles_identifier (id) ON DELETE CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0008_confirmations_are_sent"),
        ("profiles", "0006_samples_of_people"),
    ]

    operations = [
        migrations.CreateModel(
            name="SignalHeard",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "device_id", "kind", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("device_id", models.BigIntegerField(help_text="The identifier's number.")),
                ("kind", models.CharField(choices=[("gpc", "GPC"), ("tcf", "TCF"), ("gpp", "GPP")], max_length=3)),
                (
                    "digest",
                    models.BinaryField(help_text="Of what it said, and of what purposes make of it.", max_length=32),
                ),
                ("stances", models.JSONField(help_text="Purpose to granted or denied.")),
                ("heard_at", models.DateTimeField()),
            ],
        ),
        migrations.RunSQL(FOLLOW, "ALTER TABLE consent_signalheard DROP CONSTRAINT consent_signalheard_device;"),
    ]
