"""Clusterings, their runs and clusters; and who may see, make and run them."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

MAY = {
    "marketer": ["view_clustering", "add_clustering", "change_clustering", "delete_clustering", "run_clustering"],
    "admin": ["view_clustering", "add_clustering", "change_clustering", "delete_clustering", "run_clustering"],
    "compliance": ["view_clustering"],
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
        ("segments", "0013_home"),
    ]

    operations = [
        migrations.CreateModel(
            name="Clustering",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("key", models.SlugField(help_text="How rules name it; can't change.", max_length=55, unique=True)),
                ("name", models.CharField(max_length=150)),
                ("description", models.TextField(blank=True)),
                ("settings", models.JSONField(default=dict, help_text="`ClusteringSettings.as_json`.")),
                ("is_nightly", models.BooleanField(default=False, verbose_name="run each night")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
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
                "ordering": ["name"],
                "permissions": [("run_clustering", "Can run clusterings and accept their runs")],
            },
        ),
        migrations.CreateModel(
            name="ClusterRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("number", models.PositiveIntegerField(help_text="Counts the runs of a clustering.")),
                ("settings", models.JSONField(help_text="As they were when it was asked for.")),
                ("seed", models.PositiveIntegerField()),
                ("requested_by", models.CharField(max_length=150)),
                ("requested_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("live", "Live"),
                            ("past", "Was live"),
                            ("held", "Waits for your decision"),
                            ("declined", "Declined"),
                            ("overtaken", "Overtaken by a newer run"),
                            ("failed", "Failed"),
                        ],
                        max_length=16,
                    ),
                ),
                ("problem", models.TextField(blank=True, help_text="Why it failed, in a sentence for whoever asked.")),
                ("as_of", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "decided_by",
                    models.CharField(
                        blank=True, help_text="Who accepted or declined it, if it was held.", max_length=150
                    ),
                ),
                ("score_run_id", models.BigIntegerField(editable=False, null=True)),
                ("people", models.BigIntegerField(default=0, help_text="Who may be in it and was looked at.")),
                ("clustered", models.BigIntegerField(default=0, help_text="Who is in a cluster.")),
                (
                    "noise",
                    models.BigIntegerField(default=0, help_text="Who is in none: noise, or set aside as an outlier."),
                ),
                (
                    "left_out",
                    models.BigIntegerField(default=0, help_text="Who lacks a feature, where that leaves out."),
                ),
                (
                    "revenue",
                    models.DecimalField(
                        decimal_places=4, help_text="Of all of them in the window.", max_digits=30, null=True
                    ),
                ),
                (
                    "prepared",
                    models.JSONField(help_text="`Prepared`: how figures were made fit, with notes.", null=True),
                ),
                (
                    "fitted",
                    models.JSONField(
                        help_text="`Fitted`: centroids or core points. Large: defer it in lists.", null=True
                    ),
                ),
                (
                    "choice",
                    models.JSONField(
                        help_text="`Choice`: numbers of clusters tried, elbow, silhouettes, reason.", null=True
                    ),
                ),
                ("quality", models.JSONField(help_text="`Quality`.", null=True)),
                ("tree", models.JSONField(help_text="`Tree`: the dendrogram, of hierarchical methods.", null=True)),
                ("picture", models.JSONField(help_text="`Picture`: two principal components of a sample.", null=True)),
                ("matched", models.JSONField(help_text="`Matched`: identities, who moved, drift.", null=True)),
                ("versions", models.JSONField(default=dict, help_text="Of numpy and scikit-learn.")),
                (
                    "clustering",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="runs",
                        to="segments.clustering",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="jobs.job"
                    ),
                ),
            ],
            options={
                "ordering": ["-number"],
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="clustering",
            name="live_run",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="segments.clusterrun",
            ),
        ),
        migrations.CreateModel(
            name="Cluster",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.IntegerField(help_text="From 1; -1 is who is in none.")),
                ("fit_number", models.IntegerField(help_text="In the fit, in quality and in pictures of this run.")),
                ("label", models.CharField(max_length=128)),
                ("suggested_label", models.CharField(blank=True, max_length=128)),
                (
                    "is_label_own",
                    models.BooleanField(default=False, help_text="Somebody named it; otherwise it is as suggested."),
                ),
                ("size", models.BigIntegerField()),
                (
                    "revenue",
                    models.DecimalField(decimal_places=4, help_text="Net of refunds, in the window.", max_digits=30),
                ),
                ("meaning", models.JSONField(help_text="`Meaning`; None of who is in no cluster.", null=True)),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="clusters",
                        to="segments.clusterrun",
                    ),
                ),
            ],
            options={
                "ordering": ["number"],
                "default_permissions": (),
            },
        ),
        migrations.AddConstraint(
            model_name="clusterrun",
            constraint=models.UniqueConstraint(fields=("clustering", "number"), name="segments_cluster_run_number"),
        ),
        migrations.AddConstraint(
            model_name="clusterrun",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome", "live")), fields=("clustering",), name="segments_one_live_cluster_run"
            ),
        ),
        migrations.AddConstraint(
            model_name="clusterrun",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome", "held")), fields=("clustering",), name="segments_one_held_cluster_run"
            ),
        ),
        migrations.AddConstraint(
            model_name="cluster",
            constraint=models.UniqueConstraint(fields=("run", "number"), name="segments_cluster_number"),
        ),
        migrations.RunPython(grant, take_back),
    ]
