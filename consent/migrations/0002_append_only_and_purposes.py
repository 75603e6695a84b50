"""Consent records can't be changed; the purposes every workspace starts with."""

from django.conf import settings
from django.db import migrations
from psycopg import sql

PROTECT = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON consent_consentrecord
    FOR EACH ROW EXECUTE FUNCTION cdp_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON consent_consentrecord
    FOR EACH STATEMENT EXECUTE FUNCTION cdp_refuse_change();
"""
UNPROTECT = """
DROP TRIGGER append_only ON consent_consentrecord;
DROP TRIGGER append_only_truncate ON consent_consentrecord;
"""

PURPOSES = [
    # key, label, what people are told, lawful basis, mode
    ("internal_analysis", "Internal analysis", "We count and compare groups of customers to run the shop. You can object at any time.",
     "legitimate_interests", "opt_out"),
    ("marketing_email", "Marketing email", "We send you news and offers by email.", "consent", "opt_in"),
    ("sms", "SMS", "We send you news and offers by text message.", "consent", "opt_in"),
    ("personalisation", "Personalisation", "We choose what we show you by what you looked at and bought.", "consent", "opt_in"),
    ("analytics", "Analytics", "We measure how our pages and apps are used.", "consent", "opt_in"),
    ("partner_offers", "Partner offers", "We pass your address to partners who send you their offers.", "consent", "opt_in"),
    ("targeted_ads", "Targeted ads", "We show you our ads on other sites.", "consent", "opt_in"),
]  # fmt: skip


def begin(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("REVOKE UPDATE, DELETE ON consent_consentrecord FROM {}").format(sql.Identifier(settings.APP_ROLE))
        )
    purpose = apps.get_model("consent", "Purpose")
    for key, label, text, basis, mode in PURPOSES:
        purpose.objects.using(schema_editor.connection.alias).create(
            key=key, label=label, text=text, lawful_basis=basis, mode=mode
        )


class Migration(migrations.Migration):
    dependencies = [("consent", "0001_initial"), ("audit", "0002_append_only_and_roles")]
    operations = [
        migrations.RunSQL(PROTECT, UNPROTECT),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
