"""When a link that waits to be sent is tried next."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0007_stops"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="confirmation",
            name="consent_confirmation_unsent",
        ),
        migrations.AddField(
            model_name="confirmation",
            name="due_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(), help_text="When sending it is tried next."
            ),
        ),
        migrations.AddIndex(
            model_name="confirmation",
            index=models.Index(
                condition=models.Q(("sent_at__isnull", True), ("used_at__isnull", True)),
                fields=["due_at"],
                name="consent_confirmation_due",
            ),
        ),
    ]
