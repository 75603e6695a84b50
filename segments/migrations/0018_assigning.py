"""Up to when whoever did something was put into the clusters that are live."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segments", "0017_rfm")]

    operations = [
        migrations.AddField(
            model_name="clusterrun",
            name="assigned_until",
            field=models.DateTimeField(
                editable=False,
                help_text="Whoever did something before was assigned; None: since it was asked for.",
                null=True,
            ),
        ),
    ]
