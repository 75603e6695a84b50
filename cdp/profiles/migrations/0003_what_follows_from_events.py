"""What follows from events: which order one speaks of, sessions, derived events by name; exchange rates and scores."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

ORDER_KEY = """
ALTER TABLE profiles_event ADD COLUMN order_key varchar(250), ADD COLUMN from_device boolean NOT NULL DEFAULT false;
CREATE INDEX profiles_event_by_order ON profiles_event (profile_id, order_key) WHERE order_key IS NOT NULL;
"""

UNDO = "ALTER TABLE profiles_event DROP COLUMN order_key, DROP COLUMN from_device;"

TYPES = [
    (1, "Track"),
    (2, "Page"),
    (3, "Screen"),
    (4, "Identify"),
    (5, "Group"),
    (6, "Alias"),
    (7, "Derived"),
]


NAMES = {
    "Product Purchased": "One line of an order, worth price x quantity. Derived from the order; replaced along with it.",
    "Revenue Booked": "What an order brought, or a refund took back (less than nothing). Derived; its sum is net revenue.",
    "Session Started": "A visit to a site or an app began. Derived from what browsers and apps send.",
}
DERIVED = 7


def enter(apps, schema_editor):
    names = apps.get_model("profiles", "EventName").objects.using(schema_editor.connection.alias)
    for name, description in NAMES.items():
        names.get_or_create(name=name, defaults={"label": name, "type": DERIVED, "description": description})


class Migration(migrations.Migration):
    dependencies = [("profiles", "0002_events_by_month")]
    operations = [
        migrations.RunSQL(
            ORDER_KEY,
            UNDO,
            state_operations=[
                migrations.AddField(
                    model_name="event",
                    name="order_key",
                    field=models.CharField(
                        help_text="Which order of the person it speaks of.", max_length=250, null=True
                    ),
                ),
                migrations.AddField(
                    model_name="event",
                    name="from_device",
                    field=models.BooleanField(
                        default=False, help_text="Something was done on a site or in an app: it is part of a session."
                    ),
                ),
            ],
        ),
        migrations.AlterField(
            model_name="eventname", name="type", field=models.SmallIntegerField(choices=TYPES, default=1)
        ),
        migrations.AlterField(model_name="event", name="type", field=models.SmallIntegerField(choices=TYPES)),
        migrations.AlterField(
            model_name="event",
            name="name_id",
            field=models.IntegerField(
                help_text="Of its name. Superseded events have it with the sign turned: what asks for a name never finds them."
            ),
        ),
        # Events of these names may remain, so they stay.
        migrations.RunPython(enter, migrations.RunPython.noop),
        migrations.CreateModel(
            name="ExchangeRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "currency",
                    models.CharField(
                        max_length=3,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{3}$", "Three capital letters, as ISO 4217 has them."
                            )
                        ],
                    ),
                ),
                ("day", models.DateField(help_text="In UTC, as the days of events are.")),
                ("rate", models.DecimalField(decimal_places=10, max_digits=19)),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "ordering": ["-day", "currency"],
                "constraints": [
                    models.UniqueConstraint(fields=("currency", "day"), name="profiles_one_rate_per_day"),
                    models.CheckConstraint(condition=models.Q(("rate__gt", 0)), name="profiles_rate_above_nothing"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ScoreRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(help_text="Which model: rfm, clusters, propensity.", max_length=64)),
                ("version", models.CharField(help_text="Of the model, as its makers number it.", max_length=64)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("published_at", models.DateTimeField(editable=False, null=True)),
                ("is_current", models.BooleanField(default=False, editable=False, help_text="The one that is read.")),
            ],
            options={
                "ordering": ["-created_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_current", True)),
                        fields=("kind",),
                        name="profiles_one_current_run_per_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("is_current", False), ("published_at__isnull", False), _connector="OR"),
                        name="profiles_current_run_is_published",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Session",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "profile_id", "started_at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("profile_id", models.BigIntegerField()),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(help_text="Of its last event.")),
                ("events", models.IntegerField()),
                ("message_id", models.CharField(help_text="Of its first event.", max_length=100)),
                ("source_id", models.IntegerField()),
                ("identifier_id", models.BigIntegerField(null=True)),
                ("entry_page", models.CharField(blank=True, max_length=512)),
                ("utm_source", models.CharField(blank=True, max_length=512)),
                ("utm_medium", models.CharField(blank=True, max_length=512)),
                ("utm_campaign", models.CharField(blank=True, max_length=512)),
            ],
            options={
                "indexes": [models.Index(fields=["profile_id", "ended_at"], name="profiles_session_end")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ended_at__gte", models.F("started_at")), ("events__gt", 0)),
                        name="profiles_session_whole",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Score",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id", "key", "profile_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("profile_id", models.BigIntegerField()),
                ("key", models.CharField(max_length=64)),
                ("number", models.DecimalField(decimal_places=4, max_digits=19, null=True)),
                ("label", models.CharField(max_length=128, null=True)),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="scores",
                        to="profiles.scorerun",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["profile_id", "run"], name="profiles_score_of_person")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("number__isnull", False), ("label__isnull", False), _connector="OR"),
                        name="profiles_score_says_something",
                    )
                ],
            },
        ),
    ]
