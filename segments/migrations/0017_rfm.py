"""The settings of RFM, its runs and who moved in them; and who may see, change and run it."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

import segments.rfm.models

MAY = {
    "marketer": ["view_rfmrun", "change_rfmsettings", "run_rfm"],
    "admin": ["view_rfmrun", "change_rfmsettings", "run_rfm"],
    "compliance": ["view_rfmrun"],
}


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need these now.
    create_permissions(real_apps.get_app_config("segments"), verbosity=0, using=using)
    groups, permissions = (apps.get_model("auth", name).objects.using(using) for name in ("Group", "Permission"))
    for group in groups.filter(name__in=MAY):
        found = permissions.filter(content_type__app_label="segments", codename__in=MAY[group.name])
        if missing := set(MAY[group.name]) - set(found.values_list("codename", flat=True)):
            raise LookupError(f"no such permissions in segments: {sorted(missing)}")
        group.permissions.add(*found)


def take_back(apps, schema_editor):
    using = schema_editor.connection.alias
    for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=MAY):
        group.permissions.remove(
            *group.permissions.filter(content_type__app_label="segments", codename__in=MAY[group.name])
        )


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0012_showings_are_forgotten"),
        ("jobs", "0002_newest_of_a_segment"),
        ("segments", "0016_personas"),
    ]

    operations = [
        migrations.CreateModel(
            name="RfmRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("scheme", models.JSONField(help_text="As it was when it was asked for.")),
                ("purpose", models.CharField(help_text="Key of the purpose that people permitted.", max_length=64)),
                ("requested_by", models.CharField(max_length=150)),
                ("requested_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "problem",
                    models.TextField(blank=True, help_text="Why it came to nothing, in a sentence for whoever asked."),
                ),
                (
                    "notes",
                    models.JSONField(default=list, help_text="Sentences on what is to be known when it is read."),
                ),
                ("as_of", models.DateTimeField(null=True)),
                ("currency", models.CharField(blank=True, max_length=3)),
                ("people", models.BigIntegerField(default=0, help_text="Who bought within the window, and is scored.")),
                ("orders", models.BigIntegerField(default=0)),
                (
                    "unpriced_orders",
                    models.BigIntegerField(default=0, help_text="Without an amount in the reporting currency."),
                ),
                (
                    "revenue",
                    models.DecimalField(decimal_places=4, help_text="Net of refunds.", max_digits=30, null=True),
                ),
                ("thresholds", models.JSONField(help_text="`Thresholds.as_json`.", null=True)),
                (
                    "cells",
                    models.JSONField(
                        default=list,
                        help_text="25 of {r, fm, group, people, orders, revenue, recency_days}: sums over their people.",
                    ),
                ),
                (
                    "groups",
                    models.JSONField(
                        default=list,
                        help_text="In the scheme's order: {name, people, orders, revenue, recency_mean, frequency_mean, monetary_mean}.",
                    ),
                ),
                ("spreads", models.JSONField(default=list, help_text="`Spread.as_json` of each measure.")),
                (
                    "flows",
                    models.JSONField(
                        default=list,
                        help_text="{before, after, people}, those who stayed too; '' is who had, or has, no scores.",
                    ),
                ),
                (
                    "drift",
                    models.JSONField(default=list, help_text="`Drift.as_json`, twelve of them; none in the first run."),
                ),
                (
                    "is_same_scheme",
                    models.BooleanField(default=True, help_text="Whether the run before went by the same rules."),
                ),
                ("score_run_id", models.BigIntegerField(editable=False, null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("completed_at", models.DateTimeField(null=True)),
                ("published_at", models.DateTimeField(null=True)),
                (
                    "job",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="jobs.job"
                    ),
                ),
                (
                    "previous",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="segments.rfmrun"
                    ),
                ),
            ],
            options={
                "ordering": ["-requested_at", "-pk"],
                "permissions": [("run_rfm", "Can run RFM")],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="RfmMove",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id", "profile_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("profile_id", models.BigIntegerField(db_index=True)),
                ("before", models.CharField(help_text="Name of the group; '' had none.", max_length=128)),
                ("after", models.CharField(help_text="Name of the group; '' has none.", max_length=128)),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="moves",
                        to="segments.rfmrun",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="RfmSettings",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("scheme", models.JSONField(default=segments.rfm.models.default_scheme, help_text="`Scheme.as_json`.")),
                ("is_nightly", models.BooleanField(default=True, verbose_name="run each night")),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "purpose",
                    models.ForeignKey(
                        help_text="Who permits it is in.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="consent.purpose",
                    ),
                ),
            ],
            options={
                "default_permissions": ("change",),
            },
        ),
        migrations.AddIndex(
            model_name="rfmrun",
            index=models.Index(fields=["-published_at"], name="segments_rfm_published"),
        ),
        migrations.AddIndex(
            model_name="rfmmove",
            index=models.Index(fields=["run", "before", "after"], name="segments_rfm_moves"),
        ),
        migrations.AddConstraint(
            model_name="rfmsettings",
            constraint=models.CheckConstraint(condition=models.Q(("pk", 1)), name="segments_one_rfmsettings"),
        ),
        migrations.RunPython(grant, take_back),
    ]
