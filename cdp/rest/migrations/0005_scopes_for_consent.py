"""Scopes to read and to report what people decided."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rest", "0004_scopes_of_privacy"),
    ]

    operations = [
        migrations.AlterField(
            model_name="apikey",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("segments:read", "Read segments"),
                        ("segments:write", "Change segments"),
                        ("members:read", "Read the members of segments"),
                        ("profiles:read", "Look people up, with personal data masked"),
                        ("profiles:reveal", "See personal data of people unmasked"),
                        ("privacy:read", "Follow privacy requests"),
                        ("privacy:write", "Enter privacy requests, and have them carried out"),
                        ("consents:read", "Read what single people decided, with personal evidence hidden"),
                        ("consents:write", "Report what people decided"),
                        ("jobs:read", "Follow jobs"),
                        ("jobs:write", "Stop jobs"),
                    ],
                    max_length=32,
                ),
                default=list,
                size=None,
            ),
        ),
    ]
