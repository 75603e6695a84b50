"""A purpose for answering people about their own data, and a mode that leaves nobody out."""

from django.db import migrations, models


def begin(apps, schema_editor):
    purposes = apps.get_model("consent", "Purpose").objects.using(schema_editor.connection.alias)
    purposes.update_or_create(
        key="privacy_rights",
        defaults={
            "label": "Privacy rights",
            "text": "We look at your data to answer what you ask about it: to show, correct or erase it.",
            "lawful_basis": "legal_obligation",
            "mode": "notice_only",
        },
    )


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0002_append_only_and_purposes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="purpose",
            name="mode",
            field=models.CharField(
                choices=[
                    ("opt_in", "Only who said yes"),
                    ("opt_out", "All but who said no"),
                    ("notice_only", "Everybody; they are told"),
                ],
                default="opt_in",
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="purpose",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("mode", "notice_only"), _negated=True),
                    ("lawful_basis__in", ["contract", "legal_obligation", "vital_interests"]),
                    _connector="OR",
                ),
                name="objections_are_heard",
                violation_error_message="People can object to this lawful basis, so the mode can't be “everybody”.",
            ),
        ),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
