"""Making personas, changing and reordering them, deleting them, and asking for their portraits.

Drawing them is in `segments.personas.running`.
"""

from collections.abc import Iterator
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError
from cdp.jobs.models import Job
from cdp.jobs.services import enqueue, let_follow
from cdp.profiles.score_services import published_scores
from segments.models import READABLE, Segment
from segments.personas.models import COLOURS, Persona
from segments.personas.sources import Group
from segments.rules import VERSION, RuleErrors, depends_on, parse
from segments.services import create_segment, key_for, publish

PORTRAY_KIND: Final = "personas.portray"
KIND: Final = "persona"
NAME_LIMIT: Final = 100


class PersonaInUse(Conflict):
    """Live rules read the persona; ``users`` are the segments."""

    def __init__(self, persona: Persona, users: list[Segment]) -> None:
        self.users = users
        names = ", ".join(f"“{one.name}”" for one in users)
        super().__init__("persona_in_use", f"“{persona.name}” is read by the rules of {names}. Change them first.")


@transaction.atomic
def create_persona(
    *, name: str, group: Group, by: Actor, description: str = "", colour: int | None = None, owner: User | None = None
) -> Persona:
    """The new persona, after all others; its portrait is being drawn.

    Raises:
        DomainError: no name, a name or a group that another persona has, or a colour that there is none of.
    """
    name = _name(name)
    last = Persona.objects.aggregate(last=Max("position"))["last"] or 0
    colour = last % COLOURS + 1 if colour is None else _colour(colour)
    persona = Persona.objects.create(
        key=key_for(name, among=Persona.objects.all(), otherwise="group") if name.lower() != KIND else "persona-1",
        name=name,
        description=description,
        source=group.source,
        score_kind=group.score_kind,
        cluster=group.cluster,
        rfm_group=group.rfm_group,
        segment=group.segment,
        source_name=group.name[:200],
        position=last + 1,
        colour=colour,
        owner=owner,
    )
    detail = {"key": persona.key, "name": name, "source": group.value}
    record(by=by, action="persona.created", object=persona, detail=detail)
    request_portraits(by=by, user=owner)
    return persona


@transaction.atomic
def change_persona(
    *,
    persona: Persona,
    by: Actor,
    name: str | None = None,
    description: str | None = None,
    colour: int | None = None,
    is_active: bool | None = None,
) -> Persona:
    """The persona by another name or description; its key and its group stay, and so does what is None.

    Raises:
        DomainError: no name, one that another persona has, or a colour that there is none of.
        PersonaInUse: it is to rest, or to be called otherwise, while live rules ask for it.
    """
    persona = Persona.objects.select_for_update().get(pk=persona.pk)
    wanted: dict[str, Any] = {
        "name": None if name is None else _name(name, persona),
        "description": description,
        "colour": None if colour is None else _colour(colour),
        "is_active": is_active,
    }
    changed = {field: value for field, value in wanted.items() if value not in (None, getattr(persona, field))}
    if not changed:
        return persona
    if "is_active" in changed and not is_active and (users := readers_of(persona)):
        raise PersonaInUse(persona, users)
    if "name" in changed and (users := readers_of(persona, by_name=True)):
        raise PersonaInUse(persona, users)
    before = {field: getattr(persona, field) for field in changed}
    for field, value in changed.items():
        setattr(persona, field, value)
    persona.save(update_fields=list(changed))
    record(by=by, action="persona.changed", object=persona, detail={"before": before, "after": changed})
    if {"name", "is_active"} & changed.keys():
        request_portraits(by=by)
    return persona


@transaction.atomic
def move_persona(*, persona: Persona, steps: int, by: Actor) -> None:
    """Puts it so many places further on, or up where steps are negative: of several personas a person has the first as theirs."""
    everybody = list(Persona.objects.select_for_update().order_by("position", "pk"))
    at = everybody.index(persona)
    to = max(0, min(len(everybody) - 1, at + steps))
    if to == at:
        return
    everybody.insert(to, everybody.pop(at))
    for position, one in enumerate(everybody, start=1):
        one.position = position
    Persona.objects.bulk_update(everybody, ["position"])
    record(by=by, action="persona.moved", object=persona, detail={"from": at + 1, "to": to + 1})
    request_portraits(by=by)


@transaction.atomic
def delete_persona(*, persona: Persona, by: Actor) -> None:
    """Forgets the persona and its portrait; who it named is nobody's persona from the next portraits on.

    Raises:
        PersonaInUse: live rules ask for it.
    """
    persona = Persona.objects.select_for_update().get(pk=persona.pk)
    if users := readers_of(persona):
        raise PersonaInUse(persona, users)
    detail = {"key": persona.key, "name": persona.name}
    record(by=by, action="persona.deleted", object=persona, detail=detail)
    persona.delete()
    request_portraits(by=by)


@transaction.atomic
def request_portraits(*, by: Actor, user: User | None = None) -> Job:
    """The job that draws all portraits anew; the one that is under way, if there is one."""
    job = enqueue(kind=PORTRAY_KIND, params={}, by=by, user=user, dedupe_key=PORTRAY_KIND)
    if user is not None:
        let_follow(job=job, user=user)
    return job


@transaction.atomic
def make_segment(*, persona: Persona, by: Actor, user: User) -> Segment:
    """A live segment of whoever has this persona.

    Raises:
        DomainError: nobody has it yet: its scores weren't published.
        RuleErrors: the rule can't go live.
    """
    if persona.key not in published_scores([KIND]).get(KIND, {}):
        raise DomainError("persona_not_published", "Nobody has this persona yet. Wait until its portrait is drawn.")
    segment = create_segment(
        name=persona.name,
        description=f"Whoever has the persona “{persona.name}”, as of its newest portrait.",
        rule={"version": VERSION, "score": f"{KIND}.{persona.key}", "op": "equals", "value": 1},
        owner=user,
        by=by,
    )
    publish(segment=segment, version=segment.versions.get(), by=by, user=user)
    return segment


# ---- Who reads it ----------------------------------------------------------------------------------------------------


def readers_of(persona: Persona, *, by_name: bool = False) -> list[Segment]:
    """The segments, live or paused, whose rules ask for this persona.

    Args:
        by_name: only those that name it by its name, as the label of `persona.persona`.
    """
    live = Segment.objects.filter(status__in=READABLE).select_related("live_version").order_by("name")
    return [one for one in live if one.live_version and _asks(one.live_version.rule, persona, by_name=by_name)]


def _asks(rule: Any, persona: Persona, *, by_name: bool) -> bool:
    try:
        scores = depends_on(parse(rule)).scores
    except RuleErrors:
        return False  # of a form no longer read: it is broken already
    if not by_name and f"{KIND}.{persona.key}" in scores:
        return True
    return f"{KIND}.{KIND}" in scores and persona.name in set(_labels(rule))


def _labels(part: Any) -> Iterator[str]:
    """What a rule compares the name of somebody's persona with."""
    if isinstance(part, dict):
        if part.get("score") == f"{KIND}.{KIND}":
            value = part.get("value")
            yield from [value] if isinstance(value, str) else value if isinstance(value, list) else []
        for inner in part.values():
            yield from _labels(inner)
    elif isinstance(part, list):
        for one in part:
            yield from _labels(one)


# ---- What may stand in it --------------------------------------------------------------------------------------------


def _name(name: str, persona: Persona | None = None) -> str:
    name = " ".join(name.split())
    if "\0" in name:  # no database takes it
        raise DomainError("name_unusable", "There is a NUL in the name.", "/name")
    if not 0 < len(name) <= NAME_LIMIT:
        raise DomainError("name_missing", f"A persona has a name of {NAME_LIMIT} characters at most.", "/name")
    others = Persona.objects.exclude(pk=persona.pk) if persona else Persona.objects.all()
    if others.filter(name__iexact=name).exists():
        raise Conflict("name_taken", f"There is a persona called “{name}” already.", "/name")
    return name


def _colour(colour: int) -> int:
    if not 1 <= colour <= COLOURS:
        raise DomainError("colour_unknown", f"A colour is a number from 1 to {COLOURS}.", "/colour")
    return colour
