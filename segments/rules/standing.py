"""Leaves that look at how a person stands: scores, buckets, consent and lists. What they are in SQL.

Rows of scores and of lists may be of nobody: a model scored, or somebody listed, whom a merge has absorbed since. So
they are never read in place of `profile`. What is read from traits and events is the compiler's.
"""

from typing import TYPE_CHECKING, TypeAlias

from sqlglot import exp

from segments.rules.binding import AS_OF, SCOPE, is_one_of
from segments.rules.catalog import Catalog, ConsentMode
from segments.rules.compiled import logical
from segments.rules.hashing import compiled_hundredths
from segments.rules.nodes import Bucket, Consented, InList, Score

if TYPE_CHECKING:
    from segments.rules.compile import Compiler

Standing: TypeAlias = Score | Bucket | Consented | InList


def place(leaf: Standing) -> list[object]:
    """Leaves with the same place look at the same rows."""
    match leaf:
        case Score(score=score):
            return ["score", score]
        case Bucket(bucket=seed):
            return ["bucket", seed]
        case Consented(purpose=purpose):
            return ["consented", purpose]
        case InList(list_key=key):
            return ["list", key]


def records(compiler: "Compiler", leaf: Standing) -> exp.Select:
    """What is recorded where the leaf looks, one row a person."""
    match leaf:
        case Score(score=score):
            info = compiler.catalog.scores[score]
            of_kind = exp.EQ(this=exp.column("kind", "score"), expression=compiler.bind(info.kind))
            of_key = exp.EQ(this=exp.column("key", "score"), expression=compiler.bind(info.name))
            return _rows("score", of_kind, of_key, is_scoped=compiler.scoped)
        case Bucket():
            return _everybody(is_scoped=compiler.scoped)
        case InList(list_key=key):
            of_list = _is("list_entry", "list_id", compiler.catalog.lists[key].id)
            # Who absorbed others may be on a list for several of them.
            return _rows("list_entry", of_list, is_scoped=compiler.scoped).distinct(copy=False)
        case Consented(purpose=purpose):
            return _permitting(compiler.catalog, purpose, is_scoped=compiler.scoped)


def holds(compiler: "Compiler", leaf: Standing) -> exp.Expr:
    """Whether the leaf is true, asked of such a row."""
    match leaf:
        case Score(comparison=comparison):
            value = comparison.kind.trait_sql("score")
            return comparison.operator.compile(value, comparison.stored.operand, compiler.bind)
        case Bucket(bucket=seed):
            drawn = compiled_hundredths(compiler.bind(seed), exp.column("uuid", "profile"))
            wanted = leaf.in_hundredths
            return wanted.operator.compile(drawn, wanted.operand, compiler.bind)
        case Consented() | InList():
            return exp.true()


def ends_of_grants(catalog: Catalog, purpose: str) -> tuple[exp.Expr, ...] | None:
    """When a row of `consent` no longer holds, and then what is true of grants. None when none can end."""
    info = catalog.purposes[purpose]
    if info.mode is not ConsentMode.OPT_IN:
        return None
    granted = exp.EQ(this=exp.column("decision", "consent"), expression=exp.Literal.string("granted"))
    return exp.column("expires_at", "consent"), _is("consent", "purpose_id", info.id), granted


def _permitting(catalog: Catalog, purpose: str, *, is_scoped: bool) -> exp.Select:
    """The same people as `consent.querysets.permitted` lets through; only a grant can expire, and only an opt-in needs one.
    Nobody who is stopped for the purpose is among them."""
    info = catalog.purposes[purpose]
    of_purpose = _is("consent", "purpose_id", info.id)
    decision, granted = exp.column("decision", "consent"), exp.Literal.string("granted")
    if info.mode is ConsentMode.NOTICE_ONLY:
        return _without(_everybody(is_scoped=is_scoped), "stop", _is("stop", "purpose_id", info.id))
    if info.mode is ConsentMode.OPT_IN:
        ends = exp.column("expires_at", "consent")
        goes_on = exp.or_(
            exp.Is(this=ends, expression=exp.null()), exp.GT(this=ends.copy(), expression=AS_OF.copy()), copy=False
        )
        is_granted = exp.EQ(this=decision, expression=granted)
        permitting = _rows("consent", of_purpose, is_granted, exp.Paren(this=goes_on), is_scoped=is_scoped)
        return _without(
            permitting, "stop", _is("stop", "purpose_id", info.id), whose=exp.column("profile_id", "consent")
        )
    objected = exp.and_(of_purpose, exp.NEQ(this=decision, expression=granted), copy=False)
    permitting = _without(_everybody(is_scoped=is_scoped), "consent", objected)
    return _without(permitting, "stop", _is("stop", "purpose_id", info.id))


def _without(people: exp.Select, table: str, condition: exp.Expr, *, whose: exp.Expr | None = None) -> exp.Select:
    """The people without those who have such a row; ``whose`` column has their numbers, that of `profile` else."""
    own = exp.EQ(this=exp.column("profile_id", table), expression=whose or exp.column("id", "profile"))
    has_none = exp.Is(this=exp.column("profile_id", table), expression=exp.null())
    on = exp.and_(own, condition, copy=False)
    return people.join(table, on=on, join_type="left", copy=False).where(has_none, copy=False)


def _everybody(*, is_scoped: bool) -> exp.Select:
    person = exp.column("id", "profile")
    scope = (is_one_of(person.copy(), SCOPE.copy()),) if is_scoped else ()
    return exp.select(exp.alias_(person, "profile_id")).from_(logical("profile"), copy=False).where(*scope, copy=False)


def _rows(table: str, *conditions: exp.Expr, is_scoped: bool) -> exp.Select:
    person = exp.column("profile_id", table)
    scope = (is_one_of(person.copy(), SCOPE.copy()),) if is_scoped else ()
    return exp.select(person).from_(logical(table), copy=False).where(*conditions, *scope, copy=False)


def _is(table: str, column: str, row_id: int) -> exp.Expr:
    return exp.EQ(this=exp.column(column, table), expression=exp.Literal.number(int(row_id)))
