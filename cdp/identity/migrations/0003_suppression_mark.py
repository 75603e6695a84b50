"""By what the key of suppressions is known again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0002_suppression")]

    operations = [
        migrations.CreateModel(
            name="SuppressionMark",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("digest", models.BinaryField(editable=False, max_length=32)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="identity_one_suppression_mark")
                ]
            },
        ),
    ]
