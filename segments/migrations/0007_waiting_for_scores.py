"""Segments that are broken only until scores are published."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segments", "0006_thresholds")]
    operations = [
        migrations.AddField(
            model_name="segment",
            name="waits_for_scores",
            field=models.BooleanField(
                default=False, help_text="It is broken only until a run is published that has the scores it asks for."
            ),
        ),
        migrations.AddConstraint(
            model_name="segment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("waits_for_scores", False), models.Q(("broken_reason", ""), _negated=True), _connector="OR"
                ),
                name="segments_waiting_is_broken",
            ),
        ),
    ]
