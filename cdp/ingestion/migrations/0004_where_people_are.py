"""A source may say where its people are, for those of whom nobody knows it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0003_what_browsers_ask")]

    operations = [
        migrations.AddField(
            model_name="source",
            name="place",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="A country (DE), a region (US-CA) or EU: whose law protects those of its people of whom nobody knows"
                " where they live. Empty: the workspace's, or else the strictest.",
                max_length=8,
                verbose_name="its people are in",
            ),
        ),
    ]
