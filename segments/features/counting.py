"""The statement that counts features: for each group of them one pass over its table, joined to the people they are of.

Which features there are is in `segments.features.catalogue`; running the statement in `segments.features.loading`. Texts are
of this module; every name, moment and value that comes from elsewhere is bound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cdp.profiles.models import TraitType
from cdp.profiles.orders import ORDER_COMPLETED, PRODUCT_PURCHASED, REVENUE_BOOKED
from segments.features import channels
from segments.features.catalogue import CATEGORY, CHANNEL, DEVICE, VALUE, Parts

PAGE_VIEWED, SCREEN_VIEWED, PRODUCT_VIEWED = "Page Viewed", "Screen Viewed", "Product Viewed"
MONTH_DAYS: Final = 30.4375
YEAR_DAYS: Final = 365.2425


@dataclass(frozen=True, kw_only=True)
class Group:
    """A pass over one table.

    Attributes:
        rows: what it reads, from FROM on; `{who}` stands for the condition on whom it reads of, `{of}` before it for the column.
        of: the column with the person, by whom it is grouped.
        is_one_each: whether there is one row of a person at most, so that nothing need be grouped.
    """

    rows: str
    of: str
    is_one_each: bool = False


_SPAN: Final = "e.occurred_at >= %(since)s::timestamptz AND e.occurred_at < %(as_of)s::timestamptz"
# Everything here is in the covering indexes: names, moments and values, no properties.
EVENTS: Final = Group(
    rows=f"FROM profiles_event AS e WHERE e.name_id = ANY(%(event_names)s::int[]) AND {_SPAN} AND {{who:e}}",
    of="e.profile_id",
)
PAUSES: Final = Group(
    rows=f"""FROM (
        SELECT e.profile_id, row_number() OVER one_after_another AS place,
               date_part('epoch', e.occurred_at - lag(e.occurred_at) OVER one_after_another) / 86400 AS days
          FROM profiles_event AS e WHERE e.name_id = %(name_order)s::int AND {_SPAN} AND {{who:e}}
        WINDOW one_after_another AS (PARTITION BY e.profile_id ORDER BY e.occurred_at)) AS pause""",
    of="pause.profile_id",
)
ORDERS: Final = Group(
    rows=f"FROM profiles_event AS e WHERE e.name_id = %(name_order)s::int AND {_SPAN} AND {{who:e}}",
    of="e.profile_id",
)
# Counted by what is said first, so that each line's and each visit's words are read once, however many are asked for.
LINES: Final = Group(
    rows=f"""FROM (
        SELECT e.profile_id, lower(e.properties ->> 'category') AS category, count(*) AS many
          FROM profiles_event AS e WHERE e.name_id = %(name_line)s::int AND {_SPAN} AND {{who:e}}
         GROUP BY 1, 2) AS line""",
    of="line.profile_id",
)
_BEGAN: Final = "s.started_at >= %(since)s::timestamptz AND s.started_at < %(as_of)s::timestamptz"
VISITS: Final = Group(rows=f"FROM profiles_session AS s WHERE {_BEGAN} AND {{who:s}}", of="s.profile_id")
CAME: Final = Group(
    rows=f"""FROM (
        SELECT s.profile_id, {channels.CHANNEL} AS channel, count(*) AS many
          FROM profiles_session AS s WHERE {_BEGAN} AND {{who:s}} GROUP BY 1, 2) AS came""",
    of="came.profile_id",
)
VIEWS: Final = Group(
    rows=f"""FROM (
        SELECT e.profile_id, {channels.DEVICE} AS device, count(*) AS many
          FROM (SELECT e.profile_id, lower(coalesce(e.context #>> '{{device,type}}', '')) AS said,
                       lower(coalesce(e.context ->> 'userAgent', '')) AS agent
                  FROM profiles_event AS e WHERE e.name_id = ANY(%(view_names)s::int[]) AND {_SPAN} AND {{who:e}}) AS e
         GROUP BY 1, 2) AS seen""",
    of="seen.profile_id",
)
_SINCE_SEEN: Final = "date_part('epoch', %(as_of)s::timestamptz - person.first_seen_at) / 86400"
_DAYS_TO: Final = "date_part('epoch', %(as_of)s::timestamptz - {moment}) / 86400"
_DISCOUNTED: Final = """CASE WHEN e.properties ->> 'discount' ~ '^-?[0-9.]*[1-9]' OR btrim(e.properties ->> 'coupon') <> ''
                             THEN 1.0 ELSE 0.0 END"""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """How one feature is counted.

    Attributes:
        group: the pass that counts it; None for what stands in the person's own row.
        columns: by name, what the pass gives for it. The same name is the same column, whoever asks for it.
        whole: the figure, out of these columns and of the row `person`.
        events: names of events it needs, by the name of the operand.
        params: its own operands.
    """

    whole: str
    group: Group | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


_ORDER: Final = {"name_order": ORDER_COMPLETED}
_REVENUE: Final = {"name_revenue": REVENUE_BOOKED}
_OF_ORDERS: Final = "FILTER (WHERE e.name_id = %(name_order)s::int)"
_OF_REVENUE: Final = "FILTER (WHERE e.name_id = %(name_revenue)s::int{more})"
_COUNT: Final = {"orders": f"count(*) {_OF_ORDERS}"}
_LAST: Final = {"last_order": f"max(e.occurred_at) {_OF_ORDERS}"}
_FIRST: Final = {"first_order": f"min(e.occurred_at) {_OF_ORDERS}"}

FIXED: Final[Mapping[str, Figure]] = {
    "orders_per_month": Figure(
        group=EVENTS,
        events=_ORDER,
        columns=_COUNT,
        whole=f"coalesce(orders, 0) / greatest(1, least(%(window_days)s::float8, {_SINCE_SEEN}) / {MONTH_DAYS})",
    ),
    "average_order_value": Figure(
        group=EVENTS, events=_ORDER, columns={"order_value": f"avg(e.value) {_OF_ORDERS}"}, whole="order_value"
    ),
    "net_revenue": Figure(
        group=EVENTS,
        events=_REVENUE,
        columns={"revenue": f"sum(e.value) {_OF_REVENUE.format(more='')}"},
        whole="coalesce(revenue, 0)",
    ),
    "recency_days": Figure(group=EVENTS, events=_ORDER, columns=_LAST, whole=_DAYS_TO.format(moment="last_order")),
    "order_gap_days": Figure(
        group=EVENTS,
        events=_ORDER,
        columns=_COUNT | _LAST | _FIRST,
        whole="date_part('epoch', last_order - first_order) / 86400 / nullif(orders - 1, 0)",
    ),
    "order_gap_trend": Figure(
        group=PAUSES, events=_ORDER, columns={"pause_trend": "regr_slope(pause.days, pause.place)"}, whole="pause_trend"
    ),
    "discount_share": Figure(
        group=ORDERS, events=_ORDER, columns={"discounted": f"avg({_DISCOUNTED})"}, whole="discounted"
    ),
    "refund_share": Figure(
        group=EVENTS,
        events=_REVENUE,
        columns={
            "brought": f"sum(e.value) {_OF_REVENUE.format(more=' AND e.value > 0')}",
            "taken_back": f"sum(e.value) {_OF_REVENUE.format(more=' AND e.value < 0')}",
        },
        whole="-coalesce(taken_back, 0) / brought",
    ),
    "tenure_days": Figure(whole=_SINCE_SEEN),
    "sessions": Figure(group=VISITS, columns={"visits": "count(*)"}, whole="coalesce(visits, 0)"),
    "session_minutes": Figure(
        group=VISITS,
        columns={"visit_minutes": "avg(date_part('epoch', s.ended_at - s.started_at)) / 60"},
        whole="visit_minutes",
    ),
    "days_since_visit": Figure(
        group=VISITS, columns={"last_visit": "max(s.started_at)"}, whole=_DAYS_TO.format(moment="last_visit")
    ),
    "page_views": Figure(
        group=EVENTS,
        events={"name_page": PAGE_VIEWED, "name_screen": SCREEN_VIEWED},
        columns={"pages": "count(*) FILTER (WHERE e.name_id IN (%(name_page)s::int, %(name_screen)s::int))"},
        whole="coalesce(pages, 0)",
    ),
    "product_views": Figure(
        group=EVENTS,
        events={"name_product": PRODUCT_VIEWED},
        columns={"looks": "count(*) FILTER (WHERE e.name_id = %(name_product)s::int)"},
        whole="coalesce(looks, 0)",
    ),
}


@dataclass(frozen=True, slots=True)
class TraitInfo:
    """What must be known of a trait to count it."""

    id: int
    type: str
    is_birth: bool


def figure_of(parts: Parts, number: int, trait: TraitInfo | None) -> Figure:
    """How a feature is counted.

    Args:
        number: tells its operands from those of others.
        trait: the one its key names, where it names one.
    """
    if parts.kind in FIXED:
        return FIXED[parts.kind]
    if parts.kind == CATEGORY:
        return _share(LINES, "line", CATEGORY, parts.name, number, events={"name_line": PRODUCT_PURCHASED})
    if parts.kind == CHANNEL:
        return _share(CAME, "came", CHANNEL, parts.name, number)
    if parts.kind == DEVICE:
        return _share(
            VIEWS, "seen", DEVICE, parts.name, number, events={"view_page": PAGE_VIEWED, "view_screen": SCREEN_VIEWED}
        )
    if trait is None:
        raise ValueError(f"a feature of the kind {parts.kind} needs its trait")
    return _of_trait(parts, number, trait)


def _share(
    group: Group, row: str, column: str, value: str, number: int, *, events: Mapping[str, str] | None = None
) -> Figure:
    known = f"{column}_known"
    return Figure(
        group=group,
        events=events or {},
        columns={
            known: f"sum({row}.many) FILTER (WHERE {row}.{column} IS NOT NULL)",
            f"{column}_{number}": f"sum({row}.many) FILTER (WHERE {row}.{column} = %({column}_{number})s::text)",
        },
        params={f"{column}_{number}": value},
        whole=f"coalesce({column}_{number}, 0) / nullif({known}, 0)",
    )


def _of_trait(parts: Parts, number: int, trait: TraitInfo) -> Figure:
    operand, row = f"trait_{trait.id}", f"trait_{trait.id}"
    # The same text for all that is asked of a trait: so they are one pass.
    group = Group(
        rows=f"FROM profiles_traitvalue AS v WHERE v.trait_id = %({operand})s::int AND {{who:v}}",
        of="v.profile_id",
        is_one_each=True,
    )
    params: dict[str, Any] = {operand: trait.id}
    name, column = f"{row}_number", "v.number"
    whole = name
    if parts.kind == VALUE:
        params[f"value_{number}"] = parts.value
        said = f"%(value_{number})s::text"
        name = whole = f"{row}_is_{number}"
        column = (
            f"(v.items @> ARRAY[{said}])::int" if trait.type == TraitType.LIST else f"(v.text_folded = {said})::int"
        )
    elif trait.type == TraitType.DATE:
        name, column = f"{row}_moment", "v.moment"
        whole = _DAYS_TO.format(moment=name) + (f" / {YEAR_DAYS}" if trait.is_birth else "")
    elif trait.type == TraitType.BOOLEAN:
        name, column = f"{row}_yes", "v.boolean::int"
        whole = name
    return Figure(group=group, columns={name: column}, params=params, whole=whole)


def statement_for(figures: Sequence[Figure], people: str, *, one_by_one: bool = False, few: bool = False) -> str:
    """A row for each of the people: `id`, and each figure as a float8, NaN where there is none.

    Args:
        people: a query with the columns `id` and `first_seen_at`.
        one_by_one: whether each person is looked up by themself; else each table is read once, for all.
        few: whether the people are those of the operand `ids`, so that no others need be read.
    """
    groups: dict[Group, dict[str, str]] = {}
    for figure in figures:
        if figure.group is not None:
            groups.setdefault(figure.group, {}).update(figure.columns)
    joined = "".join(
        _joined(group, columns, number, one_by_one=one_by_one, few=few)
        for number, (group, columns) in enumerate(groups.items())
    )
    wanted = ", ".join(f"coalesce(({figure.whole})::float8, 'NaN'::float8)" for figure in figures)
    return f"SELECT person.id, {wanted} FROM ({people}) AS person {joined}"


def _joined(group: Group, columns: Mapping[str, str], number: int, *, one_by_one: bool, few: bool) -> str:
    listed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    if one_by_one:
        whole = f"SELECT {listed} {_reading(group, '{}.profile_id = person.id')}"
        return f" LEFT JOIN LATERAL ({whole}) AS group_{number} ON true"
    reading = _reading(group, "{}.profile_id = ANY(%(ids)s::bigint[])" if few else "true")
    whole = f"SELECT {group.of} AS profile_id, {listed} {reading}" + ("" if group.is_one_each else " GROUP BY 1")
    return f" LEFT JOIN ({whole}) AS group_{number} ON group_{number}.profile_id = person.id"


def _reading(group: Group, condition: str) -> str:
    rows = group.rows
    for table in "esv":
        rows = rows.replace(f"{{who:{table}}}", condition.format(table))
    return rows
