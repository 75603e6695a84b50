"""Signed links: each opens one kind of page, until it ends, and nothing else opens any."""

import random
import string
import time
from uuid import UUID, uuid4

import pytest
from django.test import override_settings

from consent.links import Kind, LinkEnded, LinkUnknown, NoPublicAddress, absolute, read, token

SOMEBODY = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
DAY = 86_400


@pytest.mark.parametrize("kind", Kind)
def test_a_link_names_what_it_was_made_for(kind: Kind) -> None:
    named = read(kind, token(kind, SOMEBODY, "marketing_email"))
    assert (named.uuid, named.about) == (SOMEBODY, "marketing_email")
    assert read(kind, token(kind, SOMEBODY)).about == ""


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("other", Kind)
def test_a_link_of_one_kind_opens_no_other(kind: Kind, other: Kind) -> None:
    if kind != other:
        with pytest.raises(LinkUnknown):
            read(other, token(kind, SOMEBODY))


def test_a_link_ends_and_one_to_unsubscribe_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    links = {kind: token(kind, SOMEBODY) for kind in Kind}
    long_ago = time.time() + 30 * DAY + 1
    monkeypatch.setattr(time, "time", lambda: long_ago)
    for kind in (Kind.PREFERENCES, Kind.IDENTITY):
        with pytest.raises(LinkEnded):
            read(kind, links[kind])
    assert read(Kind.UNSUBSCRIBE, links[Kind.UNSUBSCRIBE]).uuid == SOMEBODY
    assert read(Kind.CONFIRMATION, links[Kind.CONFIRMATION]).uuid == SOMEBODY, "its row says when it ends"


def test_every_single_changed_character_is_noticed() -> None:
    given = token(Kind.UNSUBSCRIBE, SOMEBODY, "sms")
    for place, character in enumerate(given):
        other = "A" if character != "A" else "B"
        with pytest.raises(LinkUnknown):
            read(Kind.UNSUBSCRIBE, given[:place] + other + given[place + 1 :])
    for cut in range(len(given)):
        with pytest.raises(LinkUnknown):
            read(Kind.UNSUBSCRIBE, given[:cut])


def hostile() -> list[str]:
    """500 strings that somebody may try: the usual ones, random ones, and pieces of a true link put together anew."""
    dice = random.Random(7)
    usual = ["", ".", "..", "a.b.c", "%00", "\x00", "../../etc/passwd", "' OR 1=1 --", "<script>", "💥" * 40, "\ud800",
             "A" * 10_000, "null", "{}", "0", str(SOMEBODY), "eyJhbGciOiJub25lIn0.e30.", "\u202e.\u202e.\u202e"]  # fmt: skip
    parts = token(Kind.PREFERENCES, SOMEBODY).split(".")
    mixed = [".".join(dice.choices(parts, k=dice.randint(1, 5))) for _ in range(150)]
    alphabet = string.ascii_letters + string.digits + "-_.:~%/\\"
    made_up = ["".join(dice.choices(alphabet, k=dice.randint(1, 320))) for _ in range(500 - len(usual) - len(mixed))]
    return [one for one in usual + mixed + made_up if one != ".".join(parts)]


def test_nothing_hostile_opens_anything() -> None:
    strings = hostile()
    assert len(strings) >= 490
    for given in strings:
        for kind in Kind:
            with pytest.raises(LinkUnknown):
                read(kind, given)


def test_links_tell_nothing_of_the_person_and_can_not_be_counted_through() -> None:
    given = token(Kind.PREFERENCES, SOMEBODY)
    assert str(SOMEBODY) not in given and SOMEBODY.hex not in given
    assert set(given) <= set(string.ascii_letters + string.digits + "-_.")
    signatures = {token(Kind.PREFERENCES, uuid4()).rpartition(".")[2] for _ in range(50)}
    assert len(signatures) == 50 and all(len(one) == 43 for one in signatures), "256 bits"


def test_a_link_outlives_a_change_of_the_key_while_the_old_one_is_named() -> None:
    with override_settings(SECRET_KEY="an-old-key-" + "0" * 50):
        given = token(Kind.UNSUBSCRIBE, SOMEBODY, "sms")
    with pytest.raises(LinkUnknown):
        read(Kind.UNSUBSCRIBE, given)
    with override_settings(SECRET_KEY_FALLBACKS=["an-old-key-" + "0" * 50]):
        assert read(Kind.UNSUBSCRIBE, given).uuid == SOMEBODY


def test_an_address_needs_to_know_where_people_reach_us() -> None:
    with override_settings(PUBLIC_URL="https://data.shop.example/"):
        assert absolute("/privacy/x/") == "https://data.shop.example/privacy/x/"
    with override_settings(PUBLIC_URL=""), pytest.raises(NoPublicAddress):
        absolute("/privacy/x/")
