"""What a receipt tells of one decision: plain values, whatever the form they are written in. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

# How the person made the decision themselves; in all other ways it was brought, worked out or signalled.
DECIDED_THEMSELVES: Final = frozenset(
    {"banner", "preference_centre", "form", "unsubscribe", "double_opt_in", "privacy_request"}
)
RECEIPTS: Final = UUID("1b2a6f2e-8b7d-5a0c-9c58-0d5c1b7ab9a4")


def receipt_id(record: UUID) -> str:
    return str(uuid5(RECEIPTS, str(record)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Controller:
    """Who answers for the data. ``country`` is ISO 3166-1 alpha-2, of the address and of where data is stored."""

    name: str
    contact: str
    address: str
    country: str
    email: str
    phone: str
    url: str
    privacy_url: str
    choices_url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """The words of the version that was shown. ``link`` leads to the privacy notice it named; empty when it named none."""

    key: str
    number: int
    locale: str
    sha256: str
    published_at: datetime
    link: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """One decision. ``person`` is the public id, or what is left of it once the person was erased."""

    record: UUID
    person: str
    is_device: bool
    decision: str
    method: str
    collected_at: datetime
    recorded_at: datetime
    expires_at: datetime | None
    has_ended: bool
    jurisdiction: str
    purpose_key: str
    purpose_label: str
    purpose_text: str
    lawful_basis: str
    channel: str
    capabilities: tuple[str, ...]
    covers_profiling: bool
    notice: Told | None
    served_at: datetime | None
    place: str
    controller: Controller

    @property
    def receipt_id(self) -> str:
        """The same for the same record, whenever and however often it is issued."""
        return receipt_id(self.record)

    @property
    def policy_url(self) -> str:
        """The privacy notice that was named to them, or else ours."""
        return (self.notice.link if self.notice else "") or self.controller.privacy_url

    @property
    def language(self) -> str:
        """BCP 47, of the words that were shown; what isn't known to have been shown is told in English here."""
        return self.notice.locale if self.notice else "en"

    @property
    def place_of_law(self) -> str:
        """Whose law applied: the person's as far as it was known, or else the controller's."""
        return self.jurisdiction or self.controller.country
