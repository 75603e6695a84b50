"""How the console writes moments, ids, acts and languages."""

from datetime import UTC, datetime
from uuid import UUID

from django.utils import timezone

from cdp.templatetags.cdp import act, iso_day, kind_of, language, moment, short_id, when

LAST_YEAR = datetime(2025, 10, 3, 14, 5, 9, tzinfo=UTC)


def test_a_moment_of_another_year_keeps_its_time_and_evidence_its_seconds() -> None:
    with timezone.override("Europe/Berlin"):
        assert ">3 Oct 2025, 16:05<" in str(when(LAST_YEAR))
        assert ">3 Oct 2025, 16:05:09<" in str(moment(LAST_YEAR)) and "CEST" in str(moment(LAST_YEAR))
    assert (when(None), moment(None)) == ("", "")


def test_two_ids_made_in_the_same_minute_are_told_apart() -> None:
    one, other = UUID("01a20403-710d-7aaa-8000-3b94ed03cc00"), UUID("01a20403-710d-7bbb-8000-f660c112b420")
    assert (short_id(one), short_id(other)) == ("…3b94ed03cc00", "…f660c112b420")
    assert short_id("demo") == "demo"


def test_codes_are_said_in_words() -> None:
    assert act("record_of_processing.exported") == "Record of processing: exported"
    assert act("odd") == "odd"
    assert (kind_of("consent.consentrecord"), kind_of("gone.thing"), kind_of("")) == ("consent record", "thing", "")
    assert (language("de"), language("zh-Hans-CN"), language("tlh")) == ("German (de)", language("zh-Hans-CN"), "tlh")
    assert (iso_day("2026-11-22T10:00:00+00:00"), iso_day("never")) == ("22 Nov 2026", "never")
