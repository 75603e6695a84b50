"""Records tell by which identifier whoever decided was named: of people who became one, it tells who it was."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("consent", "0011_stops_and_late_records")]

    operations = [
        migrations.AddField(
            model_name="consentrecord",
            name="said_by",
            field=models.BigIntegerField(help_text="Number of the identifier by which they were named.", null=True),
        ),
    ]
