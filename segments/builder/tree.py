"""A draft as rows on the screen: groups, conditions, their filters and steps, each with its controls and what is wrong with it.

Pure. What a condition is made of is told by `segments.rules.parts`; here it gets its place, its names and its errors.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from segments.builder.aids import Known, aid
from segments.builder.reading import mended
from segments.builder.rows import GROUP_CHOICES, GROUPS, Control, Mistake, Row, written
from segments.rules import Catalog, RuleError, RuleErrors, Type, load
from segments.rules.countries import COUNTRIES
from segments.rules.drafting import declared_type
from segments.rules.edit import Document, GroupKind, group_kind, list_path
from segments.rules.errors import Path, pointer
from segments.rules.operands import UNITS
from segments.rules.parts import NOUNS, Input, Part, parts, step_parts

_JOINS: Final = {GroupKind.ALL: ("Where", "and"), GroupKind.ANY: ("Either", "or"), GroupKind.NONE: ("not", "nor"),
                 GroupKind.NOT_ALL: ("not both", "and")}  # fmt: skip
_TYPE_ICONS: Final = {
    Type.TEXT: "text", Type.NUMBER: "hash", Type.BOOLEAN: "check", Type.DATE: "cal", Type.LIST: "list", Type.COUNTRY: "globe",
    Type.CURRENCY: "coin", Type.EMAIL: "mail", Type.PHONE: "phone",
}  # fmt: skip
_FORM_ICONS: Final = {
    "performed": "bolt", "not_performed": "bolt", "sequence": "steps", "in_segment": "segments", "in_list": "list", "score": "gauge",
    "consented": "shield", "bucket": "dice", "everyone": "users", "property": "tag", "of": "tag",
}  # fmt: skip
# What an error says where the place it stands at says the rest.
_SHORT: Final = {
    "missing_value": "Say what it is compared with.",
    "empty_group": "Add a condition to this group, or take it away.",
    "list_length": "Add a value.",
}


def errors_of(document: Document, catalog: Catalog) -> list[RuleError]:
    """All that keeps the draft from being a sound rule."""
    try:
        load(document, catalog)
    except RuleErrors as refused:
        return list(refused.errors)
    return []


def tree(document: Document, catalog: Catalog, errors: Sequence[RuleError] = (), known: Known | None = None) -> Row:
    """The draft as rows; each error stands at the deepest row it belongs to.

    Args:
        document: as `segments.rules.edit.as_draft` gives it.
        known: what helps to say values.
    """
    return _Builder(catalog, errors, document, known or Known()).row(document, (), number="", position=0, of=1, join="")


class _Builder:
    def __init__(self, catalog: Catalog, errors: Iterable[RuleError], document: Document, known: Known) -> None:
        self.catalog, self.document, self.known = catalog, document, known
        self.left = list(errors)

    def row(self, node: Any, path: Path, *, number: str, position: int, of: int, join: str) -> Row:
        kind = group_kind(node)
        if kind is not None:
            return self._group(node, path, kind, number=number, position=position, of=of, join=join)
        is_negated = isinstance(node, dict) and "not" in node
        leaf, inner = (node["not"], (*path, "not")) if is_negated else (node, path)
        row = self._condition(leaf if isinstance(leaf, dict) else {}, inner, number=number, position=position, of=of)
        return replace(
            row,
            at=pointer(path),
            join=join,
            is_negated=is_negated,
            mistakes=(*row.mistakes, *self._of(path)),
            node=node,
        )

    def _group(self, node: Any, path: Path, kind: GroupKind, *, number: str, position: int, of: int, join: str) -> Row:
        into = list_path(node, ())
        inner: Any = node
        for step in into:
            inner = inner[step]
        first, next_one = _JOINS[kind]
        rows = tuple(
            self.row(
                one, (*path, *into, place), number=f"{number}.{place + 1}".lstrip("."), position=place, of=len(inner),
                join=next_one if place else first,
            )
            for place, one in enumerate(inner)
        )  # fmt: skip
        label, says = next((label, says) for known, label, says in GROUPS if known is kind)
        return Row(
            form="group", at=pointer(path), inner=pointer(path), number=number, join=join, name=label, icon="group", position=position,
            of=of, group=kind, says=says, into=pointer((*path, *into)), rows=rows, mistakes=self._of(path),
            node={key: value for key, value in node.items() if key != "version"},
        )  # fmt: skip

    def _condition(self, leaf: Document, path: Path, *, number: str, position: int, of: int) -> Row:
        form = (
            "sequence"
            if "sequence" in leaf
            else next((one for one in (*_FORM_ICONS, "trait") if one in leaf), "unknown")
        )
        event = str(leaf.get("performed", ""))
        steps = leaf.get("sequence")
        row = Row(
            form=form, at=pointer(path), inner=pointer(path), number=number, join="", name=self._name(form, leaf.get(form)),
            icon=self._icon(form, leaf.get(form)), position=position, of=of,
            controls=self._controls(parts(leaf, self.catalog), path, leaf), event=event,
            filters=self._filters(leaf, path, event),
            filters_into=pointer((*path, "where")) if "performed" in leaf else "",
            steps=self._steps(steps, path) if isinstance(steps, list) else (), other=self._other(leaf.get("than"), path),
            into=pointer((*path, "sequence")) if isinstance(steps, list) else "",
        )  # fmt: skip
        return replace(row, mistakes=self._of(path))

    def _other(self, than: Any, path: Path) -> Row | None:
        """Of which events the other figure is made; None where there is none."""
        if not isinstance(than, dict) or "performed" not in than:
            return None
        at, event = (*path, "than"), str(than["performed"])
        return Row(
            form="other", at=pointer(at), inner=pointer(at), number="", join="", name=f"the other {self._name('performed', event)}",
            icon="bolt", position=0, of=1, event=event, filters=self._filters(than, at, event), filters_into=pointer((*at, "where")),
        )  # fmt: skip

    def _filters(self, leaf: Document, path: Path, event: str) -> tuple[Row, ...]:
        found = leaf.get("where")
        if not isinstance(found, list):
            return ()
        return tuple(
            self._filter(one, (*path, "where", place), event, place, len(found), join="and" if place else "where")
            for place, one in enumerate(found)
        )

    def _filter(self, node: Any, path: Path, event: str, place: int, of: int, *, join: str) -> Row:
        kind = group_kind(node)
        if kind is not None:
            into = list_path(node, ())
            inner: Any = node
            for step in into:
                inner = inner[step]
            first, next_one = _JOINS[kind]
            rows = tuple(
                self._filter(one, (*path, *into, n), event, n, len(inner), join=next_one if n else first)
                for n, one in enumerate(inner)
            )
            label = dict(GROUP_CHOICES)[kind]
            return Row(
                form="filters", at=pointer(path), inner=pointer(path), number="", join=join, name=label, icon="group", position=place,
                of=of, group=kind, into=pointer((*path, *into)), filters_into=pointer((*path, *into)), event=event, rows=rows,
                mistakes=self._of(path),
            )  # fmt: skip
        is_negated = isinstance(node, dict) and "not" in node
        leaf, inner_path = (node["not"], (*path, "not")) if is_negated else (node, path)
        leaf = leaf if isinstance(leaf, dict) else {}
        return Row(
            form="property", at=pointer(path), inner=pointer(inner_path), number="", join=f"{join} not" if is_negated else join,
            name=str(leaf.get("property", "")), icon="text", position=place, of=of, is_negated=is_negated,
            controls=self._controls(parts(leaf, self.catalog, event=event), inner_path, leaf), mistakes=self._of(path),
        )  # fmt: skip

    def _steps(self, steps: Sequence[Any], path: Path) -> tuple[Row, ...]:
        found = []
        for place, one in enumerate(steps):
            step, at = one if isinstance(one, dict) else {}, (*path, "sequence", place)
            form = "not_performed" if "not_performed" in step else "performed"
            event = str(step.get(form, ""))
            found.append(
                Row(
                    form=form, at=pointer(at), inner=pointer(at), number=str(place + 1), join="then not" if form != "performed" else
                    "then" if place else "", name=self._name("performed", event), icon="bolt", position=place, of=len(steps),
                    controls=self._controls(step_parts(step), at, step), event=event, filters=self._filters(step, at, event),
                    filters_into=pointer((*at, "where")), mistakes=self._of(at),
                )
            )  # fmt: skip
        return tuple(found)

    def _controls(self, found: Iterable[Part], path: Path, leaf: Document) -> tuple[Control, ...]:
        return tuple(self._control(one, path, number, leaf) for number, one in enumerate(found))

    def _control(self, part: Part, path: Path, number: int, leaf: Document) -> Control:
        at = pointer((*path, *part.at))
        value = part.value
        shown, icon, amount, unit = "", "", "", ""
        if part.input is Input.SUBJECT:
            shown, icon = self._name(part.kind, value), self._icon(part.kind, value, part.about)
            shown = dict(part.choices).get(value, shown) if isinstance(value, str) else shown
        elif part.input is Input.CHOICE:
            value = {True: "true", False: "false"}[value] if isinstance(value, bool) else "" if value is None else value
            shown = dict(part.choices).get(value, "choose") if isinstance(value, str) else "choose"
        elif part.input is Input.DURATION:
            unit, amount = next(
                ((one, value[one]) for one in UNITS if isinstance(value, dict) and one in value), ("days", "")
            )
        elif part.input is not Input.LIST:
            shown = written(value)
        return Control(
            at=at, id=f"c{at.replace('/', '-')}-{part.label.lower().replace(' ', '-')}",
            input=part.input, label=part.label, value=value, shown=shown,
            choices=part.choices, kind=part.kind, about=part.about, icon=icon, amount=written(amount), unit=unit,
            is_bad=any(one.pointer == at or one.pointer.startswith(f"{at}/") for one in self.left),
            node=pointer(path), number=number, is_rare=part.is_rare, aid=aid(part, leaf, self.catalog, self.known),
            names=COUNTRIES if declared_type(leaf, self.catalog) is Type.COUNTRY else {},
        )  # fmt: skip

    def _of(self, path: Path) -> tuple[Mistake, ...]:
        """The errors at this place or below it that no row has yet; those below have taken theirs."""
        at = pointer(path)
        mine = [one for one in self.left if one.pointer == at or one.pointer.startswith(f"{at}/") or not at]
        self.left = [one for one in self.left if one not in mine]
        return tuple(self._mistake(one) for one in mine)

    def _mistake(self, error: RuleError) -> Mistake:
        value = _at_pointer(self.document, error.pointer)
        said = _SHORT.get(error.code) or f"{error.message[:1].upper()}{error.message[1:]}."
        if error.code == "list_length" and "/where/" in error.pointer and not error.pointer.endswith("/value"):
            said = "Add a filter to this group, or take it away."
        elif error.code == "empty_group" and error.pointer.count("/") == 1:
            said = "Add a first condition."  # the rule itself can't be taken away
        return Mistake(code=error.code, message=said, at=error.pointer, mend=mended(value))

    def _name(self, form: str, key: Any) -> str:
        """What people call it; the key where it is unknown, and an invitation where none is chosen yet."""
        if form in ("sequence", "everyone", "bucket", "unknown"):
            return {"sequence": "Sequence", "everyone": "Everybody", "bucket": "Random draw"}.get(
                form, "Not a condition"
            )
        if not isinstance(key, str) or not key:
            return f"Choose: {NOUNS.get(form, 'property' if form == 'of' else 'event').lower()}"
        known = self.catalog
        info: Any
        match form:
            case "trait":
                return info.label if (info := known.traits.get(key)) else key
            case "performed" | "not_performed":
                return info.label if (info := known.events.get(key)) else key
            case "in_segment":
                return info.name if (info := known.segments.get(key)) else key
            case "in_list":
                return info.name if (info := known.lists.get(key)) else key
            case "consented":
                return info.label if (info := known.purposes.get(key)) else key
            case "score":
                return info.label if (info := known.scores.get(key)) else key
        return key

    def _icon(self, form: str, key: Any, about: tuple[str, ...] = ()) -> str:
        if form == "trait":
            info = self.catalog.traits.get(key) if isinstance(key, str) else None
            return _TYPE_ICONS[info.type] if info else "text"
        if form in ("of", "property") and about and isinstance(key, str):
            kind = self.known.types.get((about[0], key))
            return _TYPE_ICONS[kind] if kind else "tag" if key else "coin"
        return _FORM_ICONS.get(form, "alert")


def _at_pointer(document: Any, text: str) -> Any:
    """What stands at an RFC 6901 pointer; None where nothing does."""
    found = document
    for step in text.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found
