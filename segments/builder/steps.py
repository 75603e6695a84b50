"""What somebody did on the screen, as a step of editing: from the names and values of a form to an action on the rule.

Which actions there are is in `segments.rules.edit`; what a condition may have, in `segments.rules.parts`. Nothing is trusted: a form
may be of a rule that has changed, or of somebody's own making.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from segments.builder.reading import duration, mended, read, split
from segments.rules import Catalog
from segments.rules.drafting import begin, change, operators
from segments.rules.edit import (
    Action,
    Add,
    Document,
    Drop,
    Duplicate,
    EditRefused,
    GroupKind,
    Move,
    Negate,
    Put,
    Regroup,
    Remove,
    Unwrap,
    Wrap,
    at,
    list_path,
    pasted,
)
from segments.rules.errors import Path, pointer
from segments.rules.limits import MAX_NESTING, MAX_SIZE
from segments.rules.parts import Input, Part, choose, parts, step_parts
from segments.text import read as read_text


@dataclass(frozen=True, kw_only=True)
class Step:
    """An action, what it is called in the history of the draft, and where the focus belongs afterwards."""

    action: Action
    said: str
    focus: str = ""


def step_of(given: Mapping[str, str], document: Document, catalog: Catalog, *, today: date | None = None) -> Step:
    """The step that a form asks for.

    Args:
        given: ``do`` is its name; what else it needs is said at each.
        document: the draft as it is before.
        today: from which days are told by a phrase ("30 days ago").

    Raises:
        EditRefused: there is no such step, or its place or value makes no sense.
    """
    made = STEPS.get(given.get("do", ""))
    if made is None:
        raise EditRefused("unknown_step", "this page is older than the platform; reload it", ())
    return made({**given, "today": today.isoformat() if today else ""}, document, catalog)


def path_of(text: str, document: Document) -> Path:
    """The path of an RFC 6901 pointer in the document: numbers where there is a list.

    Raises:
        EditRefused: it is none.
    """
    if text and not text.startswith("/"):
        raise EditRefused("no_such_place", "the rule has no such place any more", ())
    found: Any = document
    path: list[str | int] = []
    steps = text.split("/")[1:]
    if len(steps) > MAX_NESTING:
        raise EditRefused("no_such_place", "the rule has no such place any more", ())
    for written in steps:
        step = written.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            if not (step.isascii() and step.isdecimal() and len(step) < 9):
                raise EditRefused("no_such_place", "the rule has no such place any more", tuple(path))
            place = int(step)
            path.append(place)
            found = found[place] if place < len(found) else None
        else:
            path.append(step)
            found = found.get(step) if isinstance(found, dict) else None
    return tuple(path)


# ---- Steps -------------------------------------------------------------------------------------------------------


def _add(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``into``: a list; ``subject`` and ``key``: what the new condition, filter or step is about."""
    into = path_of(given.get("into", ""), document)
    subject, key = _subject_of(given)
    if into[-1:] == ("sequence",):
        node: Document = {"performed": key}
    else:
        try:
            node = begin("property" if _is_filter(into) else subject, key, catalog)
        except ValueError:
            raise EditRefused("unknown_subject", "there is no condition on that", into) from None
    position = len(_list(document, into))
    return Step(action=Add(into=into, nodes=(node,)), said=f"Add {key or subject}", focus=pointer((*into, position)))


def _group(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``into``: a list; ``kind``: of the new, empty group."""
    into = path_of(given.get("into", ""), document)
    node = at(Regroup(what=("all", 0), kind=_kind(given)).on({"all": [{"all": []}]}), ("all", 0))
    return Step(
        action=Add(into=into, nodes=(node,)), said="Add a group", focus=pointer((*into, len(_list(document, into))))
    )


def _set(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``node`` and ``at``: a part of a condition; ``value``, as it was typed; of a duration ``unit``, too.

    ``as`` is how a value that may be of any kind is read: as a number, or as true or false.
    """
    node, part = _part(given, document, catalog)
    value: Any = given.get("value", "")
    if part.input is Input.DURATION:
        value = duration(part.value, amount=given.get("value"), unit=given.get("unit"))
        if part.label == "How long" and part.at == ("within",) and isinstance(part.value, dict):
            within = at(document, (*node, "within"))
            value |= {"ago": within["ago"]} if isinstance(within, dict) and "ago" in within else {}
    elif part.input is Input.SUBJECT:
        value = value[:200] if "value" in given else _subject_of(given)[1]
        # The value of the events themselves, where that can be measured, is said by naming no property.
        value = None if not value and "" in dict(part.choices) else value
    elif not value.strip() and given.get("whole") and part.input is Input.TEXT:
        value = ""  # picked, not left empty
    else:
        today = date.fromisoformat(given["today"]) if given.get("today") else None
        value = read(value, part.input, kind=part.kind or given.get("as", ""), today=today)
    return _changed(document, node, part.at, value, catalog, said=f"Change {part.label.lower()}")


def _choose(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``node`` and ``at``: a part with choices; ``value``: the one that was chosen."""
    node, part = _part(given, document, catalog)
    leaf, choice = at(document, node), given.get("value", "")
    try:
        after = choose(leaf, part, choice, catalog)
    except KeyError:
        raise EditRefused("no_such_choice", "there is no such choice any more; reload the page", node) from None
    return Step(
        action=Put(at=node, value=after), said=f"Choose {dict(part.choices)[choice]}", focus=given.get("focus", "")
    )


def _list_add(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``node`` and ``at``: a list of values; ``value``: one or several to be added, a single one where it is ``whole``."""
    node, part = _part(given, document, catalog)
    known = part.value if isinstance(part.value, list) else []
    typed = given.get("value", "")
    kind = part.kind or given.get("as", "")
    # What was picked is meant as it stands, be it an empty text; what was typed may be several.
    more = [read(one, Input.TEXT, kind=kind) for one in split(typed)]
    if given.get("whole"):
        more = [read(typed, Input.TEXT, kind=kind) if typed.strip() else ""]
    values = [*known, *(one for one in dict.fromkeys(more) if one not in known)]
    return _changed(document, node, part.at, values, catalog, said="Add a value")


def _list_remove(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``node`` and ``at``: a list of values; ``position``: the one that goes."""
    node, part = _part(given, document, catalog)
    known = part.value if isinstance(part.value, list) else []
    place = _number(given, "position")
    return _changed(document, node, part.at, known[:place] + known[place + 1 :], catalog, said="Remove a value")


def _subject(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``node``: a condition; ``subject`` and ``key``: what it is about from now on. What can stay of it stays."""
    node = path_of(given.get("node", ""), document)
    leaf, (subject, key) = _leaf(document, node), _subject_of(given)
    if subject in leaf and subject in ("trait", "performed", "score", "property", "in_segment", "in_list", "consented"):
        after = change(leaf, (subject,), key, catalog)
    else:
        try:
            after = begin(subject, key, catalog)
        except ValueError:
            raise EditRefused("unknown_subject", "there is no condition on that", node) from None
    return Step(action=Put(at=node, value=after), said=f"Change to {key or subject}")


def _moving(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``node``: a condition on a date; ``op``, ``amount`` and ``unit``: from now on within what moves on with time."""
    node, op = path_of(given.get("node", ""), document), given.get("op", "")
    leaf = _leaf(document, node)
    if op not in ("within_last", "within_next") or op not in operators(leaf, catalog):
        raise EditRefused("no_such_choice", "there is no such choice any more; reload the page", node)
    lasts = duration(None, amount=given.get("amount", ""), unit=given.get("unit", ""))
    after = change({**leaf, "op": op}, ("value",), lasts, catalog)
    return Step(action=Put(at=node, value=after), said="Change value")


def _mend(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``place``: of a value that can't be read, and that was probably meant otherwise."""
    place = path_of(given.get("place", ""), document)
    meant = mended(at(document, place))
    if meant is None:
        raise EditRefused("nothing_meant", "it isn't known what was meant", place)
    return Step(action=Put(at=place, value=meant), said=f"Use {meant:,}")


def _what(given: Mapping[str, str], document: Document) -> Path:
    return path_of(given.get("what", ""), document)


def _remove(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``what``: a condition, group, filter or step."""
    what = _what(given, document)
    return Step(action=Remove(what=what), said="Remove", focus=pointer(what[:-1]))


def _duplicate(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    what = _what(given, document)
    _entry(what)
    return Step(action=Duplicate(what=what), said="Duplicate", focus=pointer((*what[:-1], what[-1] + 1)))  # type: ignore[operator]


def _negate(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    return Step(action=Negate(what=_what(given, document)), said="Say the opposite")


def _wrap(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    return Step(action=Wrap(what=_what(given, document), kind=_kind(given)), said="Put into a group")


def _unwrap(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    return Step(action=Unwrap(what=_what(given, document)), said="Take out of the group")


def _regroup(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``what``: a group; ``kind``: how it stands together from now on."""
    return Step(action=Regroup(what=_what(given, document), kind=_kind(given)), said="Change the group")


def _move(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``what``, ``into`` and ``position``: dragged there."""
    what, into = _what(given, document), path_of(given.get("into", ""), document)
    return _moved(document, what, into, _number(given, "position"))


def _up(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    what = _what(given, document)
    return _moved(document, what, what[:-1], _entry(what) - 1)


def _down(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    what = _what(given, document)
    return _moved(document, what, what[:-1], _entry(what) + 2)


def _inwards(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """Into the group before it, or else the one after it."""
    what = _what(given, document)
    place, siblings = _entry(what), _list(document, what[:-1])
    for other in (place - 1, place + 1):
        if 0 <= other < len(siblings):
            try:
                into = list_path(document, (*what[:-1], other))
            except EditRefused:
                continue
            return _moved(document, what, into, len(at(document, into)) if other < place else 0)
    raise EditRefused("no_group", "there is no group beside it", what)


def _outwards(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """Out of its group, behind it."""
    what = _what(given, document)
    _entry(what)
    above = what[:-1]
    while above and not isinstance(above[-1], int):
        above = above[:-1]
    if not above or "where" in above[-2:]:
        raise EditRefused("no_group", "it stands in no group", what)
    return _moved(document, what, above[:-1], _entry(above) + 1)


def _missing(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``what``: a step of a sequence that from now on must not have followed, or the other way round."""
    what = _what(given, document)
    step = _leaf(document, what)
    if "not_performed" in step:
        after = {"performed": step["not_performed"], **_kept(step, "where", "within")}
    else:
        asked = {"within": step.get("within", {"hours": 24})}
        after = {"not_performed": step.get("performed", ""), **asked, **_kept(step, "where")}
    return Step(action=Put(at=what, value=after), said="Change the step")


def _within(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``what``: a step that from now on must come within some time, or at any time."""
    what = _what(given, document)
    if "within" in _leaf(document, what):
        return Step(action=Drop(at=(*what, "within")), said="Allow any time")
    return Step(action=Put(at=(*what, "within"), value={"days": 1}), said="Allow some time")


def _paste(given: Mapping[str, str], document: Document, catalog: Catalog) -> Step:
    """``into``: a list; ``value``: JSON that was copied here or elsewhere."""
    into, text = path_of(given.get("into", ""), document), given.get("value", "")
    found, places = read_text(text) if len(text) <= 2 * MAX_SIZE else (None, [])
    if found is None or places:
        raise EditRefused("nothing_to_paste", "what was pasted holds no condition", into)
    return Step(action=Add(into=into, nodes=pasted(found)), said="Paste")


STEPS: Final[Mapping[str, Callable[[Mapping[str, str], Document, Catalog], Step]]] = {
    "add": _add, "group": _group, "set": _set, "choose": _choose, "list_add": _list_add, "list_remove": _list_remove,
    "subject": _subject, "mend": _mend, "remove": _remove, "duplicate": _duplicate, "negate": _negate, "wrap": _wrap,
    "unwrap": _unwrap, "regroup": _regroup, "move": _move, "up": _up, "down": _down, "in": _inwards, "out": _outwards,
    "missing": _missing, "within": _within, "paste": _paste, "moving": _moving,
}  # fmt: skip


# ---- Within --------------------------------------------------------------------------------------------------------


def _part(given: Mapping[str, str], document: Document, catalog: Catalog) -> tuple[Path, Part]:
    node = path_of(given.get("node", ""), document)
    leaf = _leaf(document, node)
    wanted, number = given.get("at", ""), _number(given, "part")
    is_step = node[-2:-1] == ("sequence",)
    found = step_parts(leaf) if is_step else parts(leaf, catalog, event=_event_of(document, node))
    if not (0 <= number < len(found)) or pointer((*node, *found[number].at)) != wanted:
        raise EditRefused("no_such_place", "the rule has no such place any more", node)
    return node, found[number]


def _event_of(document: Document, node: Path) -> str:
    if "where" not in node:
        return ""
    above = at(document, node[: node.index("where")])
    return str(above.get("performed") or above.get("not_performed") or "") if isinstance(above, dict) else ""


def _changed(document: Document, node: Path, part: Path, value: Any, catalog: Catalog, *, said: str) -> Step:
    leaf = _leaf(document, node)
    if node[-2:-1] == ("sequence",):
        after = {**leaf, str(part[0]): value}
    else:
        after = change(leaf, part, value, catalog)
    return Step(action=Put(at=node, value=after), said=said)


def _kept(leaf: Document, *keys: str) -> Document:
    return {key: leaf[key] for key in keys if key in leaf}


def _leaf(document: Document, node: Path) -> Document:
    found = at(document, node)
    if not isinstance(found, dict) or not node:
        raise EditRefused("no_such_place", "the rule has no condition at this place", node)
    return found


def _list(document: Document, into: Path) -> list[Any]:
    try:
        found = at(document, into)
    except EditRefused:
        if into[-1:] == ("where",):
            return []
        raise
    if not isinstance(found, list):
        raise EditRefused("no_group", "there is no group at this place", into)
    return found


def _moved(document: Document, what: Path, into: Path, position: int) -> Step:
    position = min(max(0, position), len(_list(document, into)))
    action = Move(what=what, into=into, position=position)
    return Step(action=action, said="Move", focus=pointer(_landed(what, into, position)))


def _landed(what: Path, into: Path, position: int) -> Path:
    """Where it stands once it has been taken away from where it stood."""
    above, place = what[:-1], _entry(what)
    if into == above:
        return (*into, position - 1 if position > place else position)
    step = into[len(above)] if len(into) > len(above) and into[: len(above)] == above else None
    if isinstance(step, int) and step > place:
        into = (*above, step - 1, *into[len(above) + 1 :])
    return (*into, position)


def _entry(what: Path) -> int:
    if not what or not isinstance(what[-1], int):
        raise EditRefused("no_such_place", "only what stands in a list can be moved", what)
    return what[-1]


def _is_filter(into: Path) -> bool:
    return "where" in into


def _subject_of(given: Mapping[str, str]) -> tuple[str, str]:
    """What was chosen in a list of subjects, as `form:key`; or the two by themselves."""
    subject, separator, key = given.get("subject", "").partition(":")
    return subject, key[:200] if separator else given.get("key", "")[:200]


def _kind(given: Mapping[str, str]) -> GroupKind:
    try:
        return GroupKind(given.get("kind", "any"))
    except ValueError:
        raise EditRefused("unknown_group", "there is no such group", ()) from None


def _number(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else -1
