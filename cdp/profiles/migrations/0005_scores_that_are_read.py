"""The scores of the published runs by themselves, and what each run says under which key."""

from django.db import migrations, models

FILL = """
UPDATE profiles_scorerun r SET keys = said.keys
  FROM (SELECT run_id, jsonb_object_agg(key, CASE WHEN numbers AND labels THEN '["numbers", "labels"]'::jsonb
                                                  WHEN numbers THEN '["numbers"]'::jsonb ELSE '["labels"]'::jsonb END) AS keys
          FROM (SELECT run_id, key, bool_or(number IS NOT NULL) AS numbers, bool_or(label IS NOT NULL) AS labels
                  FROM profiles_score GROUP BY run_id, key) AS of_key
         GROUP BY run_id) AS said
 WHERE said.run_id = r.id AND r.published_at IS NOT NULL;
"""

# PostgreSQL puts a plain view's query in its place, so publishing a run needs no other statement than its own.
VIEW = """
CREATE VIEW profiles_currentscore AS
SELECT r.kind, s.key, s.profile_id, s.number, s.label AS text
  FROM profiles_scorerun r JOIN profiles_score s ON s.run_id = r.id
 WHERE r.is_current;
"""


class Migration(migrations.Migration):
    dependencies = [("profiles", "0004_totals_by_first")]
    operations = [
        migrations.AddField(
            model_name="scorerun",
            name="keys",
            field=models.JSONField(
                default=dict,
                editable=False,
                help_text="Once it is published, its keys and what it says under each: {'group': ['labels']}.",
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(VIEW, "DROP VIEW profiles_currentscore;"),
        migrations.AddConstraint(
            model_name="scorerun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind__contains", "."), _negated=True), models.Q(("kind", ""), _negated=True)
                ),
                name="profiles_run_kind_without_stop",
            ),
        ),
        migrations.AlterField(
            model_name="dirtyprofile",
            name="facts",
            field=models.JSONField(
                default=dict,
                help_text="What changed: {'scores': [kinds], 'consents': [purposes]}; anything, where it doesn't say.",
            ),
        ),
    ]
