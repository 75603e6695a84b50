"""Personas and their portraits, and who may see, make, change and delete them."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.apps import apps as real_apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

MAY = {
    "marketer": ("view_persona", "add_persona", "change_persona", "delete_persona"),
    "admin": ("view_persona", "add_persona", "change_persona", "delete_persona"),
    "compliance": ("view_persona",),
}


def grant(apps, schema_editor):
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("segments"), verbosity=0, using=using)
    permissions = apps.get_model("auth", "Permission").objects.using(using).filter(content_type__app_label="segments")
    for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=MAY):
        group.permissions.add(*permissions.filter(codename__in=MAY[group.name]))


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0002_newest_of_a_segment"),
        ("segments", "0015_clustering"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.CreateModel(
            name="Persona",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "key",
                    models.SlugField(
                        help_text="How rules name it, after `persona.`; can't change.", max_length=56, unique=True
                    ),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                ("description", models.TextField(blank=True)),
                (
                    "source",
                    models.CharField(
                        choices=[("cluster", "Cluster"), ("rfm", "RFM group"), ("segment", "Segment")], max_length=8
                    ),
                ),
                (
                    "score_kind",
                    models.CharField(
                        blank=True,
                        help_text="Of a cluster or RFM group: the scores that say who is in it.",
                        max_length=64,
                    ),
                ),
                (
                    "cluster",
                    models.IntegerField(
                        help_text="Of a cluster, its number, which it keeps from run to run.", null=True
                    ),
                ),
                ("rfm_group", models.CharField(blank=True, help_text="Of an RFM group, its key.", max_length=128)),
                (
                    "source_name",
                    models.CharField(help_text="What the group was called when the persona was made.", max_length=200),
                ),
                (
                    "position",
                    models.IntegerField(
                        help_text="Where it stands among the others: who belongs to several has the first as theirs."
                    ),
                ),
                ("colour", models.PositiveSmallIntegerField(default=1)),
                (
                    "is_active",
                    models.BooleanField(default=True, help_text="Portrayed each night, and readable by rules."),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "segment",
                    models.ForeignKey(
                        help_text="Of a segment.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="personas",
                        to="segments.segment",
                    ),
                ),
            ],
            options={
                "ordering": ["position", "pk"],
            },
        ),
        migrations.CreateModel(
            name="PersonaPortrait",
            fields=[
                (
                    "persona",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="portrait",
                        serialize=False,
                        to="segments.persona",
                    ),
                ),
                ("as_of", models.DateTimeField()),
                (
                    "people",
                    models.BigIntegerField(
                        help_text="How many permit it; NULL if they are fewer than five.", null=True
                    ),
                ),
                ("figures", models.JSONField(default=dict)),
                ("attributes", models.JSONField(default=dict)),
                ("factors", models.JSONField(default=dict)),
                ("sentences", models.JSONField(default=list)),
                ("drawn_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "job",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="jobs.job"
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="persona",
            constraint=models.CheckConstraint(
                condition=models.Q(("key", "persona"), _negated=True), name="segments_persona_key_not_taken"
            ),
        ),
        migrations.AddConstraint(
            model_name="persona",
            constraint=models.CheckConstraint(
                condition=models.Q(("colour__gte", 1), ("colour__lte", 6)), name="segments_persona_colour"
            ),
        ),
        migrations.AddConstraint(
            model_name="persona",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("cluster", None), ("rfm_group", ""), ("score_kind", ""), ("source", "segment")),
                    models.Q(
                        ("cluster__isnull", False),
                        ("rfm_group", ""),
                        ("segment", None),
                        ("source", "cluster"),
                        models.Q(("score_kind", ""), _negated=True),
                    ),
                    models.Q(
                        ("cluster", None),
                        ("segment", None),
                        ("source", "rfm"),
                        models.Q(("rfm_group", ""), _negated=True),
                        models.Q(("score_kind", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="segments_persona_has_one_source",
            ),
        ),
        migrations.AddConstraint(
            model_name="personaportrait",
            constraint=models.CheckConstraint(
                condition=models.Q(("people__isnull", True), ("people__gte", 5), _connector="OR"),
                name="segments_portrait_of_five_people",
            ),
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
