"""The first words of the banner and the preference centre; who may change words and settle conflicts; indexes for the trail.

A preference centre that has nothing to say can't be used to withdraw, so no installation starts without.
"""

import hashlib

import django.contrib.postgres.indexes
import django.db.models.deletion
import rfc8785
from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

GROUPS = {
    "marketer": ["view_notice", "view_noticeversion"],
    "compliance": ["add_notice", "view_notice", "add_noticeversion", "view_noticeversion", "view_consentconflict", "change_consentconflict"],
    "admin": ["add_notice", "change_notice", "view_notice", "add_noticeversion", "view_noticeversion", "view_consentconflict", "change_consentconflict"],
}  # fmt: skip

NOTICES = {"banner": "Banner", "preference_centre": "Preference centre"}
# What a banner asks is what happens on the page and with ads; the preference centre asks everything.
ON_THE_PAGE = ("onsite", "ads")
WORDS = {
    ("banner", "en"): {
        "title": "May we?",
        "text": "Each of these is your choice, and the shop works without any of them. Saying no takes as many clicks as saying yes, and you can change your mind at any time.",
        "accept": "Accept all", "reject": "Reject all", "choose": "Choose", "save": "Save my choice",
    },
    ("banner", "de"): {
        "title": "Dürfen wir?",
        "text": "Jeder dieser Punkte ist Ihre Entscheidung, und der Shop funktioniert auch ohne. Nein zu sagen braucht so viele Klicks wie Ja zu sagen, und Sie können Ihre Entscheidung jederzeit ändern.",
        "accept": "Alle annehmen", "reject": "Alle ablehnen", "choose": "Auswählen", "save": "Auswahl speichern",
    },
    ("preference_centre", "en"): {
        "title": "Your choices",
        "text": "This is what you have allowed us, and what you haven't. You can change each of them here at any time, and it holds from then on. What was done before stays lawful.",
        "accept": "Allow all", "reject": "Allow none", "choose": "Choose", "save": "Save my choices",
    },
    ("preference_centre", "de"): {
        "title": "Ihre Entscheidungen",
        "text": "Das haben Sie uns erlaubt und das nicht. Sie können jeden Punkt hier jederzeit ändern, es gilt ab dann. Was davor geschah, bleibt rechtmäßig.",
        "accept": "Alles erlauben", "reject": "Nichts erlauben", "choose": "Auswählen", "save": "Auswahl speichern",
    },
}  # fmt: skip
# The purposes as they were shipped, and the same in German. One whose words were changed since has no German ones.
GERMAN = {
    "internal_analysis": ("We count and compare groups of customers to run the shop. You can object at any time.",
                          "Interne Auswertung", "Wir zählen und vergleichen Gruppen von Kunden, um den Shop zu betreiben. Sie können jederzeit widersprechen."),
    "marketing_email": ("We send you news and offers by email.", "Werbung per E-Mail", "Wir schicken Ihnen Neuigkeiten und Angebote per E-Mail."),
    "sms": ("We send you news and offers by text message.", "SMS", "Wir schicken Ihnen Neuigkeiten und Angebote per SMS."),
    "personalisation": ("We choose what we show you by what you looked at and bought.", "Personalisierung",
                        "Was wir Ihnen zeigen, wählen wir danach aus, was Sie angesehen und gekauft haben."),
    "analytics": ("We measure how our pages and apps are used.", "Messung der Nutzung", "Wir messen, wie unsere Seiten und Apps benutzt werden."),
    "partner_offers": ("We pass your address to partners who send you their offers.", "Angebote von Partnern",
                       "Wir geben Ihre Adresse an Partner weiter, die Ihnen ihre Angebote schicken."),
    "targeted_ads": ("We show you our ads on other sites.", "Werbung auf anderen Seiten", "Wir zeigen Ihnen unsere Werbung auf anderen Seiten."),
}  # fmt: skip


def told(purpose, locale):
    """What a notice says of a purpose; None where there are no words in this language."""
    if locale == "en":
        return {"key": purpose.key, "label": purpose.label, "text": purpose.text}
    english, label, text = GERMAN.get(purpose.key, ("", "", ""))
    return {"key": purpose.key, "label": label, "text": text} if english == purpose.text else None


def begin(apps, schema_editor):
    using = schema_editor.connection.alias
    _publish(apps, using)
    # Django makes permissions after all migrations; the groups need them now.
    create_permissions(real_apps.get_app_config("consent"), verbosity=0, using=using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, codenames in GROUPS.items():
        group = groups.filter(name=name).first()
        if group is not None:  # an installation may do without
            group.permissions.add(*permissions.filter(content_type__app_label="consent", codename__in=codenames))


def _publish(apps, using):
    notices = apps.get_model("consent", "Notice").objects.using(using)
    versions = apps.get_model("consent", "NoticeVersion").objects.using(using)
    asked = list(
        apps.get_model("consent", "Purpose").objects.using(using).exclude(mode="notice_only").order_by("label")
    )
    for (key, locale), words in WORDS.items():
        notice, _ = notices.get_or_create(key=key, defaults={"label": NOTICES[key]})
        if versions.filter(notice=notice, locale=locale).exists():
            continue  # somebody has published words of their own
        purposes = [told(one, locale) for one in asked if key != "banner" or one.channel in ON_THE_PAGE]
        if not purposes or None in purposes:
            continue
        content = rfc8785.dumps({**words, "purposes": purposes, "link": "", "link_text": ""})
        versions.create(
            notice=notice, number=1, locale=locale, content=content, sha256=hashlib.sha256(content).hexdigest()
        )


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0009_signals_heard"),
        ("segments", "0003_roles"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        migrations.AlterField(
            model_name="consentrecord",
            name="purpose",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="records",
                to="consent.purpose",
            ),
        ),
        migrations.AlterField(
            model_name="consentrecord",
            name="notice_version",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="records",
                to="consent.noticeversion",
            ),
        ),
        migrations.AddIndex(
            model_name="consentrecord",
            index=models.Index(fields=["purpose", "-id"], name="consent_record_by_purpose"),
        ),
        migrations.AddIndex(
            model_name="consentrecord",
            index=models.Index(
                condition=models.Q(("notice_version__isnull", False)),
                fields=["notice_version", "-id"],
                name="consent_record_by_version",
            ),
        ),
        migrations.AddIndex(
            model_name="consentrecord",
            index=django.contrib.postgres.indexes.BrinIndex(
                autosummarize=True, fields=["collected_at", "recorded_at"], name="consent_record_by_time"
            ),
        ),
        migrations.AlterConstraint(
            model_name="purpose",
            name="consent_is_asked_first",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("lawful_basis", "consent"), _negated=True), ("mode", "opt_in"), _connector="OR"
                ),
                name="consent_is_asked_first",
                violation_error_message="Silence is no consent: a purpose that rests on consent takes in only who said yes.",
            ),
        ),
        migrations.RunPython(begin, migrations.RunPython.noop),
    ]
