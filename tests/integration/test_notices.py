"""What people are told: published in versions that never change, compared word by word, in the language that fits best."""

import hashlib
from typing import Any

import msgspec
import pytest
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict, DomainErrors
from consent.models import Decision, Method, Mode, Notice, NoticeVersion, Purpose
from consent.notices import Content, Told, canonical, content_of, create_notice, forget_showings, newest, publish, serve
from consent.services import Shown, record_decisions
from tests.factories import BY, identify, person, process_all, tracker
from tests.integration.test_audit_screen import staff

pytestmark = pytest.mark.django_db
WORDS = Content(
    title="Your choice", text="We write to you once a week.",
    purposes=(Told(key="marketing_email", label="Marketing email", text="News by email."),),
    accept="Yes", reject="No", choose="Choose", save="Save", link="https://boat.example/privacy", link_text="Privacy",
)  # fmt: skip


@pytest.fixture
def notice() -> Notice:
    return create_notice(key="newsletter", label="Newsletter", by=BY)


def said(text: str) -> Content:
    return msgspec.structs.replace(WORDS, text=text)


def put(notice: Notice, content: Content = WORDS, locale: str = "en", **more: Any) -> NoticeVersion:
    return publish(notice=notice, locale=locale, content=content, by=BY, **more)


# ---- Versions ------------------------------------------------------------------------------------------------------


def test_a_version_is_the_hash_of_its_exact_bytes(notice: Notice) -> None:
    version = put(notice)
    assert version.sha256 == hashlib.sha256(bytes(version.content)).hexdigest()
    assert bytes(version.content) == canonical(WORDS) and content_of(version) == WORDS
    entry = AuditEntry.objects.get(action="notice.published")
    assert entry.detail == {"locale": "en", "version": 1, "sha256": version.sha256}


def test_versions_are_counted_in_each_language_by_itself(notice: Notice) -> None:
    numbers = [
        put(notice, said(text), locale).number for text, locale in (("a", "en"), ("b", "en"), ("a", "de"), ("c", "en"))
    ]
    assert numbers == [1, 2, 1, 3]


def test_the_same_words_are_no_new_version(notice: Notice) -> None:
    put(notice)
    with pytest.raises(Conflict, match="version 1 says already"):
        put(notice)
    put(notice, said("other"))
    assert put(notice).number == 3, "going back to older words is one"


def test_who_wrote_on_something_older_is_told(notice: Notice) -> None:
    put(notice, based_on=0)
    with pytest.raises(Conflict) as refused:
        put(notice, said("mine"), based_on=0)
    assert refused.value.code == "notice_changed"
    assert put(notice, said("mine"), based_on=1).number == 2


@pytest.mark.parametrize("table", ["consent_noticeversion", "consent_servednotice"])
def test_nobody_changes_what_was_published_or_shown(notice: Notice, table: str) -> None:
    serve(version=put(notice))
    for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_of_a_showing_only_to_whom_and_where_is_forgotten(notice: Notice) -> None:
    shown = serve(version=put(notice), place="https://shop.test/ann", profile_id=7)
    table = "consent_servednotice"
    for change in ("profile_id = 8", "place = 'elsewhere'", "profile_id = NULL", "place = '', profile_id = 7"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {change} WHERE id = %s", [shown.pk])
    forget_showings([7])
    shown.refresh_from_db()
    assert (shown.profile_id, shown.place) == (None, "") and shown.version.notice == notice


@pytest.mark.parametrize(
    ("change", "locale", "pointer"),
    [
        ({"title": " "}, "en", "/title"),
        ({"reject": ""}, "en", "/reject"),
        ({"link": "javascript:alert(1)"}, "en", "/link"),
        ({"link": "https://["}, "en", "/link"),
        ({"text": "a" * 70_000}, "en", "/text"),
        ({"text": "\ud800"}, "en", "/text"),
        ({"purposes": (Told(key="made_up", label="x", text="x"),)}, "en", "/purposes"),
        ({"purposes": WORDS.purposes * 2}, "en", "/purposes"),
        ({"purposes": (Told(key="sms", label="", text="x"),)}, "en", "/purposes/0"),
        ({}, "English", "/locale"),
        ({}, "en_GB", "/locale"),
    ],
)
def test_what_can_not_be_published_is_said_with_its_place(
    notice: Notice, change: dict[str, Any], locale: str, pointer: str
) -> None:
    with pytest.raises(DomainErrors) as refused:
        put(notice, msgspec.structs.replace(WORDS, **change), locale)
    assert pointer in [error.pointer for error in refused.value.errors]
    assert not notice.versions.exists()


def test_people_read_the_language_that_fits_best(notice: Notice) -> None:
    def shown(*locales: str) -> str:
        found = newest(notice_key="newsletter", locales=locales)
        return f"{found.locale} {found.number}" if found else "nothing"

    assert shown("en") == "nothing"
    put(notice, locale="fr")
    assert shown("de") == "fr 1", "better than nothing"
    for locale in ("de", "en", "pt-BR", "zh-Hant-TW"):
        put(notice, locale=locale)
    put(notice, said("neu"), "de")
    assert [shown(one) for one in ("de-CH", "DE", "pt-br", "pt", "zh-Hant-TW", "it")] == [
        "de 2", "de 2", "pt-BR 1", "en 1", "zh-Hant-TW 1", "en 1",
    ]  # fmt: skip
    assert shown("it", "fr-CA", "de") == "fr 1"


def test_of_where_it_was_shown_only_the_page_is_kept(notice: Notice) -> None:
    version = put(notice)
    for place, kept in (
        ("https://ann:pw@boat.example:8443/join?email=ann@example.com#x", "https://boat.example:8443/join"),
        ("/join?id=7", "/join"), ("http://[", ""), ("", ""),
    ):  # fmt: skip
        assert serve(version=version, place=place).place == kept


# ---- What an installation begins with ------------------------------------------------------------------------------


def test_an_installation_begins_with_words_in_two_languages() -> None:
    asked = set(Purpose.objects.exclude(mode=Mode.NOTICE_ONLY).values_list("key", flat=True))
    for locale in ("en", "de"):
        centre = newest(notice_key="preference_centre", locales=[locale])
        banner = newest(notice_key="banner", locales=[locale])
        assert centre is not None and banner is not None and (centre.locale, banner.locale) == (locale, locale)
        assert {told.key for told in content_of(centre).purposes} == asked
        assert {told.key for told in content_of(banner).purposes} == {"analytics", "personalisation", "targeted_ads"}
        for version in (centre, banner):
            assert canonical(content_of(version)) == bytes(version.content), "byte for byte what publishing would make"
            assert version.sha256 == hashlib.sha256(bytes(version.content)).hexdigest()


# ---- The screens ---------------------------------------------------------------------------------------------------

ROOT = "/admin/consent/notice/"


@pytest.fixture
def officer(notice: Notice) -> Client:
    return staff("compliance")


def sent(content: Content, locale: str = "en", based_on: int = 0, **more: str) -> dict[str, str]:
    """The form as a browser sends it."""
    fields = {
        one: getattr(content, one)
        for one in ("title", "text", "accept", "reject", "choose", "save", "link", "link_text")
    }
    for told in content.purposes:
        fields |= {f"ask-{told.key}": "on", f"label-{told.key}": told.label, f"text-{told.key}": told.text}
    return {**fields, "locale": locale, "based_on": str(based_on), **more}


def test_an_officer_publishes_and_sees_what_becomes_of_it(officer: Client, notice: Notice) -> None:
    assert "nothing yet" in officer.get(f"{ROOT}newsletter/").content.decode()
    for locale in ("en", "de", "fr", "pt-BR"):
        assert officer.post(f"{ROOT}newsletter/publish/", sent(WORDS, locale)).status_code == 302
    assert (
        officer.post(f"{ROOT}newsletter/publish/", sent(said("We write to you daily."), based_on=1)).status_code == 302
    )
    version = notice.versions.get(locale="en", number=2)
    assert content_of(version) == said("We write to you daily.")
    shop = tracker()
    shop.send(identify("ann"))
    process_all()
    served = serve(version=version)
    record_decisions(
        profile=person("ann"), decisions={Purpose.objects.get(key="sms"): Decision.DENIED}, method=Method.FORM,
        at=timezone.now(), by=BY, shown=Shown(version_id=version.pk, served_id=served.pk),
    )  # fmt: skip
    page = officer.get(f"{ROOT}newsletter/").content.decode()
    assert "Denied 1" in page and "pt-BR" in page
    detail = officer.get(f"{ROOT}newsletter/versions/{version.pk}/").content.decode()
    assert version.sha256 in detail and "<del>" in detail and "once" in detail
    taken = officer.get(f"{ROOT}newsletter/versions/{version.pk}/bytes/")
    assert hashlib.sha256(taken.content).hexdigest() == version.sha256
    first = notice.versions.get(locale="en", number=1)
    compared = officer.get(f"{ROOT}newsletter/compare/", {"a": first.pk, "b": version.pk}).content.decode()
    assert "daily." in compared and "<ins>" in compared


def test_a_writer_sees_the_words_and_what_differs_before_they_are_published(officer: Client, notice: Notice) -> None:
    put(notice)
    form = officer.get(f"{ROOT}newsletter/publish/").content.decode()
    assert "We write to you once a week." in form and "Publish version 2" in form
    assert "Not one word differs" in form
    for door in ("preview/", "publish/"):
        looked = officer.post(f"{ROOT}newsletter/{door}", sent(said("We write <b>never</b>."), based_on=1, look="1"))
        page = looked.content.decode()
        assert looked.status_code == 200 and "removed: " in page and "We write &lt;b&gt;never&lt;/b&gt;." in page
    assert notice.versions.count() == 1, "looking publishes nothing"


def test_a_new_language_begins_with_the_words_of_another(officer: Client, notice: Notice) -> None:
    put(notice)
    form = officer.get(f"{ROOT}newsletter/publish/", {"locale": "nl"}).content.decode()
    assert "We write to you once a week." in form and "The first version in this language" in form


def test_what_is_refused_stands_at_its_field(officer: Client, notice: Notice) -> None:
    bad = officer.post(f"{ROOT}newsletter/publish/", sent(msgspec.structs.replace(WORDS, link="ftp://x")))
    assert bad.status_code == 422 and "begins with https" in bad.content.decode()
    put(notice)
    late = officer.post(f"{ROOT}newsletter/publish/", sent(said("mine"), based_on=0))
    assert late.status_code == 422 and "meanwhile" in late.content.decode()


def test_only_who_may_publish_does(notice: Notice) -> None:
    put(notice)
    marketer = staff("marketer")
    assert marketer.get(f"{ROOT}newsletter/").status_code == 200
    assert marketer.get(f"{ROOT}newsletter/publish/").status_code == 403
    assert marketer.post(f"{ROOT}newsletter/publish/", sent(said("x"))).status_code == 403
    assert marketer.post(f"{ROOT}new/", {"key": "x", "label": "x"}).status_code == 403
    assert staff("integrator").get(ROOT).status_code == 403


def test_a_notice_is_made_once(officer: Client) -> None:
    def make(key: str) -> HttpResponse:
        return officer.post(f"{ROOT}new/", {"key": key, "label": "Footer"})

    assert make("footer").status_code == 302
    for taken in ("footer", "add", "new"):
        assert make(taken).status_code == 422
    assert Notice.objects.get(key="footer").label == "Footer"
