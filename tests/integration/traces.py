"""What is left of somebody anywhere in the database, whatever tables there are: for proving that nothing is."""

from collections.abc import Collection, Iterator

from tests.integration.books import rows

# Where the number of somebody who is gone may stand: what nothing can change, and leads to nobody.
LASTING = {"consent_consentrecord", "consent_stop", "segments_membershipchange"}


def tables() -> Iterator[tuple[str, set[str]]]:
    """Every table of the database with its columns; of one that is partitioned the whole."""
    found: dict[str, set[str]] = {}
    for table, column in rows(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        "  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    ):
        found.setdefault(table, set()).add(column)
    yield from found.items()


def tables_that_say(text: str) -> set[str]:
    """Tables in which a row has this text anywhere, in whatever case, also in what is kept as bytes, whichever column that is."""
    kept_as_bytes: dict[str, list[str]] = {}
    for table, column in rows(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE a.atttypid = 'bytea'::regtype AND NOT a.attisdropped AND c.relkind IN ('r', 'p')"
    ):
        kept_as_bytes.setdefault(table, []).append(column)
    found = set()
    for table, _ in tables():
        as_bytes = [f"coalesce(encode({name}, 'escape'), '')" for name in kept_as_bytes.get(table, ())]
        said = " || ".join(["t::text", *as_bytes])
        if rows(f"SELECT 1 FROM {table} t WHERE {said} ILIKE '%{text}%' LIMIT 1"):
            found.add(table)
    return found


def tables_that_know(profile_ids: Collection[int]) -> set[str]:
    """Tables that still know one of these people by number, in whatever column says so."""
    ids = ", ".join(map(str, profile_ids))
    names = {"profile_id", "survivor_id", "absorbed_id", "origin_id"}
    found = set()
    for table, columns in tables():
        conditions = [f"{name} IN ({ids})" for name in sorted(columns & names)]
        conditions += [f"id IN ({ids})"] if table == "profiles_profile" else []
        if conditions and rows(f"SELECT 1 FROM {table} WHERE {' OR '.join(conditions)} LIMIT 1"):
            found.add(table)
    return found
