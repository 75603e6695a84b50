"""Hostile texts in every field there is: no error of ours, no traceback, no markup, no line in a log, nothing that can't be read back.

The fields are found, not listed: from the description of the REST API, and by opening every screen. A new one is walked by itself, or
fails here for want of something to open it with. In each ordinary run every text meets every kind of field, and every field some of
them; `make drill` sends every text to every field, the other fields having others meanwhile.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.http import HttpResponse
from django.test import override_settings

from cdp.ingestion import keys
from cdp.profiles import catalogue
from segments import live
from tests.harness.harmless import Watch
from tests.harness.hostile import FAMILIES, HEADER, HOSTILE, JSON_VALUES, MARK, SEPARATOR, TAG, is_text
from tests.integration.hostile_rest import SHEET, AsItIs, Operation, Slot, operations
from tests.integration.hostile_screens import Screens, family, forms_of_ours
from tests.integration.hostile_world import Unknown, World, admin_parts, api_part, make_world

NOT_COUNTED = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}


class Deck:
    """Deals the texts to kinds of field: to each kind one after the other, until it has met all."""

    def __init__(self, texts: Sequence[str] = HOSTILE) -> None:
        self.texts = texts
        self.dealt: Counter[str] = Counter()

    def deal(self, kind: str) -> str:
        text = self.texts[(self.dealt[kind] + 37 * len(kind)) % len(self.texts)]
        self.dealt[kind] += 1
        return text

    def deal_for(self, kind: str) -> str:
        """The next, or for a file as many as go into its cells."""
        if kind not in (SHEET, "file"):
            return self.deal(kind)
        return SEPARATOR.join(self.deal(kind) for _ in range(40))

    def is_through(self, kind: str) -> bool:
        return self.dealt[kind] >= len(self.texts)


@pytest.fixture
def world(db: None) -> Iterator[World]:
    # All requests are in one transaction, and at its full figures it lasts 40 minutes.
    with override_settings(CACHES=NOT_COUNTED, PUBLIC_URL="https://data.shop.example", BATCH_SECONDS=7200):
        yield make_world()


@pytest.fixture
def watch() -> Iterator[Watch]:
    with Watch().watching() as watch:
        yield watch
    assert not watch.complaints, watch.told()


# ---- What is sent, and what would be seen ----------------------------------------------------------------------------


def test_the_corpus_has_five_hundred_texts_of_many_kinds() -> None:
    assert len(HOSTILE) >= 500 and len(FAMILIES) >= 12
    assert sum(not is_text(one) for one in HOSTILE) > 20 and max(map(len, HOSTILE)) == 100_000
    assert sum(MARK in one for one in HOSTILE) > 300, "what isn't marked isn't recognised"


def page(body: str, kind: str = "text/html", status: int = 200, **headers: str) -> HttpResponse:
    return HttpResponse(body, content_type=kind, status=status, headers=headers)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (page(f"<p><{TAG}></p>"), "an element"),
        (page(f'<input value="" onfocus="{MARK}()">'), "an attribute onfocus"),
        (page(f"<input value=x {MARK}>"), "an attribute"),
        (page(f"<a href='java\tscript:{MARK}()'>x</a><a href=' JavaScript:{MARK}()'>x</a>"), "leads to"),
        (page(f"<a href='//{MARK}.example'>x</a>"), "leads to"),
        (page(f"<script>let x = '{MARK}'</script>"), "a script in the page"),
        (page(f"<!-- {MARK} -->"), "a comment"),
        (page("Traceback (most recent call last): psycopg.errors.DataError", "text/plain", 500), "our insides"),
        (page(MARK, "text/plain"), "taken for something else"),
        (page("x", **{HEADER: "1"}), "a header that was sent in"),
        (page("x", status=500), "answered 500"),
    ],
)
def test_what_is_not_harmless_is_seen(answer: HttpResponse, complaint: str) -> None:
    with Watch().watching() as watch:
        watch.send("here", lambda: answer)
    assert any(complaint in wrong for _, wrong in watch.complaints), watch.told()


def test_what_is_harmless_is_let_by_and_what_is_logged_is_seen() -> None:
    def logs(text: str) -> HttpResponse:
        logging.getLogger("x").warning("somebody said %s", text)
        return page("x")

    harmless = page(
        f"<p title='&lt;{TAG}&gt; javascript:{MARK}()'>&lt;{TAG}&gt;</p><a href='/x?q=javascript:{MARK}()'>x</a>"
    )
    with Watch().watching() as watch:
        watch.send("here", lambda: harmless)
        assert not watch.complaints, watch.told()
        watch.send("there", lambda: logs(MARK))
        watch.send("elsewhere", lambda: logs("two\nlines"))
    assert {where for where, _ in watch.complaints} == {"there", "elsewhere"}


def test_an_address_that_nobody_can_open_is_named(world: World) -> None:
    with pytest.raises(Unknown, match="robots"):
        api_part(world, "/api/v1/robots/{serial}/", "serial")
    with pytest.raises(Unknown, match="consent_purpose_merge"):
        admin_parts(world, "consent_purpose_merge", {"pk", "other"})


# ---- REST ------------------------------------------------------------------------------------------------------------


def ask(watch: Watch, world: World, operation: Operation, given: dict[Slot, Any], *, body: int = 0) -> None:
    where = f"{operation} {next(iter(given)) if len(given) == 1 else ''}"
    sent = "; ".join(f"{slot}={str(value)!r:.80}" for slot, value in given.items())
    before = transaction.savepoint()
    watch.send(where, lambda: operation.send(world, given, body=body), sent)
    transaction.savepoint_rollback(before)
    transaction.savepoint_commit(before)  # let go of, else they pile up
    if operation.method != "get":
        for module in (catalogue, keys, live):
            module.forget()


def test_rest_takes_every_text_in_every_kind_of_place(
    world: World, watch: Watch, drill_scale: Callable[..., int]
) -> None:
    """Each request has another text in each of its places; then each place has some for itself, the others being right."""
    deck, values = Deck(), Deck(JSON_VALUES)
    walked = operations(world)
    kinds = {slot.kind for one in walked for slot in one.slots}
    while not all(map(deck.is_through, kinds)):
        for one in walked:
            fresh = [slot for slot in one.slots if not deck.is_through(slot.kind)]
            # What stands deeper would take the place of what stands above it.
            leaves = [slot for slot in fresh if not any(is_above(slot, other) for other in fresh)]
            if leaves:
                ask(watch, world, one, {slot: deck.deal_for(slot.kind) for slot in leaves})
    for one in walked:
        leaves = [slot for slot in one.slots if not any(is_above(slot, other) for other in one.slots)]
        for turn in range(drill_scale(full=len(HOSTILE), quick=0)):
            ask(watch, world, one, {slot: each(turn + place) for place, slot in enumerate(leaves)}, body=turn)
        for slot in one.slots:
            ask(watch, world, one, {slot: deck.deal("alone")}, body=deck.dealt["alone"])
            if slot.where == "body" and slot.kind != SHEET:
                ask(watch, world, one, {slot: AsItIs(values.deal("value"))}, body=values.dealt["value"])


def each(turn: int) -> str:
    return HOSTILE[turn % len(HOSTILE)]


def is_above(slot: Slot, other: Slot) -> bool:
    above, below = slot.place, other.place
    return slot.where == other.where == "body" and len(above) < len(below) and below[: len(above)] == above


# ---- Screens ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def screens(world: World, watch: Watch) -> Iterator[Screens]:
    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, "tests.harness.listening.Listening"]):
        screens = Screens(world, watch)
        screens.explore()
        yield screens


def test_screens_take_every_text_in_every_kind_of_field(screens: Screens, drill_scale: Callable[..., int]) -> None:
    deck = Deck()
    entries = list(screens.entries.values())
    kinds = {family(one.method, field) for one in entries for field in one.fields.values()}
    assert kinds == {"GET", "POST text", "POST typed", "file"}
    while not all(map(deck.is_through, kinds)):
        for one in entries:
            dealt = {name: family(one.method, field) for name, field in one.fields.items()}
            if not all(map(deck.is_through, dealt.values())):
                screens.send(one, {name: deck.deal_for(kind) for name, kind in dealt.items()})
    for one in entries:
        for turn in range(drill_scale(full=len(HOSTILE), quick=0)):
            screens.send(one, {name: each(turn + place) for place, name in enumerate(one.fields)})
        for name in list(one.fields):
            screens.send(one, {name: deck.deal("alone")})
    missing = {
        kind.__qualname__: sorted(set(kind.base_fields) - screens.filled.get(kind, set())) for kind in forms_of_ours()
    }
    assert not {name: fields for name, fields in missing.items() if fields}, "forms that no screen was seen to fill"
