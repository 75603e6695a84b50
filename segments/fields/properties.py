"""What the events of one name carried in the last 30 days: their properties with what they mostly are, and their value.

There is no catalogue of properties: whoever sends an event decides what is in it. So they are found in the events, in all of
them or, where there are many, in some drawn by the hash of their number; and a name that fewer than five people's events have
isn't kept, for it may itself be somebody's (`{"id-of-ann": true}`).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cdp.profiles.models import EventName
from segments.fields.counting import common_values, distributions
from segments.fields.distributions import FEWEST, Distribution
from segments.fields.personal import is_personal_property
from segments.personal import personal_traits
from segments.queries import Query

MOST_LOOKED_AT: Final = 50_000
MOST_PROPERTIES: Final = 100
LONGEST_NAME: Final = 200
# What JSON calls it, and what rules can compare it as.
TYPES: Final = {"string": "text", "number": "number", "boolean": "boolean"}


@dataclass(frozen=True, kw_only=True)
class Property:
    """One property: how many of the events that were looked at have it, of how many people, and how its values lie."""

    name: str
    events: int
    people: int
    type: str = ""
    distinct: int | None = None
    top: tuple[tuple[str, int], ...] = ()
    distribution: Distribution | None = None


@dataclass(frozen=True, kw_only=True)
class Properties:
    """`looked_at` is how many events; `value` how their amounts lie in the reporting currency, if they have any."""

    looked_at: int = 0
    value: Distribution | None = None
    properties: list[Property] = field(default_factory=list)


LOOKED: Final = """
    WITH looked AS MATERIALIZED (
        SELECT e.profile_id, e.value, e.properties FROM profiles_event AS e
         WHERE e.name_id = %(name)s AND e.occurred_at >= %(since)s AND e.occurred_at < %(until)s
           AND mod(hashint8extended(e.id, 0), %(every)s) = 0 AND jsonb_typeof(e.properties) = 'object'
           AND e.profile_id IN ({query})
    )
"""
KINDS: Final = """
    SELECT p.key, jsonb_typeof(p.value), count(*), count(DISTINCT profile_id)
      FROM looked, jsonb_each(looked.properties) AS p
     WHERE p.value <> 'null' AND length(p.key) <= %(longest)s
     GROUP BY 1, 2 HAVING count(DISTINCT profile_id) >= %(fewest)s
     ORDER BY 3 DESC, 1
"""
TEXTS: Final = """
    SELECT p.key AS key, p.value #>> '{}' AS value, count(DISTINCT profile_id) AS people
      FROM looked, jsonb_each(looked.properties) AS p
     WHERE p.key = ANY(%(names)s::text[]) AND jsonb_typeof(p.value) IN ('string', 'boolean')
     GROUP BY 1, 2
"""
# CASE, because it alone promises that nothing is cast that isn't a number.
NUMBERS: Final = """
    SELECT key, figure FROM (
        SELECT '=' || p.key AS key, CASE WHEN jsonb_typeof(p.value) = 'number' THEN (p.value #>> '{}')::numeric END AS figure
          FROM looked, jsonb_each(looked.properties) AS p WHERE p.key = ANY(%(names)s::text[])
        UNION ALL SELECT '', looked.value FROM looked
    ) AS figures WHERE figure IS NOT NULL AND abs(figure) < 1e15
"""


def measured_properties(
    people: Query, event: EventName, *, events: int, since: datetime, until: datetime
) -> Properties:
    """What the events of this name carried, as far as these people are concerned.

    Args:
        events: how many there were; decides how many of them are looked at.
    """
    if not events:
        return Properties()
    every = -(-events // MOST_LOOKED_AT)
    params = {**people.params, "name": event.pk, "since": since, "until": until, "every": every}
    looked = people.of(LOOKED).sql

    def ask(sql: str, **more: object) -> Query:
        return Query(sql=sql, params={**params, **more}, before=looked)

    ((looked_at,),) = ask("SELECT count(*) FROM looked").rows()
    kinds: dict[str, dict[str, tuple[int, int]]] = {}
    for name, kind, count, of in ask(KINDS, longest=LONGEST_NAME, fewest=FEWEST).rows():
        if name in kinds or len(kinds) < MOST_PROPERTIES:
            kinds.setdefault(name, {})[kind] = count, of
    personal = personal_traits()
    told = [name for name in kinds if not is_personal_property(name, personal)]
    texts = common_values(ask(TEXTS, names=[name for name in told if kinds[name].keys() & {"string", "boolean"}]))
    numbers = distributions(ask(NUMBERS, names=[name for name in told if "number" in kinds[name]]))
    return Properties(
        looked_at=looked_at,
        value=numbers.get(""),
        properties=[
            Property(
                name=name,
                events=sum(count for count, _ in found.values()),
                people=max(of for _, of in found.values()),
                type=TYPES.get(max(found, key=lambda kind: found[kind][0]), ""),
                distinct=texts[name].distinct if name in texts else None,
                top=texts[name].top if name in texts else (),
                distribution=numbers.get(f"={name}"),
            )
            for name, found in kinds.items()
        ],
    )
