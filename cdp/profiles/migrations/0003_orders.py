"""Which order an event speaks of, so that a version of an order that comes later takes the place of the earlier."""

from django.db import migrations, models

ORDER_KEY = """
ALTER TABLE profiles_event ADD COLUMN order_key varchar(250);
CREATE INDEX profiles_event_by_order ON profiles_event (profile_id, order_key) WHERE order_key IS NOT NULL;
"""

UNDO = "ALTER TABLE profiles_event DROP COLUMN order_key;"

TYPES = [
    (1, "Track"),
    (2, "Page"),
    (3, "Screen"),
    (4, "Identify"),
    (5, "Group"),
    (6, "Alias"),
    (7, "Derived"),
]


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
    ]
