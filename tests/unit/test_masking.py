"""What stays visible of personal data for somebody who may not see it."""

import pytest

from cdp.profiles.masking import HIDDEN, display_name, masked_identifier, masked_properties


@pytest.mark.parametrize(
    ("namespace", "value", "shown"),
    [
        ("email", "erika@example.com", "e•••@example.com"),
        ("crm", "erika@example.com", "e•••@example.com"),
        ("user_id", "PB-204417", "PB-204417"),
        ("anonymous_id", "a_7f3c91", "a_7f3c91"),
        ("phone", "+491701234542", "+49 ••• •• 42"),
        ("phone", "112", HIDDEN),
    ],
)
def test_an_identifier_shows_too_little_to_reach_the_person(namespace: str, value: str, shown: str) -> None:
    assert masked_identifier(namespace, value) == shown


def test_properties_are_hidden_by_name_by_catalogue_and_by_shape_at_any_depth() -> None:
    said = {
        "product": {"name": "Boot", "sku": "1"},
        "billing": {"firstName": "Erika", "zip": "10115"},
        "note": "write to erika@example.com soon",
        "nickname": "Eri",
        "items": [{"email": "e@example.com"}, "x@example.com"],
        "revenue": 12,
    }
    assert masked_properties(said, personal={"nickname"}) == {
        "product": {"name": "Boot", "sku": "1"},
        "billing": {"firstName": HIDDEN, "zip": HIDDEN},
        "note": "write to e•••@example.com soon",
        "nickname": HIDDEN,
        "items": [{"email": HIDDEN}, "x•••@example.com"],
        "revenue": 12,
    }


@pytest.mark.parametrize(
    ("traits", "masked", "open_"),
    [
        ({"firstName": "Erika", "lastName": "Mustermann"}, "E. M.", "Erika Mustermann"),
        ({"name": "Ola Nordmann"}, "O. N.", "Ola Nordmann"),
        ({"first_name": "  "}, "u-1", "u-1"),
        ({"name": 7}, "u-1", "u-1"),
        ({}, "u-1", "u-1"),
    ],
)
def test_a_person_is_named_by_what_is_known(traits: dict[str, object], masked: str, open_: str) -> None:
    assert display_name(traits, fallback="u-1", is_masked=True) == masked
    assert display_name(traits, fallback="u-1", is_masked=False) == open_
