"""A record says itself until when its yes holds, so that what held at any moment can be told from records alone."""

from django.db import migrations, models

# Only what still holds is known of before; the owner may fill it in this once, since no record says otherwise.
FILL = """
ALTER TABLE consent_consentrecord DISABLE TRIGGER append_only;
UPDATE consent_consentrecord r SET expires_at = s.expires_at
  FROM consent_consentstate s WHERE s.record_id = r.id AND s.expires_at IS NOT NULL;
ALTER TABLE consent_consentrecord ENABLE TRIGGER append_only;
"""


class Migration(migrations.Migration):
    dependencies = [("consent", "0004_consent_may_end")]
    operations = [
        migrations.AddField(
            model_name="consentrecord",
            name="expires_at",
            field=models.DateTimeField(
                help_text="Until when a yes holds, by what was valid when it was said.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="consentrecord",
            name="method",
            field=models.CharField(
                choices=[
                    ("banner", "Banner"),
                    ("preference_centre", "Preference centre"),
                    ("form", "Form"),
                    ("api", "API"),
                    ("event", "Event"),
                    ("import", "Import"),
                    ("merge", "Merge"),
                    ("repeated", "Repeated"),
                ],
                max_length=24,
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
