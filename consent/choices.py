"""What one person has answered to each purpose, as it is told to them: their word, since when and on which text, until when.

Reading people for a purpose, which is decided by the state alone, is in `consent.querysets`.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from consent.models import (
    Confirmation,
    ConsentRecord,
    ConsentState,
    Decision,
    Mode,
    NoticeVersion,
    Purpose,
    Reach,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """How a person stands to one purpose.

    Args:
        answer: their own word as far as it holds: True, False, or None where they have said nothing that does.
        depth: how many purposes it lies beneath.
        until: when their yes ends, or the link that would confirm it.
        is_pending: it is a yes that isn't confirmed yet; ``is_sent`` says whether the link to do so has gone out.
    """

    purpose: Purpose
    depth: int
    answer: bool | None
    permits: bool
    since: datetime | None = None
    version: NoticeVersion | None = None
    until: datetime | None = None
    has_ended: bool = False
    is_pending: bool = False
    is_sent: bool = False

    def may_renew(self, at: datetime) -> bool:
        """Whether their yes ends so soon that it is time to ask again."""
        is_yes = self.answer is True and not self.is_pending and self.until is not None
        return is_yes and self.until - at <= timedelta(days=settings.RENEWAL_DAYS)  # type: ignore[operator]


def choices_of(profile_id: int, *, at: datetime, also: Collection[int] = ()) -> list[Choice]:
    """One for each purpose there is, parents before those beneath them.

    Args:
        also: profiles that were merged into this one. What holds has followed; a yes that isn't confirmed yet stays where
            it was said.
    """
    states = {
        state.purpose_id: state
        for state in ConsentState.objects.filter(profile_id=profile_id).select_related("record__notice_version__notice")
    }
    pending = _pending({profile_id, *also}, at)
    return [
        _choice(purpose, depth, states.get(purpose.pk), pending.get(purpose.pk), at)
        for purpose, depth in _in_order(list(Purpose.objects.select_related("parent")))
    ]


def _choice(
    purpose: Purpose, depth: int, state: ConsentState | None, waiting: Confirmation | None, at: datetime
) -> Choice:
    has_ended = state is not None and state.expires_at is not None and state.expires_at <= at
    answer = None if state is None or has_ended else state.decision == Decision.GRANTED
    permits = {Mode.OPT_IN: answer is True, Mode.OPT_OUT: answer is not False}.get(Mode(purpose.mode), True)
    # Of a yes that goes on holding, a renewal that waits to be confirmed changes nothing yet.
    if (
        waiting is not None
        and answer is not True
        and (state is None or waiting.record.collected_at > state.collected_at)
    ):
        return Choice(
            purpose=purpose,
            depth=depth,
            answer=True,
            permits=permits,
            since=waiting.record.collected_at,
            version=waiting.record.notice_version,
            until=waiting.expires_at,
            is_pending=True,
            is_sent=waiting.sent_at is not None,
        )
    if state is None:
        return Choice(purpose=purpose, depth=depth, answer=None, permits=permits)
    return Choice(
        purpose=purpose,
        depth=depth,
        answer=answer,
        permits=permits,
        since=state.collected_at,
        version=state.record.notice_version,
        until=state.expires_at,
        has_ended=has_ended,
    )


def _pending(profile_ids: Collection[int], at: datetime) -> dict[int, Confirmation]:
    """Purpose -> the newest link that can still be used."""
    links = Confirmation.objects.filter(
        record__profile_id__in=profile_ids, record__reach=Reach.PERSON, used_at__isnull=True, expires_at__gt=at
    ).select_related("record__notice_version__notice")
    return {link.record.purpose_id: link for link in links.order_by("record__collected_at", "record__pk")}


def is_stopped(profile_id: int, purpose: Purpose) -> bool:
    """Whether their last word is a no, so that to say it again would add nothing."""
    last = (
        ConsentRecord.objects.filter(profile_id=profile_id, purpose=purpose, reach=Reach.PERSON)
        .order_by("-collected_at", "-pk")
        .first()
    )
    state = ConsentState.objects.filter(profile_id=profile_id, purpose=purpose).first()
    is_no = state is not None and state.decision != Decision.GRANTED
    return is_no and (last is None or last.decision != Decision.PENDING)


def _in_order(purposes: list[Purpose]) -> Iterator[tuple[Purpose, int]]:
    """Each purpose with its depth, and what lies beneath it right after. A circle, which forms refuse, is cut open."""
    beneath: dict[int | None, list[Purpose]] = {}
    for purpose in purposes:
        beneath.setdefault(purpose.parent_id, []).append(purpose)
    seen: set[int] = set()

    def walk(parent: int | None, depth: int) -> Iterator[tuple[Purpose, int]]:
        for purpose in beneath.get(parent, ()):
            if purpose.pk not in seen:
                seen.add(purpose.pk)
                yield purpose, depth
                yield from walk(purpose.pk, depth + 1)

    yield from walk(None, 0)
    yield from ((purpose, 0) for purpose in purposes if purpose.pk not in seen)
