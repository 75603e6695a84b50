from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segments", "0004_sweeps"), ("profiles", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="sweepstate",
            name="time_zone",
            field=models.CharField(default="UTC", max_length=64),
            preserve_default=False,
        ),
        migrations.RunSQL(
            "UPDATE segments_sweepstate SET time_zone = w.time_zone FROM profiles_workspace w",
            migrations.RunSQL.noop,
        ),
    ]
