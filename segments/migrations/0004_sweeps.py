import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segments", "0003_roles")]

    operations = [
        migrations.AddField(
            model_name="segment",
            name="cadence",
            field=models.CharField(
                choices=[
                    ("real_time", "Every few seconds"),
                    ("minutes", "Every so many minutes"),
                    ("daily", "Once a day"),
                ],
                default="minutes",
                help_text="When time's passing is taken into account.",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="segment",
            name="daily_hour",
            field=models.PositiveSmallIntegerField(
                default=5, help_text="The hour of the workspace's day, where once a day will do."
            ),
        ),
        migrations.AlterField(
            model_name="segment",
            name="refresh_minutes",
            field=models.PositiveIntegerField(default=15, help_text="Every so many minutes, where minutes count."),
        ),
        migrations.AddConstraint(
            model_name="segment",
            constraint=models.CheckConstraint(
                condition=models.Q(("daily_hour__lte", 23)), name="segments_daily_hour_of_a_day"
            ),
        ),
        migrations.CreateModel(
            name="SweepState",
            fields=[
                (
                    "segment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="sweep_state",
                        serialize=False,
                        to="segments.segment",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="segments.segmentversion",
                    ),
                ),
                ("swept_to", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="DriftCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "segment",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="drift_checks",
                        to="segments.segment",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="segments.segmentversion",
                    ),
                ),
                ("as_of", models.DateTimeField()),
                ("checked_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("missing", models.BigIntegerField(help_text="Who belonged and was no member.")),
                ("extra", models.BigIntegerField(help_text="Who was a member and did not belong.")),
            ],
            options={
                "indexes": [models.Index(fields=["segment", "-checked_at"], name="segments_drift_by_time")],
            },
        ),
    ]
