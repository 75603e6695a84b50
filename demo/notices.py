"""What the simulated shop tells people: a banner and a preference centre, in English and German."""

from __future__ import annotations

import hashlib
from typing import Final

from django.conf import settings

from consent.models import Notice, Purpose
from consent.notices import Content, Told, canonical, publish
from demo.loading import LOADER

LABELS: Final = {"banner": "Banner", "preference_centre": "Preference centre"}
# Purpose -> its words in each language.
PURPOSES: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "analytics": {
        "en": ("Analytics", "We measure how our pages and apps are used, to make them better."),
        "de": ("Messung", "Wir messen, wie unsere Seiten und Apps benutzt werden, um sie zu verbessern."),
    },
    "personalisation": {
        "en": ("Personalisation", "We choose what we show you by what you looked at and bought."),
        "de": ("Personalisierung", "Wir wählen nach dem, was Sie ansehen und kaufen, was wir Ihnen zeigen."),
    },
    "targeted_ads": {
        "en": ("Targeted ads", "We show you our ads on other sites, chosen by what you did here."),
        "de": ("Gezielte Werbung", "Wir zeigen Ihnen auf anderen Seiten Werbung, die zu Ihrem Besuch hier passt."),
    },
    "marketing_email": {
        "en": ("Marketing email", "We send you news and offers by email, about twice a month."),
        "de": ("Werbung per E-Mail", "Wir senden Ihnen etwa zweimal im Monat Neues und Angebote per E-Mail."),
    },
    "sms": {
        "en": ("SMS", "We send you offers by text message, at most four a month."),
        "de": ("SMS", "Wir senden Ihnen Angebote per SMS, höchstens vier im Monat."),
    },
    "partner_offers": {
        "en": ("Partner offers", "We pass your address to partners who send you their offers."),
        "de": ("Angebote von Partnern", "Wir geben Ihre Adresse an Partner weiter, die Ihnen Angebote senden."),
    },
    "internal_analysis": {
        "en": ("Internal analysis", "We count and compare groups of customers to run the shop."),
        "de": ("Interne Auswertung", "Wir zählen und vergleichen Gruppen von Kunden, um den Laden zu führen."),
    },
}
ON_BANNER: Final = ("analytics", "personalisation", "targeted_ads")
IN_CENTRE: Final = (
    "marketing_email",
    "sms",
    "personalisation",
    "analytics",
    "targeted_ads",
    "partner_offers",
    "internal_analysis",
)
WORDS: Final[dict[str, dict[str, dict[str, str]]]] = {
    "banner": {
        "en": {
            "title": "May we remember your visit?",
            "text": "With your yes we keep a number on your device and use what you do here for the following. "
            "Without it the shop works just the same.",
            "accept": "Accept all",
            "reject": "Reject all",
            "choose": "Choose",
            "save": "Save my choices",
        },
        "de": {
            "title": "Dürfen wir uns Ihren Besuch merken?",
            "text": "Mit Ihrem Ja legen wir eine Nummer auf Ihrem Gerät ab und nutzen, was Sie hier tun, für das Folgende. "
            "Ohne Ihr Ja funktioniert der Laden genauso.",
            "accept": "Alles annehmen",
            "reject": "Alles ablehnen",
            "choose": "Auswählen",
            "save": "Meine Auswahl speichern",
        },
    },
    "preference_centre": {
        "en": {
            "title": "What may we do with your data?",
            "text": "Here you see all that you have said yes and no to, and change it as often as you like.",
            "accept": "Say yes to everything",
            "reject": "Say no to everything",
            "choose": "Choose",
            "save": "Save my choices",
        },
        "de": {
            "title": "Was dürfen wir mit Ihren Daten tun?",
            "text": "Hier sehen Sie, wozu Sie Ja und Nein gesagt haben, und ändern es, so oft Sie möchten.",
            "accept": "Zu allem Ja sagen",
            "reject": "Zu allem Nein sagen",
            "choose": "Auswählen",
            "save": "Meine Auswahl speichern",
        },
    },
}


def make_notices() -> None:
    """Publishes the shop's words, once: what somebody published since stays the newest."""
    there = set(Purpose.objects.values_list("key", flat=True))
    for key, keys in (("banner", ON_BANNER), ("preference_centre", IN_CENTRE)):
        notice, _ = Notice.objects.get_or_create(key=key, defaults={"label": LABELS[key]})
        for locale, _ in settings.LANGUAGES:
            told = tuple(
                Told(key=one, label=PURPOSES[one][locale][0], text=PURPOSES[one][locale][1])
                for one in keys
                if one in there
            )
            content = Content(**WORDS[key][locale], purposes=told)
            sha256 = hashlib.sha256(canonical(content)).hexdigest()
            if not notice.versions.filter(locale=locale, sha256=sha256).exists():
                publish(notice=notice, locale=locale, content=content, by=LOADER)
