"""Checks a proof bundle of one consent without trusting whoever made it. No Django: it needs Python 3.11, and nothing else.

    python3 -I check.py [--key KEYS] [--checkpoint SAVED] [BUNDLE.zip]

It stands beside `verify.py` (the verifier of whole logs), whose hashes, paths and signatures it uses. What a bundle has in it is
made by `consent.proofs`; what it can't prove is said in the bundle's README.
"""

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

try:
    from cdp.audit.check_held import newest_of, what_held
    from cdp.audit.verify import Checkpoint, Key, leaf_hash, node_hash, open_note, root_of_inclusion, signed_text
except (
    ModuleNotFoundError
):  # unpacked from a bundle, with the verifier beside it; `python -I` doesn't look there by itself
    sys.path.append(str(Path(__file__).resolve().parent))
    from held import newest_of, what_held  # type: ignore[import-not-found,no-redef]
    from verify import (  # type: ignore[import-not-found,no-redef]
        Checkpoint,
        Key,
        leaf_hash,
        node_hash,
        open_note,
        root_of_inclusion,
        signed_text,
    )

FORM: Final = "consent-proof-bundle/1"
MANIFEST: Final = "MANIFEST.txt"
# What a record says, that its audit entry says as well.
SAID_TWICE: Final = ("reach", "method", "collected_at", "recorded_at", "expires_at", "notice", "served", "jurisdiction")
# What became of a stop, in the words of the log; and what the entry says of it.
OF_STOPS: Final = {
    "began": ({"consent.stopped"}, ("stop", "kind", "since")),
    "ended": ({"consent.stop_lifted", "consent.stop_followed"}, ("stop", "kind", "since", "lifted_at")),
}


@dataclass(slots=True)
class Found:
    """What came of a check. ``wrong`` names the file of each thing that isn't right; ``notes`` is what to bear in mind."""

    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    proved: list[str] = field(default_factory=list)
    verdict: str = ""

    @property
    def is_valid(self) -> bool:
        return not self.wrong

    def add(self, file: str, what: str) -> None:
        self.wrong.append(f"{file}: {what}")


Files = Mapping[str, bytes]
T = TypeVar("T")


def read(path: Path) -> dict[str, bytes]:
    """The files of a bundle, zipped or unpacked.

    Raises:
        ValueError: it is neither.
    """
    if path.is_dir():
        files = (one for one in path.rglob("*") if one.is_file() and "__pycache__" not in one.parts)
        return {str(one.relative_to(path)): one.read_bytes() for one in files}
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{path.name} is no bundle: {error}") from None


def check(files: Files, *, keys: Sequence[Key] = (), saved: Sequence[str] = ()) -> Found:
    """Everything that a bundle lets one check.

    Args:
        keys: that were given by another way than this bundle; its own are used where there are none, and said to be.
        saved: signed checkpoints that the reader kept.
    """
    found = Found()
    if not keys:
        keys = _guarded(found, "keys.txt", lambda: _keys(files)) or ()
        found.notes.append("The public key came with the bundle: compare it with one you were given by another way.")
    _check_manifest(files, keys, found)
    checkpoint = _guarded(found, "checkpoint.txt", lambda: open_note(_text(files, "checkpoint.txt"), keys))
    if checkpoint is not None:
        _check_anchor(files, keys, checkpoint, saved, found)
    entries = _guarded(found, "proofs.json", lambda: _entries(files, checkpoint, found)) or {}
    notices = _check_notices(files, found)
    served = _guarded(found, "served.json", lambda: {one["id"]: one for one in _json(files, "served.json")}) or {}
    records = _guarded(found, "records.json", lambda: list(_json(files, "records.json"))) or []
    stops = _guarded(found, "stops.json", lambda: list(_json(files, "stops.json"))) or []
    for record in records:
        told = _guarded(found, "records.json", lambda record=record: _check_record(record, entries, found))  # type: ignore[misc]
        if told is not None:
            _check_shown(record, told, notices, served, found)
    for stop in stops:
        _guarded(found, "stops.json", lambda stop=stop: _check_stop(stop, entries, found))  # type: ignore[misc]
    _guarded(found, "records.json", lambda: _check_together(records, stops, entries, found))
    _guarded(found, "claim.json", lambda: _check_claim(_json(files, "claim.json"), records, stops, found))
    return found


def _guarded(found: Found, file: str, step: Callable[[], T]) -> T | None:
    """What the step gives, or the file named as the one that is wrong."""
    try:
        return step()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found.add(file, str(error) if type(error) is ValueError else f"it isn't what such a file has ({error!r})")
        return None


# ---- The files -----------------------------------------------------------------------------------------------------


def _text(files: Files, name: str) -> str:
    if name not in files:
        raise ValueError("it is missing")
    return files[name].decode()


def _json(files: Files, name: str) -> Any:
    try:
        return json.loads(_text(files, name))
    except json.JSONDecodeError:
        raise ValueError("it is no JSON") from None


def _keys(files: Files) -> list[Key]:
    return [Key.read(line) for line in _text(files, "keys.txt").splitlines() if line.strip()]


def _check_manifest(files: Files, keys: Sequence[Key], found: Found) -> None:
    """Each file against the list of them, and the list against its signature, if it has one."""
    text = _guarded(found, MANIFEST, lambda: _text(files, MANIFEST))
    if text is None:
        return
    body = text
    if "\n\n" in text:
        signed = _guarded(found, MANIFEST, lambda: signed_text(text, keys))
        body = signed[1] if signed else text.rpartition("\n\n")[0]
    else:
        found.notes.append("The list of files isn't signed: README and programs could have been changed with it.")
    lines = [line for line in body.splitlines() if line]
    if not lines or lines[0] != FORM:
        found.add(MANIFEST, f"it doesn't begin with {FORM}")
        return
    listed: dict[str, str] = {}
    for line in lines[1:]:
        digest, _, name = line.partition("  ")
        listed[name] = digest
    for name in sorted(set(listed) | (set(files) - {MANIFEST})):
        if name not in files:
            found.add(name, "it is missing")
        elif name not in listed:
            found.add(name, "it isn't one of the files that were put into the bundle")
        elif hashlib.sha256(files[name]).hexdigest() != listed[name]:
            found.add(name, "it isn't what was put into the bundle")


# ---- The log -------------------------------------------------------------------------------------------------------


def _entries(files: Files, checkpoint: Checkpoint | None, found: Found) -> dict[str, dict[str, Any]]:
    """What the audit entries say, by their ids: of those that lead to the signed root."""
    told: dict[str, dict[str, Any]] = {}
    for proof in _json(files, "proofs.json"):
        name = f"entries/{proof['entry']}.json"
        if name not in files:
            found.add(name, "it is missing")
            continue
        path = [bytes.fromhex(one) for one in proof["path"]]
        if checkpoint is not None:
            if proof["size"] != checkpoint.size:
                raise ValueError(f"a path leads to {proof['size']} entries, the checkpoint has {checkpoint.size}")
            root = root_of_inclusion(leaf=leaf_hash(files[name]), index=proof["index"], size=proof["size"], proof=path)
            if root != checkpoint.root:
                found.add(
                    name, "by its path it doesn't lead to the signed root: entry or path (proofs.json) were changed"
                )
                continue
        entry = _guarded(found, name, lambda name=name: _json(files, name))  # type: ignore[misc]
        if entry is not None and entry["id"] == proof["entry"]:
            told[entry["id"]] = entry | {"index": proof["index"]}
        elif entry is not None:
            found.add(name, f"it is entry {entry['id']}")
    return told


def _check_anchor(
    files: Files, keys: Sequence[Key], checkpoint: Checkpoint, saved: Sequence[str], found: Found
) -> None:
    """That the log goes on from a checkpoint that was put elsewhere, and that it is the one that the reader kept."""
    known = {checkpoint.size: checkpoint.root}
    if "anchored.txt" in files:
        anchored = _guarded(found, "anchored.txt", lambda: open_note(_text(files, "anchored.txt"), keys))
        path = _guarded(
            found, "consistency.json", lambda: [bytes.fromhex(one) for one in _json(files, "consistency.json")]
        )
        if anchored is not None and path is not None:
            try:
                before, after = roots_of_consistency(
                    first=anchored.size, second=checkpoint.size, first_root=anchored.root, proof=path
                )
            except ValueError as error:
                found.add("consistency.json", str(error))
            else:
                if (before, after) != (anchored.root, checkpoint.root):
                    found.add("consistency.json", "the log doesn't go on from what was anchored")
                known[anchored.size] = anchored.root
                found.proved.append(
                    f"The log goes on from the checkpoint of {anchored.size:,} entries that was anchored."
                )
    else:
        found.notes.append(
            "The log was not anchored elsewhere when this was made: its keeper alone vouches for its age."
        )
    for note in saved:
        kept = _guarded(found, "the checkpoint you saved", lambda note=note: open_note(note, keys))  # type: ignore[misc]
        if kept is None:
            continue
        if kept.size not in known:
            found.notes.append(
                f"Your checkpoint of {kept.size:,} entries is none of the bundle's; verify.py compares it."
            )
        elif known[kept.size] != kept.root:
            found.add("checkpoint.txt", f"the first {kept.size:,} entries aren't those of the checkpoint you saved")
        else:
            found.proved.append(f"It is the log of the checkpoint of {kept.size:,} entries that you saved.")


def roots_of_consistency(*, first: int, second: int, first_root: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of the earlier and of the later tree that the proof leads to (RFC 9162, 2.1.4.2).

    Raises:
        ValueError: sizes out of order, or a proof of another length than such a proof has.
    """
    if not 0 < first <= second:
        raise ValueError(f"expected sizes with 0 < first <= second; received {first} and {second}")
    if first == second:
        if proof:
            raise ValueError("the proof is too long")
        return first_root, first_root
    nodes = list(proof)
    if first & (first - 1) == 0:
        nodes.insert(0, first_root)
    if not nodes:
        raise ValueError("the proof is too short")
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            raise ValueError("the proof is too long")
        if place & 1 or place == last:
            before, after = node_hash(node, before), node_hash(node, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, node)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ValueError("the proof is too short")
    return before, after


# ---- The consent ---------------------------------------------------------------------------------------------------


def _check_notices(files: Files, found: Found) -> dict[str, Any]:
    """The words by the hash of their bytes, which is the name of the file."""
    words: dict[str, Any] = {}
    for name, content in files.items():
        if not name.startswith("notices/"):
            continue
        digest = name.removeprefix("notices/").removesuffix(".json")
        if hashlib.sha256(content).hexdigest() != digest:
            found.add(name, "its bytes don't have the SHA-256 that it is named by")
            continue
        words[digest] = _guarded(found, name, lambda content=content: json.loads(content))  # type: ignore[misc]
    return words


def _check_record(record: Mapping[str, Any], entries: Mapping[str, Any], found: Found) -> Mapping[str, Any] | None:
    """What its audit entry says, once the record was found to say the same; None where it has no entry."""
    name = f"record {record['record']}"
    entry = entries.get(record["entry"])
    if entry is None:
        if record["entry"] is None:
            found.notes.append(f"No audit entry proves {name}: it was recorded before entries told so much, or waits.")
        else:
            found.add("records.json", f"{name} names the audit entry {record['entry']}, which isn't proved here")
        return None
    detail = entry["detail"]
    differing = [one for one in SAID_TWICE if (record.get(one) or "") != (detail.get(one) or "")]
    said = {one: record[one] for one in ("record", "purpose", "person")}
    said |= {"decision": f"consent.{record['decision']}", "newest": newest_of(record)}
    proved = {"record": detail["record"], "purpose": entry["purpose"], "person": entry["object_id"]}
    proved |= {"decision": entry["action"], "newest": detail.get("newest")}
    differing += [one for one in said if said[one] != proved[one]]
    if differing:
        found.add("records.json", f"{name} says otherwise than its audit entry: {', '.join(differing)}")
    else:
        found.proved.append(
            f"{record['decision']} on {record['collected_at']}, learned {record['recorded_at']}: entry {entry['index']:,}."
        )
    return detail if isinstance(detail, Mapping) else None


def _check_shown(
    record: Mapping[str, Any],
    told: Mapping[str, Any],
    notices: Mapping[str, Any],
    served: Mapping[str, Any],
    found: Found,
) -> None:
    name = f"record {record['record']}"
    if told.get("notice") and told["notice"] not in notices:
        found.add(f"notices/{told['notice']}.json", f"the words that {name} was decided on are missing")
    if told.get("served"):
        event = served.get(told["served"])
        if event is None:
            found.add("served.json", f"the event that showed the words to whom {name} is of is missing")
        elif event["served_at"] != told.get("served_at") or event["notice"] != told.get("notice"):
            found.add("served.json", f"the event of {name} says otherwise than the audit entry")


def _check_stop(stop: Mapping[str, Any], entries: Mapping[str, Any], found: Found) -> None:
    """That the log says for whom it held, of which kind, and from when till when."""
    name = f"stop {stop['stop']}"
    if (stop["lifted_at"] is None) != (stop["ended"] is None) or (stop["began"] is None and stop["ended"] is None):
        found.add("stops.json", f"no audit entry proves from when till when {name} held")
    for when, (actions, names) in OF_STOPS.items():
        entry = entries.get(stop[when])
        if entry is None and stop[when] is not None:
            found.add("stops.json", f"{name} names the audit entry {stop[when]}, which isn't proved here")
        if entry is None:
            continue
        detail = entry["detail"]
        if (
            entry["action"] not in actions
            or entry["object_id"] != stop["person"]
            or any(detail[one] != stop[one] for one in names)
        ):
            found.add("stops.json", f"{name} says otherwise than its audit entry {entry['id']}")
        found.proved.append(f"halted ({stop['kind']}), {when} {stop[names[-1]]}: entry {entry['index']:,}.")


def _check_together(
    records: Sequence[Mapping[str, Any]], stops: Sequence[Mapping[str, Any]], entries: Mapping[str, Any], found: Found
) -> None:
    """What can't be seen of one alone: whose it is, in which order it was learned, and that nothing proved is left out."""
    pairs = {(one["profile"], one["person"]) for one in [*records, *stops] if one["person"]}
    if len(pairs) != len({profile for profile, _ in pairs}) or len(pairs) != len({person for _, person in pairs}):
        found.add("records.json", "one profile is said to be two people, or one person two profiles")
    for profile in {profile for profile, _ in pairs}:
        learned = [
            one["recorded_at"] for one in sorted(records, key=lambda one: one["order"]) if one["profile"] == profile
        ]
        if learned != sorted(learned):
            found.add("records.json", f"records of profile {profile} aren't in the order in which they were learned")
    named = {one["entry"] for one in records} | {one[when] for one in stops for when in OF_STOPS}
    for entry in entries.keys() - named:
        found.add("records.json", f"the audit entry {entry} is proved, and no record or stop names it")


def _check_claim(
    claim: Mapping[str, Any], records: Sequence[Mapping[str, Any]], stops: Sequence[Mapping[str, Any]], found: Found
) -> None:
    """What held is worked out anew from the records and the stops, and must be what is claimed."""
    permits, newest, standing = what_held(claim, records, stops)
    decided_by = newest["record"] if newest else None
    if (permits, decided_by, bool(standing)) != (claim["permits"], claim["record"], claim["is_stopped"]):
        by = f"by record {decided_by}" + (", and halted" if standing else "")
        found.add("claim.json", f"by what is on record it is {_words(permits)}, {by}; that isn't what is claimed")
    if any(
        one["profile"] == claim["profile"] and one["person"] not in (None, claim["person"])
        for one in [*records, *stops]
    ):
        found.add("claim.json", "it names another person than the records of the profile")
    if newest is not None and newest["entry"] is None:
        found.add("records.json", f"record {newest['record']}, which decides, is proved by no audit entry")
    found.verdict = f"{claim['purpose']['key']} was {_words(permits)} by {claim['person']} at {claim['at']}"
    found.verdict += f", by what was known at {claim['known_at']}" if claim.get("known_at") else ""
    found.verdict += f"; it was halted for them ({', '.join(one['kind'] for one in standing)})" if standing else ""


def _words(permits: bool) -> str:
    return "PERMITTED" if permits else "NOT PERMITTED"


# ---- The command line ----------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """0: valid; 1: something isn't right; 2: it couldn't be checked."""
    parser = argparse.ArgumentParser(
        prog="python check.py",
        description="Checks a proof bundle: what somebody had consented to at a moment, and on which words.",
        epilog="Exit status: 0 valid, 1 something isn't right (each file is named), 2 it couldn't be checked.",
    )
    parser.add_argument(
        "bundle", nargs="?", type=Path, default=Path(__file__).parent, help="the zip, or where it lies unpacked"
    )
    parser.add_argument("--key", action="append", default=[], metavar="FILE", type=Path, help="public keys, one a line")
    parser.add_argument(
        "--checkpoint", action="append", default=[], metavar="FILE", type=Path, help="one that you saved"
    )
    given = parser.parse_args(arguments)
    try:
        keys = [Key.read(line) for file in given.key for line in file.read_text().splitlines() if line.strip()]
        found = check(read(given.bundle), keys=keys, saved=[file.read_text() for file in given.checkpoint])
    except (ValueError, OSError) as error:
        print(f"It couldn't be checked: {error}", file=sys.stderr)
        return 2
    for line in found.proved:
        print(f"  proved  {line}")
    for line in found.wrong:
        print(f"  WRONG   {line}")
    for line in found.notes:
        print(f"  note    {line}")
    print(
        f"VALID: {found.verdict}."
        if found.is_valid
        else "NOT VALID: this bundle proves nothing until that is explained."
    )
    return 0 if found.is_valid else 1


if __name__ == "__main__":
    sys.exit(main())
