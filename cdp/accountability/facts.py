"""What a notification of a breach must say (GDPR Art. 33(3)), as far as the log and the settings know it.

Figures come from an answer of `cdp.accountability.breach` and from nowhere else; what only people can say is missing until they
write it.
"""

from dataclasses import dataclass
from datetime import datetime

from cdp.accountability.breach import Answer, deadline
from cdp.accountability.models import Controller


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One thing to be told, and by which point of Art. 33(3); ``text`` empty: it is missing."""

    point: str
    label: str
    text: str


def people_said(answer: Answer) -> str:
    """How many, as exactly as it can be told."""
    least, most = answer.people, answer.people_at_most
    if most is None:
        more = f", and more of whom it isn't recorded who they were ({answer.unnamed + answer.unsolved_rows:,} rows)"
        among = f"; of {len(answer.possible):,} others it can't be excluded" if answer.possible else ""
        return f"at least {least:,}{among}{more}"
    return f"{least:,}" if least == most else f"at least {least:,}, at most {most:,}"


def facts(answer: Answer, *, controller: Controller, aware_at: datetime | None) -> list[Fact]:
    """What can be said by now, in the order of the article."""
    question = answer.question
    zone = question.since.tzinfo

    def said(moment: datetime) -> str:
        """All moments in the zone in which was asked: a report that mixes zones is read wrong."""
        local = moment.astimezone(zone)
        return f"{local.day} {local:%b %Y, %H:%M:%S %Z}"

    span = f"{said(question.since)} to {said(question.until)}"
    first, last = answer.first, answer.last
    when = f"; the first read {said(first)}, the last {said(last)}" if first and last else ""
    if question.source is not None:
        records = f"{answer.sent:,} events that the source sent"
    else:
        records = f"rows shown: {answer.rows:,}, in reads: {sum(one.entries for one in answer.reads):,}"
    known = "" if aware_at is None else f"{said(aware_at)}; to be notified by {said(deadline(aware_at))}"
    return [
        Fact(point="(1)", label="When the controller became aware", text=known),
        Fact(point="(3)(a)", label="Nature of the breach", text=""),
        Fact(point="(3)(a)", label="Span looked at", text=span + when),
        Fact(point="(3)(a)", label="Categories of data subjects", text=controller.subjects),
        Fact(point="(3)(a)", label="Approximate number of data subjects", text=people_said(answer)),
        Fact(point="(3)(a)", label="Categories of data", text="; ".join(answer.fields)),
        Fact(point="(3)(a)", label="Approximate number of records", text=records),
        Fact(point="(3)(b)", label="Data protection officer", text=controller.officer),
        Fact(point="(3)(c)", label="Likely consequences", text=""),
        Fact(point="(3)(d)", label="Measures taken or proposed", text=""),
        Fact(point="(1)", label="Supervisory authority", text=controller.authority),
    ]
