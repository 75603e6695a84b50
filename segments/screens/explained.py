"""Why one person is in a segment, or isn't, in the form in which screens show it: a tree of conditions, each with its verdict, what
was found and where to see it, and when time will change it. The verdicts are those of `segments.why`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.db import OperationalError
from django.http import HttpRequest
from django.urls import reverse

from cdp.audit.admin_base import actor_of, reader_of
from cdp.errors import DomainError
from cdp.profiles.models import Profile
from consent.models import Purpose
from segments.models import Segment, SegmentStatus
from segments.rules import RuleErrors
from segments.rules.explain import Explained
from segments.turning import Outlook, outlook
from segments.why import Why, why

EVENTS_SHOWN: Final = 3
GROUPS: Final = {"all": "All of these", "any": "At least one of these", "not": "None of this"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """An event that counts, and where it stands in the person's timeline."""

    at: datetime
    url: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A condition or a group. `serves` says whether it is as the rule wants it; None where that would tell of a hidden segment."""

    serves: bool | None
    text: str
    found: str = ""
    is_hidden: bool = False
    events: list[Evidence]
    more_events: int = 0
    hint: str = ""
    turns_at: datetime | None = None
    lines: list["Line"]


def explanation(
    request: HttpRequest, segment: Segment, purpose: Purpose, profile: Profile, *, is_masked: bool
) -> dict[str, Any]:
    """For a template: the verdict, the tree and the outlook; or why it can't be told."""
    version = segment.live_version or segment.versions.select_related("segment").first()
    if version is None:
        return {"unexplained": "This segment has no rule yet."}
    try:
        told = why(
            profile=profile,
            version=version,
            purpose=purpose,
            by=actor_of(request),
            reader=reader_of(request),
            is_masked=is_masked,
        )
    except RuleErrors as errors:
        return {"unexplained": f"The rule can't be asked any more: {errors}"}
    except DomainError as error:
        return {"unexplained": error.message}
    except OperationalError:
        return {"unexplained": "Working it out took too long just now. Try again in a minute."}
    seen, unforeseen = _ahead(segment, profile)
    return {
        **tree_of(told, profile),
        "outlook": seen,
        "unforeseen": unforeseen,
        "differs": segment.status == SegmentStatus.LIVE and told.is_member is not told.tree.holds,
    }


def tree_of(told: Why, profile: Profile) -> dict[str, Any]:
    """The verdict and its lines, for a template."""
    tree = _line(told.tree, profile)
    return {
        "why": told,
        "verdict": told.tree.told,
        # One condition at the top stands alone; of a group its own verdict is the heading's.
        "lines": tree.lines or [tree],
        "top": GROUPS.get(told.tree.form, "") if tree.lines else "",
    }


def _ahead(segment: Segment, profile: Profile) -> tuple[Outlook | None, str]:
    if segment.status != SegmentStatus.LIVE:
        return None, ""
    try:
        return outlook(profile=profile, segment=segment), ""
    except DomainError as error:
        return None, error.message
    except OperationalError:
        return None, "Looking ahead took too long just now."


def _line(node: Explained, profile: Profile) -> Line:
    serves = None if node.told is None else node.told is node.wanted
    if node.form == "not" and not node.conditions[0].conditions:
        return _leaf(node.conditions[0], profile, serves=serves, text=node.sentence)  # "who did not", in one line
    if node.conditions:
        below = node.conditions[0].conditions if node.form == "not" else node.conditions
        lines = [_line(one, profile) for one in below]
        return Line(serves=serves, text=_group(node), lines=lines, events=[])
    return _leaf(node, profile, serves=serves, text=node.sentence)


def _group(node: Explained) -> str:
    if node.form == "not" and node.conditions[0].form == "all":
        return "Not all of these together"
    return GROUPS[node.form] if node.form != "not" else "None of these"


def _leaf(node: Explained, profile: Profile, *, serves: bool | None, text: str) -> Line:
    finding = node.finding
    said = text.removeprefix("People ").removesuffix(".")
    if finding is None:
        return Line(serves=serves, text=said, lines=[], events=[])
    events = [
        Evidence(at=one.occurred_at, url=_in_timeline(profile, one.occurred_at))
        for one in finding.events[:EVENTS_SHOWN]
    ]
    return Line(
        serves=serves,
        text=said,
        found=finding.said,
        is_hidden=finding.is_hidden,
        events=events,
        more_events=max(0, finding.event_count - len(events)),
        hint=finding.hint.sentence if finding.hint and serves is False else "",
        turns_at=finding.turns_at,
        lines=[],
    )


def _in_timeline(profile: Profile, at: datetime) -> str:
    """The page of the timeline that begins with what happened at that moment."""
    page = reverse("admin:profiles_profile_detail", args=[profile.uuid])
    return f"{page}?{urlencode({'before': f'{at.isoformat()}~0'})}#timeline"
