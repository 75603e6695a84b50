"""What held for a person and a purpose at a moment, worked out from records and stops as a proof bundle has them.

Part of the checker of bundles, where it is called `held.py`: plain values, and nothing but Python. It says the same as
`consent.replay` and `consent.moments`, for somebody who has neither. Whether what it is given is proved is the checker's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

Claim = Mapping[str, Any]
Record = Mapping[str, Any]
Stop = Mapping[str, Any]


def what_held(claim: Claim, records: Sequence[Record], stops: Sequence[Stop]) -> tuple[bool, Record | None, list[Stop]]:
    """Whether the purpose was permitted, the record that decided it, and the stops that halted it."""
    held, standing = None, standing_stops(claim, stops)
    for one in sorted(_counted(claim, records), key=lambda one: one["order"]):
        held = after(held, one)
    newest = held["record"] if held else None
    goes_on = held is not None and (held["until"] is None or held["until"] > datetime.fromisoformat(claim["at"]))
    match claim["purpose"]["mode"]:
        case "notice_only":
            permits = True
        case "opt_out":
            permits = newest is None or newest["decision"] == "granted"
        case _:
            permits = newest is not None and newest["decision"] == "granted" and goes_on
    return permits and not standing, newest, standing


def _counted(claim: Claim, records: Sequence[Record]) -> list[Record]:
    """Those that count as of the moment, by what was known. What people became by merging or parting counts from when they
    did, whatever it is dated by."""
    at, known_at = claim["at"], claim.get("known_at")
    return [
        one
        for one in records
        if one["profile"] == claim["profile"]
        and one["reach"] == "person"
        and one["purpose"] == claim["purpose"]["key"]
        and one["recorded_at" if one["method"] == "merge" else "collected_at"] <= at
        and (known_at is None or one["recorded_at"] <= known_at)
    ]


def standing_stops(claim: Claim, stops: Sequence[Stop]) -> list[Stop]:
    """Those that halted the purpose for the person then. A stop is known as it begins, and that it was lifted as it is."""
    purpose, by_then = claim["purpose"], min(claim["at"], claim.get("known_at") or claim["at"])
    kinds = {"restriction"}
    if purpose["covers_profiling"]:
        kinds.add("profiling")
    if purpose["lawful_basis"] in ("legitimate_interests", "public_task"):
        kinds.add("legitimate_interests")
    return [
        one
        for one in stops
        if one["profile"] == claim["profile"]
        and purpose["key"] != "privacy_rights"
        and one["kind"] in kinds
        and one["since"] <= by_then
        and (one["lifted_at"] is None or one["lifted_at"] > by_then)
    ]


def newest_of(record: Record) -> str | None:
    """When the newest word was said of those that a record of people who became one, or parted, stands for."""
    return (record.get("evidence") or {}).get("newest") if record["method"] == "merge" else None


def after(held: dict[str, Any] | None, one: Mapping[str, Any]) -> dict[str, Any] | None:
    """What holds once this record was made, too: ``record``, ``since`` and ``until`` when, and how ``newest`` its last word is.

    The newest decision holds, of two at one moment the stricter. What people became by merging or parting stands in place of all
    that was recorded before; a repetition only says that it still holds.
    """
    at, is_yes = datetime.fromisoformat(one["collected_at"]), one["decision"] == "granted"
    until = datetime.fromisoformat(one["expires_at"]) if one["expires_at"] else None
    told = newest_of(one)
    own = {"record": one, "since": at, "until": until, "newest": max(at, datetime.fromisoformat(told)) if told else at}
    if one["method"] == "merge":
        return None if one["decision"] == "pending" else own
    if one["decision"] == "pending":
        return held
    if held is None:
        return own
    was_yes = held["record"]["decision"] == "granted"
    if one["method"] == "repeated":
        return held | {"since": max(at, held["since"]), "newest": max(at, held["newest"])}
    if is_yes:
        return own if at > (held["newest"] if was_yes else held["since"]) else held
    if at < held["since"]:
        return held
    return own | {"since": max(at, held["newest"]), "newest": max(at, held["newest"])} if was_yes else own
