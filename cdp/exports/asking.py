"""What is asked of the database for a file: one statement, and what its columns are.

Everybody in it permits the audience's purpose at the moment it is asked. Of a delta, who left is named by their public id alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q, QuerySet

from cdp.activation.models import Audience, AudienceChange, AudienceMember
from cdp.activation.reading import members_at
from cdp.exports.fields import Field, Kind
from cdp.exports.models import Format
from cdp.profiles.models import Profile
from consent.querysets import permitted

# What a spreadsheet would run as a formula, also as East Asian keyboards write it.
FORMULA: Final = """('=', '+', '-', '@', E'\\t', E'\\r', E'\\n', '\uff1d', '\uff0b', '\uff0d', '\uff20')"""
MOMENT: Final = """to_char(m.entered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
IDENTIFIER: Final = (
    "(SELECT i.value FROM profiles_identifier i WHERE i.profile_id = m.profile_id AND i.namespace = %s AND m.is_in"
    "  ORDER BY i.last_seen_at DESC, i.id DESC LIMIT 1)"
)
SCORE: Final = (
    "(SELECT s.{column} FROM profiles_score s WHERE s.run_id = (SELECT r.id FROM profiles_scorerun r WHERE r.kind = %s AND r.is_current)"
    "    AND s.key = %s AND s.profile_id = m.profile_id AND m.is_in)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a file: its name, its kind, and how SQL says its value, with what belongs to the placeholders."""

    name: str
    kind: Kind
    sql: str
    params: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A SELECT with its parameters; of each row one column for NDJSON, else one for each of `columns`."""

    sql: str
    params: tuple[Any, ...]
    columns: Sequence[Column]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Of which people a file is: all of the audience; or, with ``after``, those who came or went since that position, and whom the
    file before withheld."""

    audience: Audience
    after: int | None = None
    again: tuple[int, ...] = ()

    @property
    def members(self) -> QuerySet[AudienceMember]:
        """Who is in now, permitting or not."""
        found = AudienceMember.objects.filter(audience=self.audience)
        return found if self.after is None else found.filter(self._moved)

    @property
    def permitting(self) -> QuerySet[AudienceMember]:
        found = members_at(self.audience, self.audience.position)
        return found if self.after is None else found.filter(self._moved)

    @property
    def withheld(self) -> QuerySet[AudienceMember]:
        who = permitted(Profile.objects.order_by(), self.audience.purpose)
        return self.members.exclude(profile_id__in=who.values("pk"))

    @property
    def gone(self) -> QuerySet[AudienceChange]:
        """The last change of each who moved and isn't in now."""
        inside = AudienceMember.objects.filter(audience=self.audience).values("profile_id")
        return self._changes.exclude(profile_id__in=inside).order_by("profile_id", "-position").distinct("profile_id")

    @property
    def _changes(self) -> QuerySet[AudienceChange]:
        assert self.after is not None
        return AudienceChange.objects.filter(audience=self.audience, position__gt=self.after)

    @property
    def _moved(self) -> Q:
        return Q(profile_id__in=self._changes.order_by().values("profile_id")) | Q(profile_id__in=self.again)


def question(stretch: Stretch, fields: Sequence[Field], *, format: str, is_for_spreadsheets: bool) -> Question:
    """The statement for a file of these people with these fields."""
    columns = [Column(name="profile", kind=Kind.TEXT, sql="m.profile_uuid")]
    if stretch.after is not None:
        columns.insert(
            0, Column(name="change", kind=Kind.TEXT, sql="CASE WHEN m.is_in THEN 'entered' ELSE 'exited' END")
        )
    columns += [_column(one, is_json=format == Format.NDJSON) for one in fields]
    people, params = _people(stretch)
    traits = "LEFT JOIN profiles_profile p ON p.id = m.profile_id AND m.is_in" if _needs_profile(fields) else ""
    said: list[Any] = []
    parts: list[str] = []
    for column in columns:
        if format == Format.NDJSON:
            parts += ["%s::text", column.sql]
            said += [column.name, *column.params]
        else:
            is_marked = format == Format.CSV and is_for_spreadsheets and column.kind == Kind.TEXT and column.params
            parts.append(_marked(column.sql) if is_marked else column.sql)
            said += column.params
    select = f"json_build_object({', '.join(parts)})" if format == Format.NDJSON else ", ".join(parts)
    sql = f"SELECT {select} FROM ({people}) AS m {traits}"  # noqa: S608  # of ours; what people chose goes beside it
    return Question(sql=sql, params=(*said, *params), columns=columns)


def _people(stretch: Stretch) -> tuple[str, tuple[Any, ...]]:
    inside, params = _compiled(
        stretch.permitting.order_by("profile_id").values_list("profile_id", "profile_uuid", "entered_at")
    )
    names = "(profile_id, profile_uuid, entered_at)"
    sql = f"SELECT e.*, true AS is_in FROM ({inside}) AS e {names}"  # noqa: S608
    if stretch.after is None:
        return sql, params
    left, more = _compiled(stretch.gone.values_list("profile_id", "profile_uuid"))
    both = (
        f"{sql} UNION ALL SELECT x.profile_id, x.profile_uuid, NULL::timestamptz, false"  # noqa: S608
        f" FROM ({left}) AS x (profile_id, profile_uuid)"
    )
    return both, (*params, *more)


def _compiled(rows: QuerySet[Any, Any]) -> tuple[str, tuple[Any, ...]]:
    return rows.query.sql_with_params()


def _needs_profile(fields: Sequence[Field]) -> bool:
    return any(one.of == "trait" for one in fields)


def _column(field: Field, *, is_json: bool) -> Column:
    params: tuple[str, ...]
    match field.of:
        case "identifier":
            sql, params = IDENTIFIER, (field.name,)
        case "trait":
            sql = _trait(field, is_json=is_json)
            params = (field.name,) * sql.count("%s")
        case "score":
            kind, _, key = field.name.partition(".")
            sql, params = SCORE.format(column="number" if field.kind == Kind.NUMBER else "label"), (kind, key)
        case _:
            sql, params = MOMENT, ()
    return Column(name=field.key, kind=field.kind, sql=sql, params=params)


def _trait(field: Field, *, is_json: bool) -> str:
    """Numbers and yes-or-no as what they are, where they are; everything else as text. NDJSON has each value as it was sent."""
    if is_json:
        return "p.traits -> %s"
    of_kind = {Kind.NUMBER: "number", Kind.BOOLEAN: "boolean"}.get(field.kind)
    if of_kind is None:
        return "p.traits ->> %s"
    return f"(CASE WHEN jsonb_typeof(p.traits -> %s) = '{of_kind}' THEN p.traits ->> %s END)"


def _marked(sql: str) -> str:
    # Said once, so that it is looked up once.
    return f"(SELECT CASE WHEN left(v, 1) IN {FORMULA} THEN '''' || v ELSE v END FROM (SELECT {sql}) AS t (v))"  # noqa: S608
