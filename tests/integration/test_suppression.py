"""Whoever was erased doesn't come back by what sources go on to say of them, until they wish it themselves."""

import hashlib
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.errors import DomainError
from cdp.identity.models import SuppressedCount, Suppression
from cdp.identity.normalise import Identifier
from cdp.identity.suppression import lift, suppressed, without_values
from cdp.ingestion.models import InboxMessage, Quarantined, SourceKind
from cdp.ingestion.suppressed import dropped_lately
from cdp.pipeline import process_batch
from cdp.profiles.models import Event, Profile, TraitValue
from cdp.vault import rotation
from cdp.vault.ring import VaultUnusable, make_ring
from tests.factories import BY, Tracker, identify, person, process_all, track, tracker
from tests.integration.traces import tables_that_say

ANN = "ann-4711"
EMAIL = f"{ANN}@example.com"
DAY = timedelta(days=1)


@pytest.fixture
def shop(db: None) -> Tracker:
    shop = tracker()
    shop.send(identify(ANN, traits={"email": EMAIL}), track("Bought", ANN), track("Bought", "bob"))
    process_all()
    return shop


def erase() -> None:
    erased = erase_profile(profile=person(ANN), by=BY, reason="PR-1")
    assert erased is not None and erased.suppressed == 2
    process_all()


def test_what_names_nobody_else_is_dropped_counted_and_kept_nowhere(shop: Tracker) -> None:
    erase()
    people = Profile.objects.count()
    shop.send(track("Bought", ANN), identify(traits={"email": EMAIL}, userId=ANN), track("Bought", "bob"))
    report = process_all()
    assert (report.stored, report.suppressed, report.quarantined) == (1, 2, 0)
    assert Profile.objects.count() == people
    assert tables_that_say(ANN) == set()
    [count] = SuppressedCount.objects.all()
    assert (count.source_id, count.messages) == (shop.source_id, 2)
    shop.send(track("Bought", ANN))
    process_all()
    assert SuppressedCount.objects.get().messages == 3
    assert dropped_lately(shop.source_id, days=30) == 3 and dropped_lately(shop.source_id + 1, days=30) == 0
    assert not InboxMessage.objects.exists() and not Quarantined.objects.exists()


def test_only_a_keyed_digest_is_kept(shop: Tracker) -> None:
    erase()
    assert Suppression.objects.count() == 2
    assert {len(bytes(one.digest)) for one in Suppression.objects.all()} == {32}
    assert tables_that_say(ANN) == set()
    bare = {hashlib.sha256(text.encode()).digest() for text in (EMAIL, ANN, f"email\0{EMAIL}", f"email:{EMAIL}")}
    assert not bare & {bytes(one.digest) for one in Suppression.objects.all()}


def test_what_names_somebody_else_too_goes_on_without_them(shop: Tracker) -> None:
    """A new account on the same address: the address is left out, also of traits, properties and pages."""
    erase()
    said = identify(
        "cyd", traits={"email": EMAIL, "city": "Bern"}, context={"page": {"url": f"https://x.ch/?mail={EMAIL}"}}
    )
    sent = {"to": EMAIL.upper(), "of": ["tea", EMAIL]}
    shop.send(said, track("Bought", "cyd", properties=sent, context={"traits": {"email": EMAIL}}))
    report = process_all()
    assert (report.stored, report.suppressed) == (2, 0)
    cyd = person("cyd")
    assert set(cyd.identifiers.values_list("namespace", flat=True)) == {"user_id"}
    assert cyd.traits == {"city": "Bern"}
    assert tables_that_say(ANN) == set()
    flagged = Event.objects.filter(profile_id=cyd.pk, flags__contains=["identifier_suppressed"])
    assert flagged.count() == 2
    assert Event.objects.filter(profile_id=cyd.pk, properties={"of": ["tea"]}).exists()


def test_messages_that_cant_be_used_are_not_kept_of_them(shop: Tracker) -> None:
    erase()
    broken = track("", ANN, properties={"note": EMAIL})
    shop.send(broken, track("", "bob"))
    report = process_all()
    assert (report.quarantined, report.suppressed) == (1, 1)
    assert tables_that_say(ANN) == set()


def test_a_device_of_theirs_stays_silent_until_somebody_else_uses_it(db: None) -> None:
    shop, browser = tracker(), tracker(SourceKind.BROWSER)
    shop.send(identify(ANN, anonymousId=f"{ANN} phone", traits={"email": EMAIL}))
    process_all()
    erase_profile(profile=person(ANN), by=BY, reason="PR-1")
    process_all()
    browser.send(track("Looked", anonymousId=f"{ANN} phone"))
    assert process_all().suppressed == 1
    browser.send(track("Looked", "dan", anonymousId=f"{ANN} phone"))
    assert process_all().stored == 1
    assert list(person("dan").identifiers.values_list("namespace", flat=True)) == ["user_id"]
    assert tables_that_say(ANN) == set()


def test_who_wishes_to_come_back_does_and_the_log_says_not_who(shop: Tracker) -> None:
    erase()
    message = track("Bought", ANN)
    shop.send(message)
    assert process_all().suppressed == 1
    assert lift(namespace="user_id", value=f" {ANN} ", by=BY) is True
    assert lift(namespace="user_id", value=ANN, by=BY) is False
    shop.send(message)
    assert process_all().stored == 1, "what was dropped is no repeat"
    entries = AuditEntry.objects.filter(action="suppression.lifted").order_by("recorded_at")
    assert [entry.detail for entry in entries] == [
        {"namespace": "user_id", "was_suppressed": True}, {"namespace": "user_id", "was_suppressed": False}
    ]  # fmt: skip
    # The other identifier is still left out; whoever is known counts, whatever is suppressed.
    shop.send(identify(ANN, traits={"email": EMAIL}))
    process_all()
    assert set(person(ANN).identifiers.values_list("namespace", flat=True)) == {"user_id"}
    with pytest.raises(DomainError):
        lift(namespace="email", value="no address", by=BY)


def test_a_new_master_key_forgets_nobody(shop: Tracker, settings: Any, tmp_path: Path) -> None:
    settings.VAULT_KEY_FILE = str(tmp_path / "keys.json")
    make_ring(Path(settings.VAULT_KEY_FILE))
    erase()
    rotation.rotate(Path(settings.VAULT_KEY_FILE), by=BY)
    rotation.retire(Path(settings.VAULT_KEY_FILE), by=BY)
    assert suppressed([Identifier("email", EMAIL), Identifier("email", "b@example.com")]) == {
        Identifier("email", EMAIL)
    }


def test_another_ring_lets_nobody_back_unnoticed(shop: Tracker, settings: Any, tmp_path: Path) -> None:
    """Whoever lost the file and made a new one would let everybody back who was ever erased."""
    erase()
    settings.VAULT_KEY_FILE = str(tmp_path / "another.json")
    make_ring(Path(settings.VAULT_KEY_FILE))
    shop.send(identify(ANN, traits={"email": EMAIL}))
    with pytest.raises(VaultUnusable, match="lasting secret"), transaction.atomic():
        process_batch()
    assert InboxMessage.objects.count() == 1, "it waits for the right one"
    with pytest.raises(VaultUnusable), transaction.atomic():
        erase_profile(profile=person("bob"), by=BY, reason="PR-2")
    with pytest.raises(VaultUnusable), transaction.atomic():
        lift(namespace="email", value=EMAIL, by=BY)


def test_without_the_key_nothing_is_erased_and_nobody_is_let_in(shop: Tracker, settings: Any, tmp_path: Path) -> None:
    file, settings.VAULT_KEY_FILE = settings.VAULT_KEY_FILE, str(tmp_path / "none.json")
    with pytest.raises(VaultUnusable), transaction.atomic():
        erase_profile(profile=person(ANN), by=BY, reason="PR-1")
    assert person(ANN).traits["email"] == EMAIL
    settings.VAULT_KEY_FILE = file
    erase()
    settings.VAULT_KEY_FILE = str(tmp_path / "none.json")
    shop.send(track("Bought", "somebody new"))
    with pytest.raises(VaultUnusable), transaction.atomic():
        process_batch()
    assert InboxMessage.objects.count() == 1 and not Quarantined.objects.exists(), "it waits, and is nobody's fault"


def test_while_nobody_is_suppressed_it_costs_one_short_question(shop: Tracker) -> None:
    shop.send(*(track("Bought", f"user {n}") for n in range(50)))
    with connection.execute_wrapper(lambda execute, *call: execute(*call)):
        connection.force_debug_cursor = True
        before = len(connection.queries_log)
        process_batch()
        asked = [q["sql"] for q in list(connection.queries_log)[before:] if "suppress" in q["sql"]]
        connection.force_debug_cursor = False
    question = "SELECT EXISTS (SELECT FROM identity_suppression), (SELECT digest FROM identity_suppressionmark)"
    assert asked == [question]


def test_whoever_is_erased_while_a_batch_waits_for_them_does_not_come_back_by_it(own_database: Any) -> None:
    """The batch has read who they are before the erasure commits; then they are gone, and suppressed."""
    shop = tracker()
    shop.send(identify(ANN, traits={"email": EMAIL}))
    process_all()
    shop.send(track("Bought", ANN))
    reports: list[Any] = []

    def consume() -> None:
        try:
            reports.append(process_batch())
        finally:
            connection.close()

    with transaction.atomic():
        # Whoever erases has taken what waits; this came an instant later.
        waiting = list(InboxMessage.objects.values_list("pk", flat=True))
        erased = erase_profile(profile=person(ANN), by=BY, reason="PR-1")
        assert erased is not None and erased.waiting == 1 and waiting
        shop_again = threading.Thread(target=consume)
        shop_again.start()
        shop_again.join(timeout=0.5)
    shop_again.join()
    shop.send(track("Bought", ANN))
    process_all()
    assert not Profile.objects.exists() and not TraitValue.objects.exists()
    assert tables_that_say(ANN) == set()


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ({"a": EMAIL, "b": 1}, {"b": 1}),
        ({"a": [EMAIL, "x", {"c": f"to {EMAIL}!"}]}, {"a": ["x", {}]}),
        ({EMAIL: True, "ok": True}, {"ok": True}),
        ({"id": 4711, "flag": False, "none": None}, {"flag": False, "none": None}),
    ],
)
def test_values_are_taken_out_wherever_they_stand(said: Any, left: Any) -> None:
    assert without_values(said, [Identifier("email", EMAIL), Identifier("crm", "4711")]) == left
