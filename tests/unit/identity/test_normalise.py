"""Which values identify somebody, and how they are written alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.identity.normalise import MAX_LENGTH, Identifier, Unusable, names_a_person, normalise


@pytest.mark.parametrize(
    ("namespace", "raw", "value"),
    [
        ("user_id", "u-1", "u-1"),
        ("user_id", "  u-1 ", "u-1"),
        ("user_id", 42, "42"),
        ("user_id", 42.0, "42"),
        ("user_id", "Ann", "Ann"),  # ids are told apart by case
        ("email", " Ann@Example.COM ", "ann@example.com"),
        ("phone", "+41 44 668 18 00", "+41 44 668 18 00"),
        ("anonymous_id", "0b1c-0000", "0b1c-0000"),
        ("crm.id", "x" * MAX_LENGTH, "x" * MAX_LENGTH),
    ],
)
def test_identifiers_are_written_alike(namespace: str, raw: object, value: str) -> None:
    assert normalise(namespace, raw) == Identifier(namespace, value)


@pytest.mark.parametrize(
    ("namespace", "raw", "reason"),
    [
        *(
            ("user_id", blocked, "identifier_blocked")
            for blocked in (
                "", " ", "null", "NULL", "Undefined", "none", "anonymous", "-1", -1, 0, "0", "000000",
                "00000000-0000-0000-0000-000000000000", "{00000000-0000-0000-0000-000000000000}", "0.0", "NaN",
                "[object Object]", "n/a", "Guest", "true", "a\x00b",
            )
        ),
        ("email", "test@test.com", "identifier_blocked"),
        ("user_id", True, "identifier_wrong_type"),
        ("user_id", 1.5, "identifier_wrong_type"),
        ("user_id", ["u"], "identifier_wrong_type"),
        ("user_id", {"id": "u"}, "identifier_wrong_type"),
        ("user_id", None, "identifier_wrong_type"),
        ("user_id", "x" * (MAX_LENGTH + 1), "identifier_too_long"),
        ("email", "ann", "identifier_not_an_email"),
        ("email", "ann@home", "identifier_not_an_email"),
        ("email", "a@b@c.org", "identifier_not_an_email"),
        ("email", "x<ann@example.com>", "identifier_not_an_email"),
        ("email", "bob,ann@example.com", "identifier_not_an_email"),
        ("email", "ann\x1f@example.com", "identifier_not_an_email"),
        ("email", f"a@{'İ' * 500}.ch", "identifier_too_long"),
        ("User Id", "u", "identifier_namespace"),
        ("x" * 51, "u", "identifier_namespace"),
        ("", "u", "identifier_namespace"),
    ],
)  # fmt: skip
def test_what_identifies_nobody_is_refused(namespace: str, raw: object, reason: str) -> None:
    with pytest.raises(Unusable) as refused:
        normalise(namespace, raw)
    assert refused.value.reason == reason


JSON_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


@given(st.sampled_from(["user_id", "email", "anonymous_id", "phone"]), JSON_VALUES)
def test_normalising_twice_changes_nothing(namespace: str, raw: object) -> None:
    try:
        once = normalise(namespace, raw)
    except Unusable:
        return
    assert normalise(namespace, once.value) == once


def test_a_person_is_known_by_anything_but_a_devices_number() -> None:
    named = {
        namespace for namespace in ("user_id", "email", "phone", "crm.id", "anonymous_id") if names_a_person(namespace)
    }
    assert named == {"user_id", "email", "phone", "crm.id"}
