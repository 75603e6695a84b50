"""What one batch of the pipeline came to, and what its sources' figures and whoever looks at them are told of it.

What is done with a batch is in `cdp.pipeline`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cdp.ingestion import counting, watching
from cdp.ingestion.models import Outcome
from cdp.ingestion.quarantine import Refused
from cdp.ingestion.watching import Seen, seen_message, seen_refused
from cdp.ingestion.wire import Message


@dataclass(slots=True)
class Report:
    """What one batch came to."""

    requests: int = 0
    messages: int = 0
    stored: int = 0
    repeats: int = 0
    quarantined: int = 0
    # Named nobody but people who were erased: dropped, and counted by source.
    suppressed: int = 0
    entered: int = 0
    exited: int = 0
    # What of which source wasn't accepted, and notes on the messages of sources that somebody looks at.
    became: counting.Outcomes = field(default_factory=Counter)
    noticed: list[Seen] = field(default_factory=list)
    watched: frozenset[int] = frozenset()

    def tell(self, messages: Iterable[Message], outcome: Outcome, code: str = "", pointer: str = "") -> None:
        """Notes what became of messages; those that were accepted are only noted where somebody looks."""
        for message in messages:
            if outcome != Outcome.ACCEPTED:
                self.became[message.source_id, outcome] += 1
            if message.source_id in self.watched:
                self.noticed.append(seen_message(message, outcome, code, pointer))

    def tell_refused(self, refused: Sequence[Refused], kept: Sequence[Refused]) -> None:
        """Notes what couldn't be read: it is in quarantine, but for what names nobody but people who were erased."""
        is_kept = {id(one) for one in kept}
        for one in refused:
            outcome = Outcome.QUARANTINED if id(one) in is_kept else Outcome.DROPPED
            self.became[one.source_id, outcome] += 1
            if one.source_id in self.watched:
                self.noticed.append(seen_refused(one, outcome))

    def count(self, messages: Sequence[Message], refused: Sequence[Refused]) -> None:
        """Adds the batch to the figures of its sources, last of all: whoever else counts waits no longer than for the commit."""
        came = Counter(message.source_id for message in messages)
        came.update(one.source_id for one in refused)
        if self.noticed:
            watching.note(self.noticed)
        counting.add(came, self.became)

    def __add__(self, other: "Report") -> "Report":
        """What two batches, or both halves of one, came to."""
        return Report(
            requests=self.requests + other.requests,
            messages=self.messages + other.messages,
            stored=self.stored + other.stored,
            repeats=self.repeats + other.repeats,
            quarantined=self.quarantined + other.quarantined,
            suppressed=self.suppressed + other.suppressed,
            entered=self.entered + other.entered,
            exited=self.exited + other.exited,
            became=self.became + other.became,
            noticed=self.noticed + other.noticed,
            watched=self.watched,
        )
