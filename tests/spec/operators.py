"""What each operator means, as tables: a stored value, and whether the condition holds of it.

Every table has the row of the missing value and one of a value of another type. The same rows run on every engine.
"""

from dataclasses import dataclass
from typing import Any, Final


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()
NO_OPERAND: Final = _Missing()


@dataclass(frozen=True)
class Table:
    """One operator with one operand, on a trait of one type (or on an event property), and its verdicts."""

    declared: str
    op: str
    operand: Any
    holds: tuple[Any, ...]
    fails: tuple[Any, ...]
    exact: bool = False

    @property
    def name(self) -> str:
        return f"{self.declared} {self.op} {'' if self.operand is NO_OPERAND else self.operand}".strip()

    @property
    def condition(self) -> dict[str, Any]:
        value = {} if self.operand is NO_OPERAND else {"value": self.operand}
        return {"op": self.op, **value, **({"exact": True} if self.exact else {})}

    @property
    def rows(self) -> list[tuple[Any, bool]]:
        return [(raw, True) for raw in self.holds] + [(raw, False) for raw in self.fails]


TRAITS: Final = (
    Table("text", "equals", "Zoë", holds=("Zoë", "zoe", "ZOE"), fails=("Zo", "Zoe ", "", 5, ["Zoë"], {}, MISSING)),
    Table("text", "equals", "straße", holds=("STRASSE", "Straße"), fails=("strase", MISSING)),
    Table("text", "equals", "", holds=("",), fails=(" ", "a", 0, False, MISSING)),
    Table("text", "equals", "5", holds=("5",), fails=(5, "5.0", MISSING)),
    Table("text", "not_equals", "gold", holds=("silver", "", 5, True, ["gold"], MISSING), fails=("gold", "GÓLD")),
    Table("text", "any_of", ["gold", "Silver"], holds=("GOLD", "silver"), fails=("bronze", "", ["gold"], MISSING)),
    Table("text", "none_of", ["gold", "Silver"], holds=("bronze", 7, ["gold"], MISSING), fails=("Gold", "silver")),
    Table("text", "contains", "É", holds=("café", "E", "tea"), fails=("", "xyz", 3, ["e"], MISSING)),
    Table("text", "contains", "50%_\\", holds=("at 50%_\\ off",), fails=("50%x\\", "505_\\", "50%_", MISSING)),
    Table("text", "starts_with", "a_b", holds=("A_B", "a_bc"), fails=("axb", "xa_b", "a", True, MISSING)),
    Table("text", "ends_with", "%", holds=("5%", "%"), fails=("5", "%5", "", 5, MISSING)),
    Table("text", "matches", "^go+ld$", holds=("gold", "GOOLD", "góld"), fails=("gld", "golden", "a gold", 5, MISSING)),
    Table("text", "matches", "[a-c]\\d{2,3}", holds=("x A12", "b1234"), fails=("d12", "a1", "", ["a12"], MISSING)),
    Table("text", "matches", "^(red|blue)( |$)", holds=("Red", "blue shoes"), fails=("reddish", "dark red", MISSING)),
    Table("text", "matches", "^.$", holds=("a", "日"), fails=("", "\n", "a\n", "ab", MISSING)),
    Table("text", "matches", "ß", holds=("STRASSE", "straße"), fails=("strase", MISSING)),
    Table(
        "text", "matches", "a\\.b\\D\\S\\W", holds=("a.bxy-",), fails=("axbxy-", "a.b1y-", "a.bx -", "a.bxyz", MISSING)
    ),
    Table("text", "equals", "Zoë", holds=("Zoë",), fails=("zoë", "Zoe", 5, MISSING), exact=True),
    Table("text", "not_equals", "Gold", holds=("gold", MISSING), fails=("Gold",), exact=True),
    Table("text", "any_of", ["Gold", "Tin"], holds=("Gold", "Tin"), fails=("gold", "TIN", MISSING), exact=True),
    Table("text", "contains", "Go", holds=("Golden",), fails=("golden", MISSING), exact=True),
    Table("text", "matches", "^G", holds=("Gold",), fails=("gold", MISSING), exact=True),
    Table("text", "exists", NO_OPERAND, holds=("", "a", 0, False, [], {}), fails=(None, MISSING)),
    Table("text", "missing", NO_OPERAND, holds=(None, MISSING), fails=("", "a", 0, False, [], {})),
    Table("number", "equals", 5, holds=(5, 5.0, 5.00004), fails=(5.0001, "5", True, -5, MISSING)),
    Table("number", "equals", 1, holds=(1, 1.0), fails=(True, "1", MISSING)),
    Table("number", "equals", 0.0001, holds=(0.0001, 0.00005), fails=(0, 0.00004, 0.00015, MISSING)),
    Table("number", "not_equals", 5, holds=(6, "5", True, 10**15, MISSING), fails=(5, 5.0)),
    Table("number", "any_of", [1, 2.5], holds=(1, 2.5), fails=(2, True, "1", MISSING)),
    Table("number", "none_of", [1, 2.5], holds=(2, True, "1", MISSING), fails=(1, 2.5)),
    Table("number", "gt", 5, holds=(5.0001, 999999999999999), fails=(5, 4, 10**15, 10**400, "6", True, MISSING)),
    Table("number", "gte", 5, holds=(5, 4.99995), fails=(4.9999, "5", 10**15, MISSING)),
    Table("number", "lt", 0, holds=(-0.0001, -999999999999999), fails=(0, -0.00004, -(10**15), "-1", MISSING)),
    Table("number", "lte", 0, holds=(0, -1, -0.0), fails=(0.0001, False, MISSING)),
    Table("number", "between", [2, 4], holds=(2, 3, 4), fails=(1.9999, 4.0001, "3", MISSING)),
    Table("number", "not_between", [2, 4], holds=(1.9999, 4.0001, "3", MISSING), fails=(2, 3, 4)),
    Table("number", "exists", NO_OPERAND, holds=(0, "text", 10**400), fails=(None, MISSING)),
    Table("number", "missing", NO_OPERAND, holds=(None, MISSING), fails=(0, "text")),
    Table("boolean", "equals", True, holds=(True,), fails=(False, 1, "true", MISSING)),
    Table("boolean", "equals", False, holds=(False,), fails=(True, 0, "", MISSING)),
    Table("boolean", "not_equals", True, holds=(False, 1, "true", MISSING), fails=(True,)),
    Table("boolean", "exists", NO_OPERAND, holds=(False, True, "x"), fails=(None, MISSING)),
    Table("boolean", "missing", NO_OPERAND, holds=(None, MISSING), fails=(False, True)),
    Table(
        "date",
        "before",
        "2026-03-01",
        holds=("2026-02-28", "2026-02-28T23:59:59.999999Z", "2026-03-01T00:30:00+01:00", "0001-01-02"),
        fails=("2026-03-01", "2026-03-01T00:00:00Z", "March", 20260101, MISSING),
    ),
    Table(
        "date",
        "after",
        "2026-03-01",
        holds=("2026-03-02", "2026-03-02T00:00:00Z", "9999-12-30"),
        fails=("2026-03-01", "2026-03-01T23:59:59.999999Z", "2026-02-01", True, MISSING),
    ),
    Table(
        "date",
        "after",
        "2026-03-01T10:00:00Z",
        holds=("2026-03-01T10:00:00.000001Z",),
        fails=("2026-03-01T10:00:00Z", "2026-03-01T11:00:00+01:00", MISSING),
    ),
    Table(
        "date",
        "between",
        ["2026-03-01", "2026-03-31"],
        holds=("2026-03-01", "2026-03-31", "2026-03-31T23:59:59.999999Z"),
        fails=("2026-02-28", "2026-04-01", "soon", MISSING),
    ),
    Table(
        "date",
        "not_between",
        ["2026-03-01", "2026-03-31"],
        holds=("2026-02-28", "2026-04-01", "soon", 3, MISSING),
        fails=("2026-03-01", "2026-03-31"),
    ),
    Table(
        "date",
        "within_last",
        {"days": 30},
        holds=("2026-05-02T12:00:00Z", "2026-06-01T11:59:59.999999Z"),
        fails=("2026-05-02T11:59:59.999999Z", "2026-06-01T12:00:00Z", "2026-07-01", 30, MISSING),
    ),
    Table(
        "date",
        "within_next",
        {"days": 30},
        holds=("2026-06-01T12:00:00Z", "2026-07-01T11:59:59.999999Z"),
        fails=("2026-06-01T11:59:59.999999Z", "2026-07-01T12:00:00Z", "2026-05-01", "soon", MISSING),
    ),
    Table(
        "date",
        "anniversary",
        {"days": 7},
        holds=("2026-06-01", "1990-06-01", "1961-06-07", "2030-06-03"),
        fails=("1990-05-31", "1990-06-08", "1990-12-01", "June", 601, MISSING),
    ),
    Table(
        "date",
        "anniversary",
        {"days": 366},
        holds=("1988-02-29", "2000-01-01"),
        fails=("never", MISSING),
    ),
    Table("date", "exists", NO_OPERAND, holds=("2026-01-01", "soon"), fails=(None, MISSING)),
    Table("date", "missing", NO_OPERAND, holds=(None, MISSING), fails=("2026-01-01", "soon")),
    Table(
        "list", "contains_any", ["Shoes", "bags"], holds=(["SHOES"], ["x", "Bags"]), fails=([], ["x"], "shoes", MISSING)
    ),
    Table(
        "list", "contains_all", ["Shoes", "bags"], holds=(["bags", "shoes", "x"],), fails=(["shoes"], [], 1, MISSING)
    ),
    Table(
        "list",
        "contains_none",
        ["Shoes", "bags"],
        holds=([], ["x"], "shoes", [1], MISSING),
        fails=(["SHOES"], ["bags", "x"]),
    ),
    Table("list", "exists", NO_OPERAND, holds=([], ["a"]), fails=(None, MISSING)),
    Table("list", "missing", NO_OPERAND, holds=(None, MISSING), fails=([], ["a"])),
    Table("country", "equals", "DE", holds=("DE", "de"), fails=("DEU", "Germany", "", 49, MISSING)),
    Table("country", "not_equals", "DE", holds=("FR", "Germany", MISSING), fails=("DE", "de")),
    Table("country", "any_of", ["DE", "fr"], holds=("FR", "de"), fails=("AT", ["DE"], MISSING)),
    Table("country", "none_of", ["DE", "fr"], holds=("AT", ["DE"], MISSING), fails=("FR", "de")),
    Table("country", "exists", NO_OPERAND, holds=("DE", ""), fails=(None, MISSING)),
    Table("country", "missing", NO_OPERAND, holds=(None, MISSING), fails=("DE", "")),
    Table("currency", "equals", "EUR", holds=("EUR", "eur"), fails=("EURO", "USD", 978, MISSING)),
    Table("currency", "not_equals", "EUR", holds=("USD", 978, MISSING), fails=("EUR", "eur")),
    Table("currency", "any_of", ["EUR", "usd"], holds=("USD", "eur"), fails=("CHF", ["EUR"], MISSING)),
    Table("currency", "none_of", ["EUR", "usd"], holds=("CHF", MISSING), fails=("USD", "eur")),
    Table("currency", "exists", NO_OPERAND, holds=("EUR", ""), fails=(None, MISSING)),
    Table("currency", "missing", NO_OPERAND, holds=(None, MISSING), fails=("EUR",)),
    Table("email", "equals", "Ann@Example.com", holds=("ann@example.com",), fails=("ann@example.org", 5, MISSING)),
    Table("email", "not_equals", "ann@example.com", holds=("bob@example.com", 5, MISSING), fails=("ANN@example.com",)),
    Table("email", "any_of", ["a@b.ch", "c@d.ch"], holds=("C@d.ch",), fails=("e@f.ch", MISSING)),
    Table("email", "none_of", ["a@b.ch", "c@d.ch"], holds=("e@f.ch", MISSING), fails=("A@B.CH",)),
    Table("email", "contains", "+news", holds=("ann+News@b.ch",), fails=("ann@b.ch", MISSING)),
    Table("email", "starts_with", "ann", holds=("Ann@b.ch", "anna@b.ch"), fails=("bann@b.ch", MISSING)),
    Table("email", "ends_with", ".ch", holds=("ann@b.CH",), fails=("ann@b.chx", 5, MISSING)),
    Table("email", "matches", "^[a-z]+@", holds=("Ann@b.ch",), fails=("ann.lee@b.ch", MISSING)),
    Table(
        "email",
        "at_domain",
        ["Example.com", "b_c.ch"],
        holds=("ann@example.COM", "x@b_c.ch"),
        fails=("ann@mail.example.com", "ann@example.com.org", "example.com", "x@bxc.ch", 5, MISSING),
    ),
    Table("email", "exists", NO_OPERAND, holds=("a@b.ch", ""), fails=(None, MISSING)),
    Table("email", "missing", NO_OPERAND, holds=(None, MISSING), fails=("a@b.ch",)),
    Table("phone", "equals", "+41 44", holds=("+41 44",), fails=("+4144", 4144, MISSING)),
    Table("phone", "not_equals", "+41 44", holds=("+4144", MISSING), fails=("+41 44",)),
    Table("phone", "any_of", ["+41", "+49"], holds=("+49",), fails=("+43", MISSING)),
    Table("phone", "none_of", ["+41", "+49"], holds=("+43", 41, MISSING), fails=("+49",)),
    Table("phone", "contains", "44", holds=("+41 44",), fails=("+41", 44, MISSING)),
    Table("phone", "starts_with", "+41", holds=("+4144",), fails=("0041", "41", MISSING)),
    Table("phone", "ends_with", "00", holds=("+4100",), fails=("+41", MISSING)),
    Table("phone", "matches", "^\\+4[13]", holds=("+41 44", "+43"), fails=("+49", "0041", MISSING)),
    Table("phone", "exists", NO_OPERAND, holds=("+41", ""), fails=(None, MISSING)),
    Table("phone", "missing", NO_OPERAND, holds=(None, MISSING), fails=("+41",)),
)

PROPERTIES: Final = (
    Table("text", "matches", "^S.+s$", holds=("Shoes",), fails=("shoes", "Shoe", 5, ["Shoes"], MISSING)),
    Table("text", "at_domain", ["b.ch"], holds=("ann@b.ch",), fails=("ann@B.ch", "b.ch", 5, MISSING)),
    Table("text", "equals", "Shoes", holds=("Shoes",), fails=("shoes", "SHOES", "Shoes ", ["Shoes"], 1, None, MISSING)),
    Table("text", "equals", "é", holds=("é",), fails=("e", "e\u0301", MISSING)),
    Table("text", "not_equals", "Shoes", holds=("shoes", 1, None, MISSING), fails=("Shoes",)),
    Table("text", "any_of", ["a", "b"], holds=("a", "b"), fails=("A", "", ["a"], MISSING)),
    Table("text", "none_of", ["a", "b"], holds=("A", "", ["a"], MISSING), fails=("a", "b")),
    Table("text", "contains", "%", holds=("5%",), fails=("5", {"%": 1}, MISSING)),
    Table("text", "contains", "e", holds=("tea",), fails=("É", "TEA", "té", MISSING)),
    Table("text", "starts_with", "a_", holds=("a_b",), fails=("ab", "A_", MISSING)),
    Table("text", "ends_with", "\\", holds=("a\\",), fails=("a", "\\a", MISSING)),
    Table("number", "equals", 5, holds=(5, 5.0, 5.00004), fails=("5", 5.0001, True, None, MISSING)),
    Table("number", "equals", 1, holds=(1,), fails=(True, "1", MISSING)),
    Table("number", "not_equals", 5, holds=("5", True, 10**400, None, MISSING), fails=(5, 5.0)),
    Table("number", "any_of", [1, 2], holds=(1, 2.0), fails=(True, "2", MISSING)),
    Table("number", "none_of", [1, 2], holds=(True, "2", MISSING), fails=(1, 2.0)),
    Table("number", "gt", 5, holds=(5.0001,), fails=(5, 10**15, 10**400, "6", [6], MISSING)),
    Table("number", "gte", 0.0001, holds=(0.00005,), fails=(0.00004, -0.00005, MISSING)),
    Table("number", "lt", 0, holds=(-1, -0.00005), fails=(0, -0.0, -(10**400), MISSING)),
    Table("number", "lte", 5, holds=(5, -1), fails=(5.0001, -(10**15), "1", MISSING)),
    Table("number", "between", [2, 4], holds=(2, 4), fails=(1, 5, "3", MISSING)),
    Table("number", "not_between", [2, 4], holds=(1, 5, "3", MISSING), fails=(2, 4)),
    Table("boolean", "equals", True, holds=(True,), fails=(False, "true", 1, MISSING)),
    Table("boolean", "equals", False, holds=(False,), fails=(True, "false", 0, None, MISSING)),
    Table("boolean", "not_equals", True, holds=(False, "true", 1, None, MISSING), fails=(True,)),
    Table("anything", "exists", NO_OPERAND, holds=("", 0, False, [], {}), fails=(None, MISSING)),
    Table("anything", "missing", NO_OPERAND, holds=(None, MISSING), fails=("", 0, False, [], {})),
)
