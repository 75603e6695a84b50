"""Taking away all that is stored of people: events and what follows from them, traits, scores, identifiers, themselves.

Their memberships are left to the evaluator, which announces that they end. Whom to erase, and what else is known of them
elsewhere, is in `cdp.erasure`.
"""

from collections.abc import Collection

from cdp.database import bound_cursor

# The profile last: what refers to it goes first. All of them are found by an index that begins with the person.
TABLES = (
    "profiles_event",
    "profiles_eventtotal",
    "profiles_session",
    "profiles_traitvalue",
    "profiles_traitremoval",
    "profiles_score",
    "profiles_identifier",
)


def take_away(profile_ids: Collection[int]) -> int:
    """How many events these people had; nothing is left of them. Runs inside the caller's transaction, who has locked them.

    Superseded and derived events are rows like any other, and go along, in whatever month they lie.
    """
    ids = sorted(profile_ids)
    events = 0
    with bound_cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table} WHERE profile_id = ANY(%s::bigint[])", [ids])  # noqa: S608  # named above
            events += cursor.rowcount if table == "profiles_event" else 0
        # Not through the ORM, whose cascade would take memberships along before the evaluator has announced their end.
        cursor.execute("DELETE FROM profiles_profile WHERE id = ANY(%s::bigint[])", [ids])
    return events
