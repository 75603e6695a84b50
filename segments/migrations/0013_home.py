"""What a segment is found by and meant for, a status in which its members stay as they are, and starts of refreshes.

The text that is searched is put together by the database, so that none is ever without it. Its trigrams need the extension
pg_trgm, which comes with PostgreSQL and which whoever owns the database may create.
"""

import uuid

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.utils.timezone
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations, models
from django.db.models import F, Func, Q

# `array_to_string` is not immutable, since it might write other things than text; of text it is.
WORDS = """
CREATE FUNCTION segments_words(name text, key text, folder text, tags text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN lower(concat_ws(E'\\n', name, key, nullif(folder, ''), nullif(array_to_string(tags, E'\\n'), '')));
END $$;
"""
STATUSES = [("draft", "Draft"), ("live", "Live"), ("paused", "Paused"), ("archived", "Archived")]


class Migration(migrations.Migration):
    dependencies = [("segments", "0012_members"), ("consent", "0001_initial")]
    operations = [
        TrigramExtension(),
        migrations.RunSQL(WORDS, "DROP FUNCTION segments_words(text, text, text, text[])"),
        migrations.AddField(
            "segment",
            "tags",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=40), blank=True, default=list, size=None
            ),
        ),
        migrations.AddField("segment", "folder", models.CharField(blank=True, max_length=100)),
        migrations.AddField(
            "segment",
            "purposes",
            models.ManyToManyField(
                blank=True,
                help_text="What it is meant for. Whoever reads it still names one.",
                related_name="+",
                to="consent.purpose",
            ),
        ),
        migrations.AddField(
            "segment",
            "words",
            models.GeneratedField(
                db_persist=True,
                expression=Func(F("name"), F("key"), F("folder"), F("tags"), function="segments_words"),
                output_field=models.TextField(),
            ),
        ),
        migrations.AlterField("segment", "status", models.CharField(choices=STATUSES, default="draft", max_length=16)),
        migrations.AddField(
            "segment",
            "status_since",
            models.DateTimeField(
                default=django.utils.timezone.now,
                editable=False,
                help_text="When it was set live, paused or put away.",
            ),
        ),
        migrations.RemoveConstraint("segment", "segments_live_has_a_version"),
        migrations.AddConstraint(
            "segment",
            models.CheckConstraint(
                condition=~Q(status__in=["live", "paused"]) | Q(live_version__isnull=False),
                name="segments_live_has_a_version",
            ),
        ),
        migrations.AddIndex("segment", models.Index(fields=["name", "id"], name="segments_by_name")),
        migrations.AddIndex(
            "segment", django.contrib.postgres.indexes.GinIndex(fields=["tags"], name="segments_by_tag")
        ),
        migrations.AddIndex(
            "segment",
            django.contrib.postgres.indexes.GinIndex(
                django.contrib.postgres.indexes.OpClass(F("words"), name="gin_trgm_ops"), name="segments_by_words"
            ),
        ),
        migrations.CreateModel(
            name="RefreshStart",
            fields=[
                (
                    "segment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="segments.segment",
                    ),
                ),
                ("token", models.UUIDField(default=uuid.uuid4)),
            ],
        ),
        migrations.RemoveIndex("membershipchange", "segments_change_by_time"),
        migrations.AddIndex(
            "membershipchange",
            models.Index(fields=["segment", "-recorded_at"], include=["kind"], name="segments_change_by_time"),
        ),
    ]
