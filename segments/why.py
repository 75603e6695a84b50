"""Why one person is in a segment's rule, or isn't: their facts read in one snapshot, judged twice, told only if both agree.

How a verdict is explained is in `segments.rules.explain`; who may ask, and how it is answered, is up to the doors.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor, snapshot
from cdp.errors import Conflict, DomainError
from cdp.logs import get_logger
from cdp.profiles.masking import HIDDEN, masked_properties
from cdp.profiles.models import Profile, TraitValue
from consent.models import Purpose
from segments.catalogue import catalog_for
from segments.engines import postgres
from segments.models import Membership, Segment, SegmentVersion
from segments.moments import moment_of_judgement
from segments.personal import personal_traits, without_values
from segments.rules import (
    Compared,
    Leaf,
    Occurrence,
    Performed,
    Person,
    Ranked,
    Rule,
    RuleErrors,
    Value,
    depends_on,
    leaves,
    load,
    parse,
)
from segments.rules.explain import Explained, explain, without_history
from segments.rules.findings import Case
from segments.sharing import visible_segments
from segments.standing import how_people_stand
from segments.thresholds import values_of, with_thresholds

log = get_logger(__name__)

WHY_SECONDS = 10
# A device that sent more than this of what a rule asks about is no person, and its story could not be read by one.
MOST_EVENTS = 20_000
END = datetime.max.replace(tzinfo=UTC)

EVENTS = """
    SELECT n.name, e.occurred_at, e.id, e.message_id, e.value, e.properties::text
      FROM profiles_event e JOIN profiles_eventname n ON n.id = e.name_id
     WHERE e.profile_id = %(profile)s AND e.occurred_at < %(before)s
       AND e.name_id = ANY(ARRAY(SELECT id FROM profiles_eventname WHERE name = ANY(%(names)s::text[])))
     LIMIT %(most)s
"""


@dataclass(frozen=True, kw_only=True)
class Recorded(Occurrence):
    """An event as it is stored: with `occurred_at`, the key of its row."""

    id: int


@dataclass(frozen=True, kw_only=True)
class Why:
    """The verdict of a rule on a person at a moment, condition by condition; `version` is None of a draft.

    `is_member` and `entered_at` say how the person stands in the segment now, whatever was asked: members follow the
    live version, and time's passing only with the next refresh.
    """

    profile: Profile
    version: SegmentVersion | None
    as_of: datetime
    tree: Explained
    is_member: bool
    entered_at: datetime | None
    is_masked: bool


class EnginesDisagree(DomainError):
    """What was read of the person doesn't give the verdict that the database gives: neither may be told."""

    status = 500

    def __init__(self) -> None:
        super().__init__(
            "engines_disagree",
            "Two ways of judging this rule disagree about this person, so nothing is told. It is in our logs.",
        )


def why(
    *,
    profile: Profile,
    version: SegmentVersion,
    purpose: Purpose,
    by: Actor,
    reader: User,
    as_of: datetime | None = None,
    is_masked: bool = True,
) -> Why:
    """Why the version's rule is true of the person, or isn't. On record as a read of the person.

    Args:
        purpose: what the person is read for; the caller has made sure that it is permitted.
        reader: who is told. Segments they may not see stay hidden.
        as_of: a moment in the past; only events have one. None asks as of now.
        is_masked: leave out what is personal data.

    Raises:
        RuleErrors: the rule doesn't fit the catalogue any more, or asks of the past what only the present knows.
        Conflict: there are too many events to tell.
        EnginesDisagree: the verdict isn't certain.
    """
    return _why(
        version.rule,
        profile=profile,
        segment=version.segment,
        version=version,
        purpose=purpose,
        by=by,
        reader=reader,
        as_of=as_of,
        is_masked=is_masked,
    )


def why_draft(
    *,
    profile: Profile,
    rule: Any,
    segment: Segment | None,
    purpose: Purpose,
    by: Actor,
    reader: User,
    is_masked: bool = True,
) -> Why:
    """The same of a rule that isn't saved, as of now.

    Args:
        rule: its document; the caller has made sure that the reader may name what it names.
        segment: whose rule it would be; None of a new one.

    Raises: as `why`.
    """
    return _why(
        rule,
        profile=profile,
        segment=segment,
        version=None,
        purpose=purpose,
        by=by,
        reader=reader,
        as_of=None,
        is_masked=is_masked,
    )


def _why(
    document: Any,
    *,
    profile: Profile,
    segment: Segment | None,
    version: SegmentVersion | None,
    purpose: Purpose,
    by: Actor,
    reader: User,
    as_of: datetime | None,
    is_masked: bool,
) -> Why:
    parsed = parse(document)
    known = catalog_for([depends_on(parsed)])
    rule = load(document, known)
    if as_of is not None and (errors := without_history(rule)):
        raise RuleErrors(errors)
    known = with_thresholds(known, rule, seconds=WHY_SECONDS)
    with snapshot(seconds=WHY_SECONDS):
        now = moment_of_judgement()
        if as_of is not None and as_of > now:
            raise DomainError("as_of_ahead", "as_of lies ahead; leave it out to ask as of now.", "/as_of")
        moment = as_of.astimezone(now.tzinfo) if as_of is not None else now  # by whose calendar rules mean "today"
        # Of the present it is asked, too, when time will change the verdict: by what is dated ahead, among others.
        person, raw = _facts(profile, rule, before=moment if as_of is not None else END)
        seen = masked_properties(raw, personal=personal_traits()) if is_masked else raw
        visible = visible_segments(reader).filter(key__in=known.segments).values_list("key", flat=True)
        open_to_them = {key: known.segments[key] for key in visible}
        case = Case(
            person=person,
            as_of=moment,
            catalog=replace(known, segments=open_to_them),
            shown=seen,
            hidden=_hidden(rule, seen) if is_masked else frozenset(),
            mask=_masked if is_masked else str,
            hidden_segments=known.segments.keys() - open_to_them.keys(),
        )
        tree = explain(rule, case)
        if tree.holds != (profile.pk in postgres.among(rule, known, as_of=moment, scope=[profile.pk])):
            log.error(
                "why_disagrees",
                segment_id=segment.pk if segment else None,
                version=version.number if version else None,
                profile=str(profile.uuid),
                as_of=moment.isoformat(),
                reference=tree.holds,
            )
            raise EnginesDisagree
        membership = Membership.objects.filter(segment=segment, profile=profile).first() if segment else None
        # What isn't kept as a version is put on record itself.
        asked = {"version": version.number} if version else {"version": None, "rule": without_values(document)}
        record(
            by=by,
            action="profile.explained",
            object=profile,
            purpose=purpose.key,
            detail={
                "segment": segment.key if segment else None,
                **asked,
                "as_of": moment.isoformat(),
                "masked": is_masked,
            },
        )
    return Why(
        profile=profile,
        version=version,
        as_of=moment,
        tree=tree,
        is_member=membership is not None,
        entered_at=membership.entered_at if membership else None,
        is_masked=is_masked,
    )


def _facts(profile: Profile, rule: Rule, *, before: datetime) -> tuple[Person, dict[str, Any]]:
    """All that the rule can ask about the person, and their traits as JSON."""
    asked = depends_on(rule)
    values = list(TraitValue.objects.filter(profile=profile, trait__key__in=asked.traits).select_related("trait"))
    segments = Membership.objects.filter(profile=profile, segment__key__in=asked.segments)
    person = Person(
        id=profile.pk,
        traits={one.trait.key: _value(one) for one in values},
        events=_events(profile, asked.events, before) if asked.events else (),
        segments=frozenset(segments.values_list("segment__key", flat=True)),
        thresholds=values_of(asked.rankings),
        **how_people_stand([profile.pk], [asked])[profile.pk].asked,
    )
    return person, {one.trait.key: one.raw for one in values}


def _value(stored: TraitValue) -> Value:
    return Value(
        number=stored.number,
        text=stored.text,
        text_folded=stored.text_folded,
        moment=stored.moment,
        boolean=stored.boolean,
        items=None if stored.items is None else tuple(stored.items),
    )


def _events(profile: Profile, names: Iterable[str], before: datetime) -> list[Recorded]:
    """Events of these names before the moment.

    Raises:
        Conflict: there are more than `MOST_EVENTS`.
    """
    with bound_cursor() as cursor:
        cursor.execute(
            EVENTS, {"profile": profile.pk, "names": sorted(names), "before": before, "most": MOST_EVENTS + 1}
        )
        rows = cursor.fetchall()
    if len(rows) > MOST_EVENTS:
        raise Conflict("too_many_events", f"More than {MOST_EVENTS} events would have to be looked at to tell why.")
    return [
        Recorded(name=name, occurred_at=at, id=number, message_id=message, value=value, properties=_exactly(properties))
        for name, at, number, message, value, properties in rows
    ]


def _exactly(properties: str) -> Mapping[str, object]:
    """Numbers as they were sent: a float could fall on the other side of the fourth decimal."""
    found: dict[str, object] = json.loads(properties, parse_float=Decimal, parse_int=Decimal)
    return found


def _masked(text: str) -> str:
    return str(masked_properties({"said": text})["said"])


def _hidden(rule: Rule, seen: Mapping[str, object]) -> frozenset[str]:
    """Traits that are masked, and properties that are personal data though they are measured."""
    measured = [side for leaf in leaves(rule) for side in _sides(leaf) if side.of is not None]
    masked = {**masked_properties({str(side.of): 0 for side in measured}, personal=personal_traits()), **seen}
    return frozenset(key for key, value in masked.items() if value == HIDDEN)


def _sides(leaf: Leaf) -> tuple[Performed, ...]:
    """The conditions in a leaf that measure events."""
    if isinstance(leaf, Compared):
        return leaf.left, leaf.right
    if isinstance(leaf, Ranked):
        return (leaf.figure,)
    return (leaf,) if isinstance(leaf, Performed) else ()
