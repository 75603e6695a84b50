"""How long data of each kind is kept, by the rules and purposes there are, or by those there might be.

A rule's period is the longest of its own days and those of its purposes. Where a rule is missing, or a purpose it names has
no end, there is no period: nothing is deleted, and screens say so. Changing rules is in `cdp.accountability.rules`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta

from django.conf import settings

from cdp.accountability.models import KeptFor, Kind, PurposeLifetime, RetentionRule
from cdp.profiles.models import EventName, EventType, Trait, TraitCategory

# Of one event name, of one category of traits, or of a kind as a whole: kind, event name's number, category.
Subject = tuple[Kind, int | None, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """A rule as it is, or as it might be."""

    days: int | None
    purposes: frozenset[int] = frozenset()
    reason: str = ""

    def period(self, lifetimes: Mapping[int, int]) -> int | None:
        """In days; None: no end."""
        if not self.purposes <= lifetimes.keys():
            return None
        spans = [lifetimes[purpose] for purpose in self.purposes]
        return max([*spans, *([] if self.days is None else [self.days])], default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Periods:
    """All rules and all lifetimes of purposes (by primary key, in days) at one moment."""

    rules: Mapping[Subject, Stated] = field(default_factory=dict)
    lifetimes: Mapping[int, int] = field(default_factory=dict)

    def rule_for(self, kind: Kind, *, name_id: int | None = None, category: str = "") -> Stated | None:
        """The rule that counts for this name or category: its own, or that of all others."""
        return self.rules.get((kind, name_id, category)) or self.rules.get((kind, None, ""))

    def days_for(self, kind: Kind, *, name_id: int | None = None, category: str = "") -> int | None:
        """For how many days it is kept; None: no end."""
        rule = self.rule_for(kind, name_id=name_id, category=category)
        days = None if rule is None else rule.period(self.lifetimes)
        if kind == Kind.QUARANTINE:  # the platform keeps it no longer than that, whatever a rule says
            return min(settings.QUARANTINE_DAYS, days or settings.QUARANTINE_DAYS)
        return days

    def with_rule(self, subject: Subject, rule: Stated | None) -> "Periods":
        """As they would be with this rule, or without one."""
        others = {one: stated for one, stated in self.rules.items() if one != subject}
        return replace(self, rules=others if rule is None else {**others, subject: rule})

    def with_lifetime(self, purpose_id: int, days: int | None) -> "Periods":
        others = {one: known for one, known in self.lifetimes.items() if one != purpose_id}
        return replace(self, lifetimes=others if days is None else {**others, purpose_id: days})

    def shortened(self, later: "Periods", subjects: Collection[Subject]) -> list[Subject]:
        """Those of the subjects that are kept for less time by the later ones."""
        return [one for one in subjects if _is_shorter(later._days(one), self._days(one))]

    def _days(self, subject: Subject) -> int | None:
        kind, name_id, category = subject
        return self.days_for(kind, name_id=name_id, category=category)


def _is_shorter(later: int | None, before: int | None) -> bool:
    return later is not None and (before is None or later < before)


def current() -> Periods:
    """As they are set up now."""
    purposes: dict[int, set[int]] = {}
    for rule_id, purpose_id in KeptFor.objects.values_list("rule_id", "purpose_id"):
        purposes.setdefault(rule_id, set()).add(purpose_id)
    return Periods(
        rules={
            (Kind(rule.kind), rule.event_name_id, rule.category): Stated(
                days=rule.days, purposes=frozenset(purposes.get(rule.pk, ())), reason=rule.reason
            )
            for rule in RetentionRule.objects.all()
        },
        lifetimes=dict(PurposeLifetime.objects.values_list("purpose_id", "retention_days")),
    )


def all_subjects() -> list[Subject]:
    """Whatever a rule can shorten: each event name, each category of traits, the other kinds."""
    names = EventName.objects.order_by("name").values_list("pk", flat=True)
    return [
        *((Kind.EVENTS, pk, "") for pk in names),
        *((Kind.TRAITS, None, category.value) for category in TraitCategory),
        (Kind.SCORES, None, ""),
        (Kind.QUARANTINE, None, ""),
    ]


def cutoff(as_of: datetime, days: int) -> datetime:
    """What is older is over: the midnight (UTC) that begins the day so many days ago, so that whole days are kept."""
    midnight = datetime.combine(as_of.astimezone(UTC).date(), time(), UTC)
    return midnight - timedelta(days=days)


def event_cutoffs(periods: Periods, as_of: datetime) -> dict[int, datetime]:
    """Event name's number -> before when its events are over. Names without an end are absent.

    What is derived has no time of its own: it goes with what it was derived from. A rule for a name by which the platform
    itself derives events is about those that a source sent under it.
    """
    found = {}
    for pk in EventName.objects.values_list("pk", flat=True):
        days = periods.days_for(Kind.EVENTS, name_id=pk)
        if days is not None:
            found[pk] = cutoff(as_of, days)
    return found


def trait_cutoffs(periods: Periods, as_of: datetime) -> dict[int, datetime]:
    """Trait's number -> before when its values are over. Traits without an end are absent."""
    found = {}
    for pk, category in Trait.objects.values_list("pk", "category"):
        days = periods.days_for(Kind.TRAITS, category=category)
        if days is not None:
            found[pk] = cutoff(as_of, days)
    return found


def names_without_end(periods: Periods) -> list[EventName]:
    """Names of which events are kept for ever, because nobody has said how long; derived ones follow others."""
    names = EventName.objects.exclude(type=EventType.DERIVED)
    return [name for name in names if periods.days_for(Kind.EVENTS, name_id=name.pk) is None]
