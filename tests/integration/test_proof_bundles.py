"""Proof bundles: an outsider checks them without us, and whoever changes any of their files is found out by name."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from cdp.audit.anchors import anchor_due
from cdp.audit.check_held import after
from cdp.audit.check_proof import check, main, read
from cdp.audit.models import AuditEntry, Head
from cdp.audit.sequencing import sequence
from cdp.audit.signing import Signer, load_signer, make_key
from cdp.errors import Conflict
from cdp.identity.merging import merge_profiles, undo_merge
from consent import stops
from consent.models import ConsentRecord, ConsentStop, Decision, Method, Notice, Purpose, StopKind
from consent.notices import Content, Told, publish, serve
from consent.proofs.bundle import make_bundle
from consent.services import Shown, record_decisions
from tests.factories import BY, identify, person, process_all, tracker

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
EMAIL = "marketing_email"
NOTHING = Shown()


@pytest.fixture
def signer(tmp_path: Path, settings: Any) -> Signer:
    settings.AUDIT_ANCHOR_DIR = str(tmp_path / "anchors")
    settings.AUDIT_ANCHOR_SECONDS = 0
    settings.AUDIT_KEY = str(tmp_path / "key.pem")
    settings.AUDIT_ORIGIN = "test.example/audit"
    make_key(tmp_path / "key.pem")
    return load_signer(tmp_path / "key.pem", name="test.example/audit")


def words(text: str = "We write to you once a week.") -> Content:
    told = (Told(key=EMAIL, label="Marketing email", text=text),)
    return Content(
        title="Your choice", text=text, purposes=told, accept="Yes", reject="No", choose="Choose", save="Save"
    )


def people() -> None:
    shop = tracker()
    shop.send(*(identify(user, traits={"email": f"{user}@example.com"}, ago=30 * DAY) for user in ("ann", "bob")))
    process_all()


def say(user: str, decision: Decision, at: datetime, shown: Shown = NOTHING) -> None:
    record_decisions(
        profile=person(user), decisions={Purpose.objects.get(key=EMAIL): decision}, method=Method.FORM, at=at, by=BY,
        shown=shown, jurisdiction="EU",
    )  # fmt: skip


@pytest.fixture
def now(signer: Signer) -> datetime:
    """Ann said yes on a text that was shown, and took it back; the log was anchored between."""
    people()
    notice = Notice.objects.create(key="newsletter", label="Newsletter")
    version = publish(notice=notice, locale="en", content=words(), by=BY)
    now = timezone.now()
    served = serve(version=version, place="https://shop.example/join?email=ann@example.com", served_at=now - 6 * DAY)
    say("ann", Decision.GRANTED, now - 5 * DAY, Shown(version_id=version.pk, served_id=served.pk))
    sequence(signer)
    assert anchor_due(signer.key) == 1
    say("ann", Decision.WITHDRAWN, now - 2 * DAY)
    say("bob", Decision.GRANTED, now - 2 * DAY)
    sequence(signer)
    return now


def bundle(user: str, at: datetime, **more: Any) -> bytes:
    pk = person(user).pk
    made = make_bundle(profile_id=pk, inside=[], purpose=Purpose.objects.get(key=EMAIL), at=at, by=BY, **more)
    return made.content


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_proves_what_held_on_each_date(now: datetime, signer: Signer) -> None:
    for days, verdict in ((6, "NOT PERMITTED"), (4, "PERMITTED"), (1, "NOT PERMITTED")):
        found = check(unzipped(bundle("ann", now - days * DAY)), keys=[signer.key], saved=[Head.objects.get().note])
        assert found.wrong == []
        assert found.verdict.startswith(f"{EMAIL} was {verdict} by {person('ann').uuid} at ")
        assert any("was anchored" in line for line in found.proved)
        assert any("that you saved" in line for line in found.proved)
        assert sum("entry" in line for line in found.proved) == 2
        assert found.notes == []


def test_it_proves_what_was_known_then(now: datetime, signer: Signer) -> None:
    before = ConsentRecord.objects.get(decision="withdrawn").recorded_at - timedelta(milliseconds=1)
    found = check(unzipped(bundle("ann", now - DAY, known_at=before)), keys=[signer.key])
    assert found.is_valid and " was PERMITTED by " in found.verdict and "by what was known at" in found.verdict


def test_it_holds_nobody_elses_decisions_and_no_address(now: datetime) -> None:
    content = bundle("ann", now)
    assert str(person("bob").uuid).encode() not in content
    assert b"ann@example.com" not in content
    assert b"https://shop.example/join" in content


def test_the_same_records_and_checkpoint_give_the_same_bytes(now: datetime) -> None:
    assert bundle("ann", now - DAY) == bundle("ann", now - DAY)


def test_taking_one_is_audited(now: datetime) -> None:
    bundle("ann", now - DAY)
    entry = AuditEntry.objects.get(action="consent.proof_taken")
    assert (entry.object_id, entry.purpose, entry.detail["records"]) == (str(person("ann").uuid), EMAIL, 2)


# ---- Stops ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def during(now: datetime, signer: Signer) -> datetime:
    """A moment at which Bob, who had said yes, was under restriction; it was lifted since."""
    stops.stop(profile=person("bob"), kind=StopKind.RESTRICTION, by=BY, why="PR-7")
    during = timezone.now()
    stops.lift(profile=person("bob"), kind=StopKind.RESTRICTION, by=BY)
    sequence(signer)
    return during


def test_a_stop_that_stood_is_proved_by_the_log(during: datetime, signer: Signer) -> None:
    files = unzipped(bundle("bob", during))
    found = check(files, keys=[signer.key])
    assert (found.wrong, found.notes) == ([], [])
    assert " was NOT PERMITTED by " in found.verdict and "halted for them (restriction)" in found.verdict
    assert [line.split(",")[1].split()[0] for line in found.proved if line.startswith("halted")] == ["began", "ended"]
    [told] = json.loads(files["stops.json"])
    assert {f"entries/{told['began']}.json", f"entries/{told['ended']}.json"} <= files.keys()
    assert b"Use was halted for them then" in files["README.txt"]
    for at, verdict in ((during - DAY, " was PERMITTED by "), (timezone.now(), " was PERMITTED by ")):
        found = check(unzipped(bundle("bob", at)), keys=[signer.key])
        assert found.is_valid and verdict in found.verdict, "before it and since"
    found = check(unzipped(bundle("bob", timezone.now(), known_at=during)), keys=[signer.key])
    assert found.is_valid and "NOT PERMITTED" in found.verdict, "nobody knew yet that it would be lifted"


def test_a_stop_that_reaches_other_purposes_is_none_of_this_one(now: datetime, signer: Signer) -> None:
    stops.stop(profile=person("bob"), kind=StopKind.LEGITIMATE_INTERESTS, by=BY)
    sequence(signer)
    files = unzipped(bundle("bob", timezone.now()))
    assert json.loads(files["stops.json"]) == [] and " PERMITTED" in check(files, keys=[signer.key]).verdict


def test_a_stop_is_refused_until_the_log_proves_it(now: datetime, signer: Signer) -> None:
    at = timezone.now()
    stops.stop(profile=person("bob"), kind=StopKind.RESTRICTION, by=BY)
    assert check(unzipped(bundle("bob", at)), keys=[signer.key]).is_valid, "of before it nothing rests on it"
    with pytest.raises(Conflict) as refused:
        bundle("bob", timezone.now())
    assert refused.value.code == "not_sealed_yet"
    sequence(signer)
    assert "NOT PERMITTED" in check(unzipped(bundle("bob", timezone.now())), keys=[signer.key]).verdict
    ConsentStop.objects.create(profile_id=person("ann").pk, kind=StopKind.RESTRICTION)  # of which the log knows nothing
    with pytest.raises(Conflict) as refused:
        bundle("ann", timezone.now())
    assert refused.value.code == "not_provable"


def test_a_stop_that_a_merge_carried_is_proved_for_who_survived(now: datetime, signer: Signer) -> None:
    stops.stop(profile=person("ann"), kind=StopKind.RESTRICTION, by=BY)
    merge = merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="email", by=BY)
    sequence(signer)
    inside, purpose = [merge.survivor_id, merge.absorbed_id], Purpose.objects.get(key=EMAIL)
    for profile_id in inside:
        made = make_bundle(profile_id=profile_id, inside=inside, purpose=purpose, at=timezone.now(), by=BY)
        found = check(unzipped(made.content), keys=[signer.key])
        assert found.wrong == [] and "NOT PERMITTED" in found.verdict
        assert sum(line.startswith("halted") for line in found.proved) == 3


# ---- Whoever changes something -------------------------------------------------------------------------------------


def test_a_changed_byte_is_found_in_each_file_by_its_name(now: datetime, signer: Signer) -> None:
    files = unzipped(bundle("ann", now - 4 * DAY))
    named = {"README.txt", "check.py", "held.py", "verify.py", "ed25519.py", "claim.json", "records.json", "stops.json"}
    assert named | {"anchored.txt"} <= files.keys()
    for name, content in files.items():
        middle = len(content) // 2
        other = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        wrong = check({**files, name: other}, keys=[signer.key]).wrong
        assert [one for one in wrong if one.startswith(f"{name}:")], (name, wrong)
        without = {one: value for one, value in files.items() if one != name}
        wrong = check(without, keys=[signer.key]).wrong
        assert [one for one in wrong if one.startswith(f"{name}:")], (name, wrong)
    wrong = check({**files, "more.txt": b"more"}, keys=[signer.key]).wrong
    assert wrong == ["more.txt: it isn't one of the files that were put into the bundle"]


def signed_anew(files: dict[str, bytes], signer: Signer) -> bytes:
    from consent.proofs.bundle import _zipped

    return _zipped({name: content for name, content in files.items() if name != "MANIFEST.txt"}, signer)


Forge = Callable[[dict[str, bytes]], None]


def _edit(name: str, change: Callable[[Any], None]) -> Forge:
    def forge(files: dict[str, bytes]) -> None:
        value = json.loads(files[name])
        change(value)
        files[name] = json.dumps(value).encode()

    return forge


def _entry_says_otherwise(files: dict[str, bytes]) -> None:
    for name in [one for one in files if one.startswith("entries/")]:
        files[name] = files[name].replace(b"consent.withdrawn", b"consent.granted!!")


FORGERIES: dict[str, tuple[Forge, str]] = {
    "a withdrawal becomes a yes": (_edit("records.json", lambda records: records[1].update(decision="granted")), "records.json"),
    "it was said later": (
        _edit("records.json", lambda records: records[1].update(collected_at="2030-01-01T00:00:00.000000Z")), "records.json"),
    "it was learned earlier": (
        _edit("records.json", lambda records: records[1].update(recorded_at="2020-01-01T00:00:00.000000Z")), "records.json"),
    "another person": (_edit("records.json", lambda records: records[0].update(person="0")), "records.json"),
    "other words": (_edit("records.json", lambda records: records[0].update(notice="0" * 64)), "records.json"),
    "it lasts longer": (_edit("records.json", lambda records: records[0].update(expires_at="2099")), "records.json"),
    "a record without its entry": (_edit("records.json", lambda records: records[1].update(entry=None)), "records.json"),
    "it was another's": (_edit("records.json", lambda records: records[1].update(profile=0)), "records.json"),
    "learned in another order": (
        _edit("records.json", lambda records: (records[0].update(order=1), records[1].update(order=0))), "records.json"),
    "left out, its entry not": (_edit("records.json", lambda records: records.pop()), "records.json"),
    "a claim about another": (_edit("claim.json", lambda claim: claim.update(person="0")), "claim.json"),
    "a claim of more": (_edit("claim.json", lambda claim: claim.update(permits=not claim["permits"])), "claim.json"),
    "another moment": (_edit("claim.json", lambda claim: claim.update(at="2000-01-01T00:00:00.000000Z")), "claim.json"),
    "shown at another time": (_edit("served.json", lambda served: served[0].update(served_at="2020")), "served.json"),
    "never shown": (_edit("served.json", lambda served: served.clear()), "served.json"),
    "a shorter path": (_edit("proofs.json", lambda proofs: proofs[0]["path"].pop()), "proofs.json"),
    "another path": (_edit("proofs.json", lambda proofs: proofs[0]["path"].insert(0, proofs[0]["path"].pop())), "entries/"),
    "another place": (_edit("proofs.json", lambda proofs: proofs[0].update(index=0)), "entries/"),
    "another entry": (_entry_says_otherwise, "entries/"),
    "no consistency": (_edit("consistency.json", lambda path: path.clear()), "consistency.json"),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forger_who_signs_the_list_of_files_anew_is_found_out_by_the_log(
    now: datetime, signer: Signer, forgery: str
) -> None:
    """Even by whoever holds the key that signs the list, as long as the log's root stands."""
    files = unzipped(bundle("ann", now - DAY))
    forge, named = FORGERIES[forgery]
    forge(files)
    wrong = check(unzipped(signed_anew(files, signer)), keys=[signer.key]).wrong
    assert [one for one in wrong if one.startswith(named)], wrong
    assert not [one for one in wrong if one.startswith("MANIFEST")]


STOP_FORGERIES: dict[str, tuple[Forge, str]] = {
    "it never was": (lambda files: files.update({"stops.json": b"[]"}), "records.json"),
    "it was lifted before": (_edit("stops.json", lambda found: found[0].update(lifted_at=found[0]["since"])), "stops.json"),
    "it began later": (_edit("stops.json", lambda found: found[0].update(since="2030-01-01T00:00:00.000000Z")), "stops.json"),
    "it was of another kind": (_edit("stops.json", lambda found: found[0].update(kind="profiling")), "stops.json"),
    "it was another's": (_edit("stops.json", lambda found: found[0].update(person="0")), "stops.json"),
    "of another number": (_edit("stops.json", lambda found: found[0].update(profile=0)), "records.json"),
    "without its entries": (
        _edit("stops.json", lambda found: found[0].update(began=None, ended=None, lifted_at=None)), "stops.json"),
    "nothing was halted": (_edit("claim.json", lambda claim: claim.update(is_stopped=False, permits=True)), "claim.json"),
}  # fmt: skip


@pytest.mark.parametrize("forgery", STOP_FORGERIES)
def test_a_stop_that_was_forged_is_found_out_by_the_log(during: datetime, signer: Signer, forgery: str) -> None:
    files = unzipped(bundle("bob", during))
    forge, named = STOP_FORGERIES[forgery]
    forge(files)
    wrong = check(unzipped(signed_anew(files, signer)), keys=[signer.key]).wrong
    assert [one for one in wrong if one.startswith(named)], wrong


def test_another_log_is_not_the_one_that_was_kept(now: datetime, tmp_path: Path) -> None:
    make_key(tmp_path / "other.pem")
    other = load_signer(tmp_path / "other.pem", name="test.example/audit")
    found = check(unzipped(bundle("ann", now)), keys=[other.key])
    assert "checkpoint.txt: it isn't signed by a key you gave" in found.wrong


# ---- On a judge's machine ------------------------------------------------------------------------------------------


def test_it_is_checked_by_what_lies_in_it_alone(now: datetime, tmp_path: Path) -> None:
    (tmp_path / "proof.zip").write_bytes(bundle("ann", now - 4 * DAY))
    with zipfile.ZipFile(tmp_path / "proof.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    # Where it lies unpacked, or as a zip; the second time by Python alone, without any package that is installed here.
    bare = [str(Path(sys.executable).resolve()), "-I", "-S"]
    for program, *arguments in (["unpacked/check.py", "proof.zip"], ["unpacked/check.py"]):
        for python in ([sys.executable, "-I"], bare):
            ran = subprocess.run(
                [*python, program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
                env={"PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
            )  # fmt: skip
            assert ran.returncode == 0, ran.stderr + ran.stdout
            assert f"VALID: {EMAIL} was PERMITTED" in ran.stdout
            assert "The public key came with the bundle" in ran.stdout
    records = tmp_path / "unpacked/records.json"
    records.write_text(records.read_text().replace("withdrawn", "granted"))
    assert main([str(tmp_path / "unpacked")]) == 1
    (tmp_path / "no.zip").write_text("no zip")
    assert main([str(tmp_path / "no.zip")]) == 2
    assert set(read(tmp_path / "proof.zip")) == set(unzipped((tmp_path / "proof.zip").read_bytes()))


# ---- What can't be proved ------------------------------------------------------------------------------------------


def test_what_waits_for_its_place_is_refused_until_it_has_one(now: datetime, signer: Signer) -> None:
    say("ann", Decision.GRANTED, now - DAY)
    with pytest.raises(Conflict) as refused:
        bundle("ann", now)
    assert refused.value.code == "not_sealed_yet"
    sequence(signer)
    assert check(unzipped(bundle("ann", now)), keys=[signer.key]).is_valid


def test_without_a_key_nothing_is_proved(now: datetime, settings: Any) -> None:
    settings.AUDIT_KEY = ""
    with pytest.raises(Conflict) as refused:
        bundle("ann", now)
    assert refused.value.code == "log_not_signed"


def test_what_a_merge_decided_is_proved_like_any_other(now: datetime, signer: Signer) -> None:
    merge = merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="email", by=BY)
    sequence(signer)
    inside = [merge.survivor_id, merge.absorbed_id]
    made = make_bundle(
        profile_id=merge.survivor_id, inside=inside, purpose=Purpose.objects.get(key=EMAIL), at=timezone.now(), by=BY
    )
    files = unzipped(made.content)
    found = check(files, keys=[signer.key])
    assert found.is_valid, found.wrong
    assert "NOT PERMITTED" in found.verdict
    records = json.loads(files["records.json"])
    assert {record["profile"] for record in records} == set(inside)
    assert all(record["entry"] for record in records), "those of the absorbed, too"
    became = next(place for place, record in enumerate(records) if record["method"] == "merge")
    _edit("records.json", lambda rows: rows[became]["evidence"].update(newest="2000-01-01T00:00:00+00:00"))(files)
    wrong = check(unzipped(signed_anew(files, signer)), keys=[signer.key]).wrong
    assert [one for one in wrong if one.startswith("records.json") and "newest" in one], (
        "how new its words were is proved"
    )
    undo_merge(merge=merge, by=BY)
    sequence(signer)
    assert check(unzipped(bundle("bob", timezone.now())), keys=[signer.key]).is_valid


def test_the_audit_entry_says_all_of_the_record_and_nothing_of_the_person(now: datetime) -> None:
    record = ConsentRecord.objects.select_related("notice_version").get(decision="granted", served__isnull=False)
    entry = AuditEntry.objects.get(detail__record=str(record.uuid))
    assert entry.detail["notice"] == record.notice_version.sha256  # type: ignore[union-attr]
    assert entry.detail["served"] == str(record.served_id)
    assert entry.detail.keys() == {
        "record", "reach", "method", "collected_at", "recorded_at", "notice", "served", "served_at", "jurisdiction",
    }  # fmt: skip
    assert b"example.com" not in bytes(entry.envelope)


# ---- What holds, by the checker alone ------------------------------------------------------------------------------


def test_the_checker_follows_words_as_they_were_recorded() -> None:
    def said(day: int, decision: str, method: str = "form", **more: Any) -> dict[str, Any]:
        return {"collected_at": f"2026-03-{day:02}T00:00:00.000000Z", "decision": decision, "method": method,
                "expires_at": None, **more}  # fmt: skip

    def holds(*records: dict[str, Any]) -> str | None:
        held = None
        for one in records:
            held = after(held, one)
        return held["record"]["decision"] if held else None

    assert holds() is None
    assert holds(said(2, "granted"), said(1, "denied")) == "granted", "an older no comes late"
    assert holds(said(1, "denied"), said(1, "granted")) == "denied", "of two at one moment the stricter"
    assert holds(said(1, "granted"), said(1, "withdrawn")) == "withdrawn"
    assert holds(said(1, "granted"), said(3, "granted", "repeated"), said(2, "withdrawn")) == "granted"
    assert holds(said(1, "granted"), said(2, "pending")) == "granted", "what waits to be confirmed changes nothing"
    assert holds(said(5, "denied"), said(3, "granted", "merge")) == "granted", "it stands in place of what was before"
    assert holds(said(5, "granted"), said(3, "pending", "merge")) is None
    newest = {"newest": "2026-03-09T00:00:00+00:00"}
    assert holds(said(3, "granted", "merge", evidence=newest), said(6, "granted")) == "granted"
    assert holds(said(3, "denied", "merge"), said(6, "granted")) == "granted"
