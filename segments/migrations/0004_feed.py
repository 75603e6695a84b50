"""The feed remembers how far it is numbered, apart from the changes themselves."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segments", "0003_roles")]
    operations = [
        migrations.CreateModel(
            name="Feed",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("numbered", models.BigIntegerField(default=0)),
            ],
            options={"constraints": [models.CheckConstraint(condition=models.Q(pk=1), name="segments_one_feed")]},
        ),
        migrations.RunSQL(
            "INSERT INTO segments_feed (id, numbered)"
            " SELECT 1, coalesce(max(position), 0) FROM segments_membershipchange",
            migrations.RunSQL.noop,
        ),
    ]
