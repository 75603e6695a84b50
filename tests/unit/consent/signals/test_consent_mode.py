"""Consent Mode is worked out from what is permitted: what is unknown or refused is denied, protection is always granted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.signals import gpc, tcf
from consent.signals.consent_mode import ALWAYS_GRANTED, NEEDS, ConsentType, export
from consent.signals.meaning import NOTHING, Capability, Meaning, Stance, of_browser, of_tcf, together
from tests.unit.consent.signals.writing import NOW, tc_string


def consent(*purposes: int) -> Meaning:
    return of_tcf(tcf.read(tc_string(PurposesConsent=frozenset(purposes)), as_of=NOW))


def granted(meaning: Meaning) -> set[str]:
    return {kind for kind, value in export(meaning).items() if value == "granted"} - {"security_storage"}


def test_the_seven_types_of_googles_reference_are_exported_in_its_order() -> None:
    assert list(export(NOTHING)) == [
        "ad_storage",
        "ad_user_data",
        "ad_personalization",
        "analytics_storage",
        "functionality_storage",
        "personalization_storage",
        "security_storage",
    ]
    assert NEEDS.keys() | ALWAYS_GRANTED == set(ConsentType)


def test_what_is_unknown_is_denied_and_security_granted() -> None:
    assert export(NOTHING) == dict.fromkeys(ConsentType, "denied") | {"security_storage": "granted"}


@pytest.mark.parametrize(
    ("purposes", "types"),
    [
        ((1,), {"functionality_storage"}),
        ((1, 7), {"functionality_storage", "ad_storage", "ad_user_data"}),
        ((3, 4), {"ad_personalization"}),
        ((3,), set()),
        ((7,), set()),
        ((8, 9), set()),
        ((1, 8, 9), {"functionality_storage", "analytics_storage"}),
        ((1, 5, 6), {"functionality_storage", "personalization_storage"}),
    ],
)
def test_types_follow_from_the_purposes_of_the_tcf(purposes: tuple[int, ...], types: set[str]) -> None:
    assert granted(consent(*purposes)) == types


def test_who_opted_out_of_sale_or_sharing_has_nothing_sent_for_advertising() -> None:
    everything = consent(*range(1, 12))
    assert granted(everything) == set(ConsentType) - {"security_storage"}
    assert granted(together([everything, of_browser(gpc.read("1"))])) == {
        "ad_storage",
        "analytics_storage",
        "functionality_storage",
        "personalization_storage",
    }


@given(st.dictionaries(st.sampled_from(Capability), st.sampled_from(Stance)), st.sampled_from(Capability))
def test_a_denial_never_grants_a_type(stances: dict[Capability, Stance], denied: Capability) -> None:
    assert granted(Meaning(stances | {denied: Stance.DENIED})) <= granted(Meaning(stances))
