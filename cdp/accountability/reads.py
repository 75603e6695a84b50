"""Which entries of the audit log tell that somebody's data was read: what of it, and how to tell whose.

Whose pages of members held is worked out in `cdp.accountability.members_then`; questions are put in `cdp.accountability.breach`.
A new door to people adds its action here; a test holds this list against the readers that the platform has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from uuid import UUID


class Whose(Enum):
    """Where an entry says whose data it was."""

    OBJECT = "the object is the person"
    DETAIL = "the detail names the person"
    RECORD = "the object is a consent record of the person"
    SAMPLE = "the detail names a sample of people"
    MEMBERS = "a page of a segment's members, named by its cursor"
    NOBODY_NAMED = "only how many is recorded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """An act by which people's data was read.

    Args:
        fields: what was shown, where the entry doesn't say it itself.
        masked: what of it was shown masked, if the entry says that it was.
    """

    label: str
    whose: Whose
    fields: frozenset[str] = frozenset()
    masked: frozenset[str] = frozenset()


PERSONAL: Final = frozenset({"identifiers", "personal traits"})
ALL_OF_A_PERSON: Final = PERSONAL | {"traits", "events", "segments", "scores", "consent"}

READS: Final[Mapping[str, Read]] = {
    "members.read": Read(label="Members of a segment, by page", whose=Whose.MEMBERS),
    "members.viewed": Read(label="Members of a segment, on its screen", whose=Whose.SAMPLE, masked=PERSONAL),
    "members.exported": Read(label="Members of a segment, as a file", whose=Whose.MEMBERS, masked=PERSONAL),
    "members.revealed": Read(
        label="Personal data of members unmasked", whose=Whose.NOBODY_NAMED, fields=frozenset({"identifiers"})
    ),
    "audience.members_read": Read(label="Members of an audience, by page", whose=Whose.NOBODY_NAMED),
    "audience.members_exported": Read(label="Members of an audience, as a file", whose=Whose.NOBODY_NAMED),
    "audience.changes_read": Read(label="Who came to an audience and went", whose=Whose.NOBODY_NAMED),
    "webhook.told": Read(label="Who came to an audience and went, told to another system", whose=Whose.NOBODY_NAMED),
    "export.downloaded": Read(label="Members of an audience, as a file that was kept", whose=Whose.NOBODY_NAMED),
    "export.handed_over": Read(label="Members of an audience, as a file to another system", whose=Whose.NOBODY_NAMED),
    "list.people_viewed": Read(
        label="People on a list", whose=Whose.SAMPLE, fields=frozenset({"uuid", "identifiers"}), masked=PERSONAL
    ),
    "member.read": Read(label="Whether somebody is a member", whose=Whose.DETAIL),
    "profile.read": Read(label="One person over the API", whose=Whose.OBJECT, masked=PERSONAL),
    "profiles.read": Read(
        label="How people stand, asked while pages are made",
        whose=Whose.NOBODY_NAMED,
        fields=frozenset({"uuid", "segments", "scores"}),
    ),
    "profile.slot_previewed": Read(label="What a slot says to a person", whose=Whose.OBJECT),
    "profile.viewed": Read(label="A person's page", whose=Whose.OBJECT, fields=ALL_OF_A_PERSON, masked=PERSONAL),
    "profile.timeline_viewed": Read(
        label="More of a person's timeline", whose=Whose.OBJECT, fields=frozenset({"events"})
    ),
    "profile.trait_viewed": Read(
        label="All that was said of a person's trait",
        whose=Whose.OBJECT,
        fields=frozenset({"traits"}),
        masked=PERSONAL,
    ),
    "profile.segments_viewed": Read(
        label="Segments that a person is not in", whose=Whose.OBJECT, fields=frozenset({"segments"})
    ),
    "profile.consent_viewed": Read(label="What a person permitted", whose=Whose.OBJECT, fields=frozenset({"consent"})),
    "profile.consent_read": Read(
        label="What a person permits, over the API", whose=Whose.OBJECT, fields=frozenset({"consent"})
    ),
    "profile.consent_history_read": Read(
        label="What a person decided, over the API",
        whose=Whose.OBJECT,
        fields=frozenset({"consent", "evidence"}),
        masked=frozenset({"evidence"}),
    ),
    "consent.viewed": Read(label="A decision's page", whose=Whose.RECORD, fields=frozenset({"uuid", "consent"})),
    "consent.receipt_issued": Read(label="Receipts", whose=Whose.RECORD, fields=frozenset({"uuid", "consent"})),
    "consent.proof_taken": Read(label="Proof bundles", whose=Whose.OBJECT, fields=frozenset({"uuid", "consent"})),
    "consent.listed": Read(
        label="Pages of the consent trail", whose=Whose.NOBODY_NAMED, fields=frozenset({"uuid", "consent"})
    ),
    "consent.exported": Read(
        label="Export of the consent trail", whose=Whose.NOBODY_NAMED, fields=frozenset({"uuid", "consent"})
    ),
    "consent.conflicts_listed": Read(
        label="Pages of consent conflicts", whose=Whose.NOBODY_NAMED, fields=frozenset({"uuid", "consent"})
    ),
    "consent.conflict_viewed": Read(
        label="A consent conflict", whose=Whose.NOBODY_NAMED, fields=frozenset({"uuid", "consent"})
    ),
    "privacy.listed": Read(label="Pages of privacy requests", whose=Whose.NOBODY_NAMED, fields=frozenset({"uuid"})),
    "privacy.register_exported": Read(
        label="Export of the register of privacy requests", whose=Whose.NOBODY_NAMED, fields=frozenset({"uuid"})
    ),
    "link.issued": Read(
        label="Links to a person's own page", whose=Whose.OBJECT, fields=frozenset({"uuid", "consent"})
    ),
    "privacy.viewed": Read(
        label="A privacy request", whose=Whose.DETAIL, fields=frozenset({"uuid", "notes on a request"})
    ),
    "privacy.export_downloaded": Read(
        label="Files of all that is known of a person",
        whose=Whose.DETAIL,
        fields=ALL_OF_A_PERSON | {"uuid", "evidence"},
    ),
    "profile.revealed": Read(label="Personal data unmasked", whose=Whose.OBJECT, fields=PERSONAL),
    "profile.explained": Read(
        label="Why a person is in a segment",
        whose=Whose.OBJECT,
        fields=frozenset({"traits", "personal traits", "events", "segments"}),
        masked=PERSONAL,
    ),
    "segment.previewed": Read(
        label="Samples of previews", whose=Whose.SAMPLE, fields=frozenset({"uuid", "identifiers"}), masked=PERSONAL
    ),
    "segment.versions_compared": Read(
        label="Samples of compared versions", whose=Whose.SAMPLE, fields=frozenset({"uuid"})
    ),
    "segment.draft_compared": Read(
        label="Samples of whom a draft would take in or leave out",
        whose=Whose.SAMPLE,
        fields=frozenset({"uuid", "identifiers"}),
        masked=PERSONAL,
    ),
    "profiles.listed": Read(
        label="Pages of the list of people",
        whose=Whose.NOBODY_NAMED,
        fields=frozenset({"identifiers, masked", "personal traits, masked", "country"}),
    ),
    "quarantined.revealed": Read(
        label="A quarantined message, unmasked", whose=Whose.NOBODY_NAMED, fields=frozenset({"a message as it came"})
    ),
    "breach.people_exported": Read(
        label="People to be notified", whose=Whose.NOBODY_NAMED, fields=frozenset({"uuid", "identifiers"})
    ),
    "audit.exported": Read(label="Export of the audit log", whose=Whose.NOBODY_NAMED, fields=frozenset({"uuid"})),
}
EXPORTS: Final = frozenset(
    {
        "members.read",
        "members.exported",
        "breach.people_exported",
        "audit.exported",
        "consent.exported",
        "privacy.export_downloaded",
    }
)


def fields_of(action: str, detail: Mapping[str, Any]) -> frozenset[str]:
    """What was shown: as the entry says, or else as the door shows. What was masked is said to be."""
    read = READS[action]
    said = detail.get("fields")
    shown = frozenset(map(str, said)) if isinstance(said, list) else read.fields
    if "traits" in shown and read.masked >= PERSONAL:
        shown |= {"personal traits"}
    if detail.get("masked") is False:
        return shown
    return frozenset(f"{name}, masked" if name in read.masked else name for name in shown)


def all_fields() -> list[str]:
    """Every name that `fields_of` may give, for a form."""
    told = {"uuid", "entered_at", "is_member", "changes_at"}
    for read in READS.values():
        told |= read.fields | {f"{name}, masked" for name in read.masked}
    return sorted(told)


def named_in(action: str, object_id: str, detail: Mapping[str, Any]) -> list[UUID]:
    """The public ids that the entry itself names: of people, or of a record."""
    match READS[action].whose:
        case Whose.OBJECT | Whose.RECORD:
            return _uuids([object_id])
        case Whose.DETAIL:
            return _uuids([detail.get("profile")])
        case Whose.SAMPLE:
            sample = detail.get("sample")
            return _uuids(sample if isinstance(sample, list) else [])
        case _:
            return []


def _uuids(texts: Sequence[Any]) -> list[UUID]:
    found = []
    for text in texts:
        try:
            found.append(UUID(str(text)))
        except ValueError:
            continue
    return found
