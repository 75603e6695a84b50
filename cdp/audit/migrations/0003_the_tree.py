"""The tree over the audit log: envelopes, the queue, places, checkpoints; and what the app may not do to them."""

from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now
from psycopg import sql

from cdp.audit.envelope import envelope, told

APPEND_ONLY = ("audit_leaf", "audit_node", "audit_checkpoint", "audit_anchor")
COLUMNS = (
    "id", "recorded_at", "actor_kind", "actor_id", "actor_label", "action", "object_type", "object_id", "purpose",
    "request_id", "ip_prefix", "detail",
)  # fmt: skip
# For each statement and not for each row: a batch of events writes thousands of entries at once.
QUEUE = """
CREATE FUNCTION audit_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_pending (entry_id) SELECT id FROM written;
    RETURN NULL;
END $$;
CREATE TRIGGER queue AFTER INSERT ON audit_auditentry REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION audit_queue();
INSERT INTO audit_head (id, size, frontier, note) VALUES (1, 0, '', '');
INSERT INTO audit_pending (entry_id) SELECT id FROM audit_auditentry ORDER BY recorded_at;
"""
UNQUEUE = """
DROP TRIGGER queue ON audit_auditentry;
DROP FUNCTION audit_queue();
"""
PROTECT = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {0}
    FOR EACH ROW EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {0}
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
REVOKE UPDATE, DELETE ON {0} FROM {1};
"""
UNPROTECT = """
DROP TRIGGER append_only ON {0};
DROP TRIGGER append_only_truncate ON {0};
"""


def enclose(apps, schema_editor):
    """Entries of before get their envelopes. The owner may do so this once; no proof covers them yet."""
    entries = apps.get_model("audit", "AuditEntry").objects.using(schema_editor.connection.alias)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditentry DISABLE TRIGGER append_only")
        for entry in entries.iterator(chunk_size=1000):
            entry.detail = told(entry.detail)
            entry.envelope = envelope({name: getattr(entry, name) for name in COLUMNS} | {"id": str(entry.id)})
            entry.save(update_fields=["detail", "envelope"])
        cursor.execute("ALTER TABLE audit_auditentry ENABLE TRIGGER append_only")


def protect(apps, schema_editor):
    role = sql.Identifier(settings.APP_ROLE)
    with schema_editor.connection.cursor() as cursor:
        for table in APPEND_ONLY:
            cursor.execute(sql.SQL(PROTECT).format(sql.Identifier(table), role))
        cursor.execute(sql.SQL("REVOKE INSERT, DELETE ON audit_head FROM {}").format(role))
        cursor.execute(sql.SQL("REVOKE UPDATE ON audit_pending FROM {}").format(role))


def unprotect(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        for table in APPEND_ONLY:
            cursor.execute(sql.SQL(UNPROTECT).format(sql.Identifier(table)))


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0002_append_only_and_roles"),
    ]

    operations = [
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("size", models.BigIntegerField(primary_key=True, serialize=False)),
                ("root", models.BinaryField()),
                ("key_id", models.CharField(max_length=8)),
                ("note", models.TextField()),
                ("signed_at", models.DateTimeField()),
            ],
            options={
                "db_table": "audit_checkpoint",
                "ordering": ["-size"],
            },
        ),
        migrations.CreateModel(
            name="Leaf",
            fields=[
                ("index", models.BigIntegerField(primary_key=True, serialize=False)),
                ("entry_id", models.UUIDField(unique=True)),
                ("hash", models.BinaryField(help_text="SHA-256(0x00, envelope), RFC 9162.")),
            ],
            options={
                "db_table": "audit_leaf",
            },
        ),
        migrations.CreateModel(
            name="Node",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "level", "index", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("level", models.SmallIntegerField()),
                ("index", models.BigIntegerField()),
                ("hash", models.BinaryField()),
            ],
            options={
                "db_table": "audit_node",
            },
        ),
        migrations.CreateModel(
            name="Pending",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("entry_id", models.UUIDField()),
                ("queued_at", models.DateTimeField(db_default=Now())),
            ],
            options={
                "db_table": "audit_pending",
            },
        ),
        migrations.AddField(
            model_name="auditentry",
            name="envelope",
            field=models.BinaryField(
                help_text="All of the above as canonical JSON: what is hashed; the columns are for searching.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Anchor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("file", "File"), ("email", "Email")], max_length=8)),
                ("size", models.BigIntegerField()),
                ("anchored_at", models.DateTimeField()),
                (
                    "error",
                    models.CharField(blank=True, help_text="Why it couldn't be; empty when it was.", max_length=200),
                ),
            ],
            options={
                "ordering": ["-anchored_at"],
                "indexes": [models.Index(fields=["kind", "-anchored_at"], name="audit_anchors")],
            },
        ),
        migrations.CreateModel(
            name="Head",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("size", models.BigIntegerField(default=0)),
                (
                    "frontier",
                    models.BinaryField(
                        default=b"", help_text="Roots of the perfect subtrees, widest first, 32 bytes each."
                    ),
                ),
                ("note", models.TextField(blank=True, default="", help_text="The newest signed checkpoint.")),
                ("signed_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "audit_head",
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="audit_one_head")],
            },
        ),
        migrations.RunPython(enclose, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="auditentry",
            name="envelope",
            field=models.BinaryField(
                editable=False,
                help_text="All of the above as canonical JSON: what is hashed; the columns are for searching.",
            ),
        ),
        migrations.RunSQL(QUEUE, UNQUEUE),
        migrations.RunPython(protect, unprotect),
    ]
