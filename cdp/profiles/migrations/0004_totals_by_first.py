from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("profiles", "0003_what_follows_from_events")]

    operations = [
        migrations.RemoveIndex(model_name="eventtotal", name="profiles_total_by_name"),
        migrations.AddIndex(
            model_name="eventtotal",
            index=models.Index(fields=["name", "profile"], include=["first_at"], name="profiles_total_by_name"),
        ),
    ]
