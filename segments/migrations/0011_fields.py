"""The figures of fields as they were last taken; and who may have them taken anew."""

import django.utils.timezone
from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

MAY_MEASURE = ["marketer", "integrator", "admin"]
CODENAMES = ["measure_fields"]


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need this one now.
    create_permissions(real_apps.get_app_config("segments"), verbosity=0, using=using)
    groups, permissions = (apps.get_model("auth", name).objects.using(using) for name in ("Group", "Permission"))
    found = permissions.filter(content_type__app_label="segments", codename__in=CODENAMES)
    if missing := set(CODENAMES) - set(found.values_list("codename", flat=True)):
        raise LookupError(f"no such permissions in segments: {sorted(missing)}")
    for group in groups.filter(name__in=MAY_MEASURE):
        group.permissions.add(*found)


def take_back(apps, schema_editor):
    using = schema_editor.connection.alias
    for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=MAY_MEASURE):
        group.permissions.remove(*group.permissions.filter(content_type__app_label="segments", codename__in=CODENAMES))


class Migration(migrations.Migration):
    dependencies = [("segments", "0010_literals_are_erased")]
    operations = [
        migrations.CreateModel(
            name="FieldStatistics",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("event", "Event"),
                            ("trait", "Trait"),
                            ("property", "Property"),
                            ("score", "Score"),
                            ("segment", "Segment"),
                            ("list", "List"),
                            ("purpose", "Permission"),
                        ],
                        max_length=8,
                    ),
                ),
                ("event", models.CharField(blank=True, help_text="Of which event it is a property.", max_length=200)),
                ("key", models.CharField(max_length=200)),
                (
                    "filled",
                    models.BigIntegerField(
                        help_text="Who has it; of an event who did it in 30 days; of a property the events."
                    ),
                ),
                ("of", models.BigIntegerField(help_text="Of how many people, or events, they are.")),
                (
                    "occurrences",
                    models.BigIntegerField(help_text="Of an event, how many there were in 30 days.", null=True),
                ),
                (
                    "people",
                    models.BigIntegerField(help_text="Of a property, of how many people the events are.", null=True),
                ),
                ("distinct", models.BigIntegerField(help_text="How many different values there are.", null=True)),
                (
                    "type",
                    models.CharField(blank=True, help_text="Of a property, what its values mostly are.", max_length=16),
                ),
                (
                    "distribution",
                    models.JSONField(help_text="Of numbers and dates: `Distribution.as_json`.", null=True),
                ),
                (
                    "top",
                    models.JSONField(
                        default=list, help_text="The commonest values, each with how many people have it."
                    ),
                ),
                (
                    "sources",
                    models.JSONField(
                        default=list,
                        help_text="Numbers of the sources that set it last, with of how many people.",
                    ),
                ),
                ("last_seen_at", models.DateTimeField(help_text="Of an event, to the hour.", null=True)),
                ("as_of", models.DateTimeField()),
                ("computed_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "permissions": [("measure_fields", "Can have the figures of fields taken anew")],
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "event", "key"), name="segments_one_statistic_per_field"),
                    models.CheckConstraint(
                        condition=models.Q(("filled__gte", 0), ("of__gte", models.F("filled"))),
                        name="segments_statistic_is_a_share",
                    ),
                ],
            },
        ),
        migrations.RunPython(grant, take_back),
    ]
