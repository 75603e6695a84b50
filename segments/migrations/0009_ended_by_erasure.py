"""Memberships may end because a person was erased."""

from django.db import migrations, models

WHY = [
    ("event", "An event or trait"),
    ("time", "Time passing"),
    ("rule", "The rule changed"),
    ("merge", "Two profiles became one"),
    ("unmerge", "A merge was undone"),
    ("edit", "A change by hand"),
    ("rank", "A percentile moved"),
    ("erasure", "The person was erased"),
]


class Migration(migrations.Migration):
    dependencies = [("segments", "0008_static_lists")]

    operations = [
        migrations.AlterField(model_name=model, name="why", field=models.CharField(choices=WHY, max_length=8))
        for model in ("membershipchange", "pendingchange")
    ]
