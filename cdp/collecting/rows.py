"""Reading rows of a file of decisions: what stands in each column, and what is to be mended, without repeating what stood there."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from cdp.collecting.reading import versions_named
from cdp.errors import DomainError, DomainErrors
from cdp.identity.normalise import NAMESPACE, Unusable, normalise
from consent.evidence import check_size
from consent.jurisdictions import is_jurisdiction
from consent.models import Decision, Purpose
from segments.list_people import PUBLIC_ID

NEEDED: Final = ("namespace", "value", "purpose", "decision", "collected_at")
OPTIONAL: Final = ("jurisdiction", "notice", "notice_version", "notice_locale")
EVIDENCE: Final = "evidence_"
DECISIONS: Final = {one.value: one for one in (Decision.GRANTED, Decision.DENIED, Decision.WITHDRAWN)}
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RowError:
    row: int
    column: str
    code: str
    message: str


@dataclass(slots=True)
class RowsRead:
    """Fields of `ImportRow` for each row that is right, and what is wrong with the others."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)


class RowReader:
    """Reads the rows below one heading.

    Raises:
        DomainErrors: the heading lacks columns, or has one twice or one that nobody knows: a misspelt one would say nothing.
    """

    def __init__(self, heading: Sequence[str]) -> None:
        self.columns = [name.strip().lower() for name in heading]
        counts = Counter(self.columns)
        errors = [
            _heading("column_missing", name, "The file needs this column.") for name in NEEDED if name not in counts
        ]
        errors += [_heading("column_twice", name, "This column stands twice.") for name, n in counts.items() if n > 1]
        known = {*NEEDED, *OPTIONAL}
        expected = f"Columns are {', '.join((*NEEDED, *OPTIONAL))}, and any that begin with {EVIDENCE}."
        errors += [
            _heading("column_unknown", str(place), f"Column {place} has another name. {expected}")
            for place, name in enumerate(self.columns, start=1)
            if name not in known and not (name.startswith(EVIDENCE) and len(name) > len(EVIDENCE))
        ]
        if errors:
            raise DomainErrors(errors, code="heading_wrong", message=" ".join(one.message for one in errors))
        self.purposes = {one.key: one.pk for one in Purpose.objects.all()}
        self.now = timezone.now()

    def read(self, rows: Iterable[tuple[int, Sequence[str]]]) -> RowsRead:
        """
        Args:
            rows: each with its number in the file.
        """
        out = RowsRead()
        cells = [(number, self._cells(number, row, out)) for number, row in rows]
        named = {key for _, row in cells if row is not None and (key := _version(row)) is not None}
        versions = versions_named(named)
        for number, row in cells:
            if row is not None:
                self._row(number, row, versions, out)
        return out

    def _cells(self, number: int, row: Sequence[str], out: RowsRead) -> dict[str, str] | None:
        if len(row) != len(self.columns):
            message = f"{len(self.columns)} fields were expected; this row has {len(row)}."
            out.errors.append(RowError(number, "", "fields_wrong", message))
            return None
        if any("\x00" in cell for cell in row):
            out.errors.append(RowError(number, "", "text_unusable", "The row has the character NUL in it."))
            return None
        return {name: cell.strip() for name, cell in zip(self.columns, row, strict=True)}

    def _row(self, number: int, row: dict[str, str], versions: dict[tuple[str, int, str], int], out: RowsRead) -> None:
        wrong: list[RowError] = []

        def add(column: str, code: str, message: str) -> None:
            wrong.append(RowError(number, column, code, message))

        user = _user(row, add)
        purpose_id = self.purposes.get(row["purpose"])
        if purpose_id is None:
            add("purpose", "purpose_unknown", f"Must be one of {', '.join(sorted(self.purposes))}.")
        decision = DECISIONS.get(row["decision"].lower())
        if decision is None:
            add("decision", "decision_unknown", f"Must be one of {', '.join(DECISIONS)}.")
        at = self._moment(row["collected_at"], add)
        jurisdiction = row.get("jurisdiction", "").upper()
        if jurisdiction and not is_jurisdiction(jurisdiction):
            add("jurisdiction", "jurisdiction_unknown", "Must be a country (DE), a region (US-CA), EU, or empty.")
        said: dict[str, Any] = {"decision": decision, "jurisdiction": jurisdiction}
        if row.get("notice") or row.get("notice_version"):
            key = _version(row)
            if key is None or key not in versions:
                add("notice_version", "notice_unknown", "There is no such version of a notice in this language.")
            else:
                said["version"] = versions[key]
        evidence = {
            name.removeprefix(EVIDENCE): cell for name, cell in row.items() if name.startswith(EVIDENCE) and cell
        }
        if decision == Decision.GRANTED and not evidence:
            add(EVIDENCE, "evidence_missing", f"A yes needs evidence: fill a column whose name begins with {EVIDENCE}.")
        if evidence:
            said["evidence"] = evidence
            try:
                check_size(evidence)
            except DomainError as error:
                add(EVIDENCE, error.code, error.message)
        out.errors += wrong
        if not wrong and user is not None:
            namespace, value = user
            is_granted = decision == Decision.GRANTED
            out.rows.append({"number": number, "namespace": namespace, "value": value, "purpose_id": purpose_id,
                             "is_granted": is_granted, "collected_at": at, "said": said})  # fmt: skip

    def _moment(self, text: str, add: Any) -> datetime | None:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = None
        if at is None or at.tzinfo is None or ":" not in text:
            # A day alone could put a no of the evening before a yes of the morning.
            add("collected_at", "moment_unclear", "Write day, time and zone, as in 2026-11-21T08:00:00Z.")
            return None
        if not EARLIEST <= at <= self.now:
            add("collected_at", "moment_out_of_range", "A decision was made after 1970 and not after now.")
            return None
        return at


def _user(row: dict[str, str], add: Any) -> tuple[str, str] | None:
    namespace = row["namespace"].lower()
    if not NAMESPACE.fullmatch(namespace):
        add(
            "namespace", "identifier_namespace", "Must be user_id, email, anonymous_id, uuid, or an external id's type."
        )
        return None
    if namespace == PUBLIC_ID:
        try:
            return namespace, str(UUID(row["value"]))
        except ValueError:
            add(
                "value",
                "identifier_malformed",
                "The platform's own ids are written as in 01910f3c-6b5e-7cc0-8000-5f2d3a1b4c6d.",
            )
            return None
    try:
        found = normalise(namespace, row["value"])
    except Unusable as reason:
        add("value", reason.reason, "Nobody can be known by this.")
        return None
    return found.namespace, found.value


def _version(row: dict[str, str]) -> tuple[str, int, str] | None:
    number = row.get("notice_version", "")
    if not row.get("notice") or not (number.isdecimal() and len(number) < 9):
        return None
    return row["notice"], int(number), row.get("notice_locale") or "en"


def _heading(code: str, column: str, message: str) -> DomainError:
    return DomainError(code, message, f"/{column}")
