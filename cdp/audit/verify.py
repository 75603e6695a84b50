"""Checks an audit log without trusting whoever keeps it. One file, no Django: copy it to a machine of your own and run it.

    python -m cdp.audit.verify --key KEYS --checkpoint SAVED EXPORT.jsonl
    python -m cdp.audit.verify --key KEYS --checkpoint SAVED --dsn postgresql://reader@host/database

It needs Python 3.11, `cryptography`, and for a database `psycopg`. What it trusts is the public key and the checkpoint that you
kept yourself; never what the log says of itself. How the log is made stands elsewhere (`cdp.audit.sequencing`).

Sources: RFC 6962 and RFC 9162 (tree and proofs), C2SP tlog-checkpoint and signed-note (checkpoints and keys).
"""

import argparse
import base64
import gzip
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ModuleNotFoundError:  # the same in plain Python, which lies beside this file in a proof bundle
    from ed25519 import Ed25519PublicKey, InvalidSignature  # type: ignore[import-not-found,no-redef]

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
ED25519: Final = b"\x01"
# What an entry says beside its envelope, so that it can be searched; it must be what the envelope says.
COLUMNS: Final = (
    "id", "recorded_at", "actor_kind", "actor_id", "actor_label", "action", "object_type", "object_id", "purpose",
    "request_id", "ip_prefix", "detail",
)  # fmt: skip
MOST_FINDINGS: Final = 100


# ---- The tree ----------------------------------------------------------------------------------------------------


def leaf_hash(envelope: bytes) -> bytes:
    """RFC 9162, 2.1.1."""
    return hashlib.sha256(b"\x00" + envelope).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162, 2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the perfect subtrees of a growing tree, widest first: all it takes to append and to tell the root.

    A `ValueError` says that a tree of this size has another number of such subtrees.
    """

    def __init__(self, size: int = 0, nodes: Sequence[bytes] = ()) -> None:
        if size < 0 or len(nodes) != size.bit_count() or any(len(node) != 32 for node in nodes):
            raise ValueError(f"a tree of {size} leaves has {max(size, 0).bit_count()} such nodes of 32 bytes")
        self.size = size
        self.nodes = list(nodes)

    def append(self, leaf: bytes) -> None:
        """Appends a leaf by its hash."""
        node, size = leaf, self.size
        while size & 1:
            node = node_hash(self.nodes.pop(), node)
            size >>= 1
        self.nodes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root over all leaves; of none, the hash of nothing."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = node_hash(node, root)
        return root


def root_of_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that the proof leads to from a leaf (RFC 9162, 2.1.3.2); it is for the caller to compare it.

    Raises:
        ValueError: the index lies outside of the tree, or the proof has another length than such a proof has.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    place, last, root = index, size - 1, leaf
    for node in proof:
        if last == 0:
            raise ValueError("the proof is too long")
        if place & 1 or place == last:
            root = node_hash(node, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, node)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ValueError("the proof is too short")
    return root


# ---- Checkpoints -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A public key with the name that signs by it."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes by which a signature says whose it is (C2SP signed-note)."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        """As verifiers of signed notes write it: name, id and key."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def read(cls, text: str) -> "Key":
        """The key; a `ValueError` where it isn't one of this form, or its id is another's."""
        name, _, rest = text.strip().partition("+")
        stated, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError:
            raw = b""
        if not name or len(raw) != 33 or raw[:1] != ED25519:
            raise ValueError("a key is written name+id+base64, and is an Ed25519 key")
        key = cls(name=name, public=raw[1:])
        if key.id.hex() != stated:
            raise ValueError(f"the id of the key of {name} doesn't belong to it")
        return key


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a log committed itself to: so many entries, with this root."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """The text that is signed (C2SP tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def signed_text(note: str, keys: Iterable[Key]) -> tuple[Key, str]:
    """The key that signed the note, and the text it signed (C2SP signed-note).

    Raises:
        ValueError: none of the keys signed it.
    """
    text, separator, signatures = note.rpartition("\n\n")
    by_id = {(key.name, key.id): key for key in keys}
    for line in signatures.splitlines() if separator else ():
        mark, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        try:
            signature = base64.b64decode(encoded, validate=True)
        except ValueError:
            continue
        key = by_id.get((name, signature[:4]))
        if mark != "\u2014" or key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature[4:], (text + "\n").encode())
        except InvalidSignature:
            raise ValueError(f"the signature of {name} is wrong") from None
        return key, text + "\n"
    raise ValueError("it isn't signed by a key you gave")


def open_note(note: str, keys: Iterable[Key]) -> Checkpoint:
    """The checkpoint of a signed note, once the key of its origin has been found to have signed it.

    Raises:
        ValueError: it isn't a note of a checkpoint, or none of the keys signed it.
    """
    key, text = signed_text(note, keys)
    origin, size, root = (*text.split("\n"), "", "")[:3]
    try:
        raw = base64.b64decode(root, validate=True)
    except ValueError:
        raw = b""
    if origin != key.name or not (size.isascii() and size.isdigit() and str(int(size)) == size) or len(raw) != 32:
        raise ValueError("a checkpoint has an origin, a size and a root of 32 bytes")
    return Checkpoint(origin=origin, size=int(size), root=raw)


# ---- A log, from wherever ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An entry as it is kept. ``index`` None: it hasn't been given its place in the tree."""

    index: int | None
    id: str
    envelope: bytes
    columns: Mapping[str, Any]
    # As the log keeps it; None in an export, which leaves it out since it follows from the envelope.
    leaf: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """What is to be checked. Entries come in the order of their index, then those without, each with its age in seconds."""

    notes: Sequence[str]
    entries: Iterator[Entry]
    waiting: Mapping[str, float]


def read_export(path: Path) -> Log:
    """A log from a file of `manage.py export_audit`: JSON lines, perhaps gzipped; the first says what there is beside entries.

    Raises:
        ValueError: a line isn't what such a file has.
    """

    def lines() -> Iterator[tuple[int, Any]]:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield number, json.loads(line)
                except ValueError:
                    raise ValueError(f"{path.name}, line {number}: not JSON") from None

    def entries() -> Iterator[Entry]:
        for number, row in lines():
            if number == 1:
                continue
            try:
                columns, envelope = dict(row["columns"]), base64.b64decode(row["envelope"], validate=True)
                yield Entry(index=row["index"], id=str(columns["id"]), envelope=envelope, columns=columns)
            except (KeyError, TypeError, ValueError):
                raise ValueError(f"{path.name}, line {number}: not an entry") from None

    try:
        head = next(lines())[1]
        return Log(notes=list(head["notes"]), entries=entries(), waiting=dict(head["waiting_seconds"]))
    except (StopIteration, KeyError, TypeError):
        raise ValueError(f"{path.name}, line 1: not the beginning of an export") from None


KEPT: Final = ", ".join(f"e.{column}" for column in COLUMNS)
QUERIES: Final = (
    f"SELECT l.index, l.entry_id, l.hash, e.envelope, {KEPT} FROM audit_leaf l"  # noqa: S608  # names of ours
    " LEFT JOIN audit_auditentry e ON e.id = l.entry_id ORDER BY l.index",
    f"SELECT NULL, e.id, NULL, e.envelope, {KEPT} FROM audit_auditentry e"  # noqa: S608
    " WHERE NOT EXISTS (SELECT FROM audit_leaf l WHERE l.entry_id = e.id) ORDER BY e.recorded_at",
)


def read_database(connection: Any) -> Log:
    """A log from a `psycopg` connection, which needs to be able to read the tables of the log and nothing else. All of it
    is read in one snapshot, in bounded memory."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    kept = "SELECT note FROM audit_checkpoint UNION SELECT note FROM audit_head WHERE note <> ''"
    notes = [row[0] for row in connection.execute(kept).fetchall()]
    queued = "SELECT entry_id::text, extract(epoch FROM clock_timestamp() - queued_at) FROM audit_pending"
    waiting = {row[0]: float(row[1]) for row in connection.execute(queued).fetchall()}

    def entries() -> Iterator[Entry]:
        for number, query in enumerate(QUERIES):
            with connection.cursor(name=f"audit_entries_{number}") as cursor:
                cursor.itersize = 5000
                cursor.execute(query)
                for index, entry_id, leaf, envelope, *columns in cursor:
                    told = dict(zip(COLUMNS, columns, strict=True)) if columns[0] is not None else {}
                    yield Entry(index=index, id=str(entry_id), envelope=envelope or b"", columns=told, leaf=leaf)

    return Log(notes=notes, entries=entries(), waiting=waiting)


# ---- The check ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that is not as it was, or as it must be. ``entry`` names the place as closely as it can be told."""

    code: str
    entry: str
    message: str


@dataclass(slots=True)
class Report:
    """What came of a check. The log is as it was, as far as it can be told, when there are no findings."""

    entries: int = 0
    waiting: int = 0
    checkpoints: int = 0
    saved: int = 0
    size: int = 0
    root: bytes = EMPTY_ROOT
    findings: list[Finding] = field(default_factory=list)
    left_out: int = 0

    @property
    def is_good(self) -> bool:
        return not self.findings

    def add(self, code: str, entry: str, message: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(code=code, entry=entry, message=message))
        else:
            self.left_out += 1


def verify(log: Log, *, keys: Sequence[Key], saved: Sequence[str] = (), most_waiting_seconds: float = 60) -> Report:
    """Walks the whole log once.

    Args:
        saved: signed checkpoints that the auditor kept, as text. Without one, a log that was made anew from the
            beginning by somebody who has the signing key can't be told from the true one.
        most_waiting_seconds: how long an entry may wait for its place in the tree.
    """
    report = Report()
    opened = [(note, False) for note in log.notes] + [(note, True) for note in saved]
    expected: dict[int, list[tuple[bytes, bool]]] = {}
    for note, is_saved in opened:
        try:
            checkpoint = open_note(note, keys)
        except ValueError as error:
            report.add("bad_checkpoint", "saved checkpoint" if is_saved else "checkpoint in the log", str(error))
            continue
        expected.setdefault(checkpoint.size, []).append((checkpoint.root, is_saved))
        report.saved += is_saved
        report.checkpoints += not is_saved
    frontier = Frontier()
    last_good = 0

    def compare() -> None:
        nonlocal last_good
        for root, is_saved in expected.pop(frontier.size, ()):
            if root == frontier.root():
                last_good = frontier.size
                continue
            whose = "the checkpoint you saved" if is_saved else "a signed checkpoint"
            report.add(
                "root_differs",
                f"entries {last_good} to {frontier.size - 1}",
                f"they are not those of {whose} of {frontier.size} entries",
            )

    compare()
    for entry in log.entries:
        _check_entry(entry, report)
        if entry.index is None:
            report.waiting += 1
            waited = log.waiting.get(entry.id)
            if waited is None:
                report.add("not_sequenced", f"entry {entry.id}", "it has no place in the tree, and waits for none")
            elif waited > most_waiting_seconds:
                report.add(
                    "waits_too_long",
                    f"entry {entry.id}",
                    f"it has waited for {waited:.0f} s: is the sequencer running?",
                )
            continue
        if entry.index != frontier.size:
            what = "is there twice" if entry.index < frontier.size else "is missing"
            report.add("gap", f"index {min(entry.index, frontier.size)}", f"the place {what}")
        frontier.append(leaf_hash(entry.envelope))
        report.entries += 1
        compare()
    for size in sorted(expected):
        for _, is_saved in expected[size]:
            whose = "the checkpoint you saved" if is_saved else "a signed checkpoint"
            report.add(
                "truncated",
                f"entries {frontier.size} to {size - 1}",
                f"{whose} has {size} entries, the log has {frontier.size}: its end was cut off, or an old copy was restored",
            )
    report.size, report.root = frontier.size, frontier.root()
    if frontier.size and last_good < frontier.size and not report.findings:
        report.add("unsigned", f"entries {last_good} to {frontier.size - 1}", "no signed checkpoint covers them")
    return report


def _check_entry(entry: Entry, report: Report) -> None:
    name = f"entry {entry.id}" if entry.index is None else f"index {entry.index}, entry {entry.id}"
    if not entry.columns:
        report.add("entry_missing", name, "it has a place in the tree, but isn't there")
        return
    if entry.leaf is not None and entry.leaf != leaf_hash(entry.envelope):
        report.add("envelope_changed", name, "its envelope isn't what was put into the tree")
    try:
        told = json.loads(entry.envelope)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        report.add("envelope_unreadable", name, "its envelope is no JSON object")
        return
    beside = {name: _plain(value) for name, value in entry.columns.items()}
    differing = [column for column in COLUMNS if told.get(column) != beside.get(column)]
    if differing:
        report.add("column_changed", name, f"beside its envelope it says something else: {', '.join(differing)}")
    if told.get("id") != entry.id:
        report.add("entry_swapped", name, f"its envelope is that of entry {told.get('id')}")


def _plain(value: Any) -> Any:
    return moment_text(value) if isinstance(value, datetime) else str(value) if isinstance(value, UUID) else value


def moment_text(moment: datetime) -> str:
    """As envelopes write a moment: UTC, to the microsecond."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# ---- The command line --------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """0: as it was; 1: findings; 2: it couldn't be checked."""
    parser = argparse.ArgumentParser(
        prog="python -m cdp.audit.verify",
        description="Checks that an audit log is what it was: nothing changed, inserted, removed or cut off.",
        epilog="Exit status: 0 all is as it was, 1 something isn't (each place is named), 2 it couldn't be checked.",
    )
    parser.add_argument("export", nargs="?", type=Path, help="a file of `manage.py export_audit`, .jsonl or .jsonl.gz")
    parser.add_argument("--dsn", help="read the database instead, by a login that may only read the audit tables")
    parser.add_argument(
        "--key", action="append", required=True, metavar="FILE",
        help="public keys you were given by another way than this log, one a line (may be repeated)",
    )  # fmt: skip
    parser.add_argument(
        "--checkpoint", action="append", default=[], metavar="FILE", type=Path,
        help="a signed checkpoint that you saved earlier (may be repeated); without one a log made anew goes unnoticed",
    )  # fmt: skip
    parser.add_argument("--save", type=Path, metavar="FILE", help="where to keep the newest checkpoint, if all is well")
    parser.add_argument("--most-waiting-seconds", type=float, default=60.0, help="how long an entry may wait (60)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    given = parser.parse_args(arguments)
    if (given.export is None) == (given.dsn is None):
        parser.error("name an export, or a database with --dsn")
    try:
        keys = [Key.read(line) for file in given.key for line in Path(file).read_text().splitlines() if line.strip()]
        saved = [path.read_text() for path in given.checkpoint]
        report, newest = _checked(given, keys, saved)
    except (ValueError, OSError) as error:
        print(f"It couldn't be checked: {error}", file=sys.stderr)
        return 2
    _print(report, as_json=given.json, has_saved=bool(saved))
    if given.save and newest:
        given.save.write_text(newest)
    return 0 if report.is_good else 1


def _checked(given: argparse.Namespace, keys: Sequence[Key], saved: Sequence[str]) -> tuple[Report, str | None]:
    def checked(log: Log) -> tuple[Report, str | None]:
        report = verify(log, keys=keys, saved=saved, most_waiting_seconds=given.most_waiting_seconds)
        newest = (note for note in log.notes if report.is_good and open_note(note, keys).size == report.size)
        return report, next(newest, None)

    if given.export is not None:
        return checked(read_export(given.export))
    import psycopg  # only a database needs it

    try:
        with psycopg.connect(given.dsn) as connection:
            return checked(read_database(connection))
    except psycopg.Error as error:
        raise ValueError(f"the database said: {str(error).splitlines()[0]}") from None


def _print(report: Report, *, as_json: bool, has_saved: bool) -> None:
    if as_json:
        told = asdict(report) | {"good": report.is_good, "root": base64.b64encode(report.root).decode()}
        print(json.dumps(told, indent=2))
        return
    print(f"{report.entries:,} entries, {report.waiting:,} waiting, {report.checkpoints:,} signed checkpoints.")
    for one in report.findings:
        print(f"  BAD  {one.code}: {one.entry}: {one.message}")
    if report.left_out:
        print(f"  and {report.left_out:,} more")
    if report.is_good:
        print("All entries are what they were when they were signed, and none is missing.")
        if not has_saved:
            print("No saved checkpoint was given: a log that was made anew from the start would look the same.")


if __name__ == "__main__":
    sys.exit(main())
