"""A yes holds for as long as its purpose says; what was said before has no end."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("consent", "0003_privacy_rights")]
    operations = [
        migrations.AddField(
            model_name="purpose",
            name="lifetime_days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="How long a yes holds, from when it was said; forever, if empty. Counts for what is said from now on.",
                null=True,
                verbose_name="lifetime in days",
            ),
        ),
        migrations.AddConstraint(
            model_name="purpose",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("lifetime_days__isnull", True),
                    models.Q(("lifetime_days__gte", 1), ("lifetime_days__lte", 36525)),
                    _connector="OR",
                ),
                name="consent_lasts_days",
                violation_error_message="A lifetime is at least 1 day, and at most 100 years.",
            ),
        ),
        migrations.AddField(model_name="consentstate", name="expires_at", field=models.DateTimeField(null=True)),
        migrations.AddConstraint(
            model_name="consentstate",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_at__isnull", True), ("decision", "granted"), _connector="OR"),
                name="consent_only_yes_ends",
            ),
        ),
        migrations.RemoveIndex(model_name="consentstate", name="consent_state_by_decision"),
        migrations.AddIndex(
            model_name="consentstate",
            index=models.Index(
                fields=["purpose", "decision", "profile"], include=("expires_at",), name="consent_state_by_decision"
            ),
        ),
        migrations.AddIndex(
            model_name="consentstate",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False)),
                fields=["purpose", "expires_at"],
                include=("profile",),
                name="consent_state_by_end",
            ),
        ),
    ]
