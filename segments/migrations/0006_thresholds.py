import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0005_sweeps_by_time_zone"),
    ]

    operations = [
        migrations.AlterField(
            model_name="membershipchange",
            name="why",
            field=models.CharField(
                choices=[
                    ("event", "An event or trait"),
                    ("time", "Time passing"),
                    ("rule", "The rule changed"),
                    ("merge", "Two profiles became one"),
                    ("unmerge", "A merge was undone"),
                    ("edit", "A change by hand"),
                    ("rank", "A percentile moved"),
                ],
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="pendingchange",
            name="why",
            field=models.CharField(
                choices=[
                    ("event", "An event or trait"),
                    ("time", "Time passing"),
                    ("rule", "The rule changed"),
                    ("merge", "Two profiles became one"),
                    ("unmerge", "A merge was undone"),
                    ("edit", "A change by hand"),
                    ("rank", "A percentile moved"),
                ],
                max_length=8,
            ),
        ),
        migrations.CreateModel(
            name="PercentileThreshold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "digest",
                    models.CharField(help_text="SHA-256 of the ranking: that may be long.", max_length=64, unique=True),
                ),
                ("ranking", models.TextField(help_text="Figure and percentile, as rules name them.")),
                ("percentile", models.DecimalField(decimal_places=2, max_digits=4)),
                (
                    "value",
                    models.DecimalField(
                        decimal_places=4, help_text="None while nobody is ranked.", max_digits=30, null=True
                    ),
                ),
                ("people", models.BigIntegerField(help_text="How many are ranked.")),
                ("as_of", models.DateTimeField()),
                ("computed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("version", models.PositiveIntegerField(default=1)),
                ("marked_version", models.PositiveIntegerField(default=1)),
                (
                    "asked_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="When a rule was last loaded that reads it."
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("marked_version__lte", models.F("version"))),
                        name="segments_threshold_marked_after_it_moved",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PastThreshold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.PositiveIntegerField()),
                ("value", models.DecimalField(decimal_places=4, max_digits=30, null=True)),
                ("people", models.BigIntegerField()),
                ("as_of", models.DateTimeField()),
                ("computed_at", models.DateTimeField()),
                (
                    "threshold",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="past",
                        to="segments.percentilethreshold",
                    ),
                ),
            ],
            options={
                "ordering": ["-version"],
                "constraints": [
                    models.UniqueConstraint(fields=("threshold", "version"), name="segments_past_threshold_unique")
                ],
            },
        ),
    ]
