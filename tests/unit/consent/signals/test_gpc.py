"""Global Privacy Control is honoured when it is exactly "1"; Do Not Track is recorded and means nothing."""

import json
from datetime import date

import pytest

from consent.signals import gpc
from consent.signals.gpc import BrowserSignal
from consent.signals.meaning import NOTHING, Capability, Stance, of_browser


def test_one_opts_out_of_sale_sharing_and_targeted_ads() -> None:
    meaning = of_browser(gpc.read("1"))
    assert dict(meaning.stances) == {
        Capability.SALE: Stance.DENIED,
        Capability.SHARING: Stance.DENIED,
        Capability.TARGETED_ADS: Stance.DENIED,
    }
    assert meaning.because[Capability.SALE] == ("Sec-GPC",)


@pytest.mark.parametrize("value", [None, "", "0", "true", "1, 1", " 1", "1 ", "01", "1.0", "１", "yes", "1\x00"])
def test_anything_else_says_nothing(value: str | None) -> None:
    assert gpc.read(value) == BrowserSignal(opts_out=False)
    assert of_browser(gpc.read(value)) == NOTHING


@pytest.mark.parametrize("dnt", ["0", "1", "null"])
def test_do_not_track_is_recorded_and_means_nothing(dnt: str) -> None:
    signal = gpc.read(None, dnt)
    assert signal.do_not_track == dnt
    assert of_browser(signal) == NOTHING


def test_what_no_browser_sends_as_do_not_track_is_not_kept() -> None:
    assert gpc.read(None, "ann@example.com").do_not_track is None


def test_the_document_has_the_form_of_the_specification() -> None:
    assert json.dumps(gpc.document(date(2026, 11, 1))) == '{"gpc": true, "lastUpdate": "2026-11-01"}'
    assert gpc.WELL_KNOWN == "/.well-known/gpc.json"
