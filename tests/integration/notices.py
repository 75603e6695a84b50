"""Notices for tests: the same few purposes in two languages."""

from collections.abc import Sequence

from consent.models import Notice, NoticeVersion, Purpose
from consent.notices import Content, Told, publish
from tests.factories import BY

KEYS = ("marketing_email", "analytics", "targeted_ads")


def publish_notice(key: str, *, locale: str = "en", purposes: Sequence[str] = KEYS, title: str = "") -> NoticeVersion:
    """The next version of this notice; its words name the language, so that a test sees which was shown."""
    notice, _ = Notice.objects.get_or_create(key=key, defaults={"label": key})
    labels = dict(Purpose.objects.values_list("key", "label"))
    told = tuple(Told(key=one, label=f"{labels[one]} ({locale})", text=f"What {one} is for.") for one in purposes)
    words = {"accept": "Accept all", "reject": "Reject all", "choose": "Choose", "save": "Save my choices"}
    content = Content(title=title or f"Your data ({locale})", text=f"We ask ({locale}).", purposes=told, **words)
    return publish(notice=notice, locale=locale, content=content, by=BY)
