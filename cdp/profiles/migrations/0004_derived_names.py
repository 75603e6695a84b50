"""The names of what the platform derives are in the catalogue from the start, so that rules may ask for them."""

from django.db import migrations

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
    dependencies = [("profiles", "0003_orders")]
    # Events of these names may remain, so they stay.
    operations = [migrations.RunPython(enter, migrations.RunPython.noop)]
