"""What a browser asks for by its headers is kept with the request. A default of the database: no row is written anew."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0002_inbox_for_churn")]
    operations = [
        migrations.AddField(
            model_name="inboxmessage",
            name="asks",
            field=models.SmallIntegerField(db_default=0, help_text="What the browser asked for: 1 Sec-GPC, 2 DNT."),
        ),
        migrations.AddField(
            model_name="quarantined",
            name="asks",
            field=models.SmallIntegerField(db_default=0, help_text="What the browser asked for: 1 Sec-GPC, 2 DNT."),
        ),
    ]
