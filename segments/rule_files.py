"""Segments carried over: cloned, or written to a file with their rules and what is said of them, and read in as drafts.

Members are nobody's to carry this way. What a rule may say is checked by `segments.rules`; here each error gets its line.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import DomainError
from segments.models import Segment, SegmentVersion
from segments.rules import RuleError, RuleErrors
from segments.services import create_segment
from segments.sharing import load_for
from segments.text import Placed, lay_out, placed, read

FORM: Final = "cdp.segments"
MOST_SEGMENTS: Final = 100
LARGEST_FILE: Final = 1_000_000
SAID: Final = ("name", "description", "cadence", "refresh_minutes", "daily_hour", "tags", "folder", "purposes")
TEXTS: Final = ("name", "description", "cadence", "folder")


class FileRefused(DomainError):
    """What is wrong with a file, each with its line."""

    def __init__(self, places: Sequence[Placed]) -> None:
        self.places = list(places)
        super().__init__("file_refused", f"Nothing was taken in: {len(self.places)} to mend.")


def clone(*, segment: Segment, by: Actor, owner: User) -> Segment:
    """A draft with the live rule, or else the newest, and all that is said of it but its key.

    Raises:
        RuleErrors: the rule no longer fits the catalogue, or asks what this owner may not.
        DomainError: there is no rule yet.
    """
    version = segment.live_version or segment.versions.first()
    if version is None:
        raise DomainError("no_version", f"“{segment.name}” has no rule yet.")
    load_for(owner, version.rule)
    said = {name: getattr(segment, name) for name in SAID if name not in ("name", "purposes")}
    keys = [one.key for one in segment.purposes.all()]
    name = f"Copy of {segment.name}"[:150]
    return create_segment(name=name, rule=version.rule, by=by, owner=owner, purposes=keys, **said)


def written(segments: Sequence[Segment], *, by: Actor) -> str:
    """The segments with their live or else newest rules as the text of a file; on record, with their keys."""
    newest = (
        SegmentVersion.objects.filter(segment__in=segments).order_by("segment_id", "-number").distinct("segment_id")
    )
    rules = {one.segment_id: one.rule for one in newest}
    rules |= {one.pk: one.live_version.rule for one in segments if one.live_version}
    documents = [
        {
            "key": one.key,
            **{name: getattr(one, name) for name in SAID if name != "purposes"},
            "purposes": sorted(purpose.key for purpose in one.purposes.all()),
            "rule": rules[one.pk],
        }
        for one in segments
        if one.pk in rules
    ]
    with transaction.atomic():
        record(by=by, action="segments.exported", detail={"keys": [one["key"] for one in documents]})
    return lay_out({"format": FORM, "version": 1, "segments": documents}) + "\n"


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A segment of a file, with where it stands in it."""

    pointer: str
    said: dict[str, Any]
    rule: Any
    rule_pointer: str


@transaction.atomic
def take_in(text: str, *, name: str, by: Actor, owner: User) -> list[Segment]:
    """The segments of the text as drafts with keys of their own: all of them, or none.

    Args:
        text: what `written` gave, or just one rule.
        name: of the segment, where the text is just a rule.

    Raises:
        FileRefused: all that is wrong, each with its line.
    """
    if len(text.encode()) > LARGEST_FILE:
        raise FileRefused([_at(1, "This is larger than a file of rules may be: 1 MB.", "file_too_large")])
    document, places = read(text)
    if places:
        raise FileRefused(places)
    errors: list[RuleError] = []
    found = _found(document, name, errors)
    made: list[Segment] = []
    for one in found:
        try:
            load_for(owner, one.rule)
            with transaction.atomic():
                made.append(create_segment(rule=one.rule, by=by, owner=owner, **one.said))
        except RuleErrors as refused:
            errors += [
                RuleError(code=e.code, message=e.message, pointer=one.rule_pointer + e.pointer) for e in refused.errors
            ]
        except DomainError as refused:
            pointer = one.pointer + refused.pointer
            errors.append(RuleError(code=refused.code, message=refused.message, pointer=pointer))
    if errors:
        transaction.set_rollback(True)
        raise FileRefused(placed(text, tuple(errors)))
    return made


def rule_of_file(content: bytes) -> Any:
    """The document of the one rule that a file holds: just a rule, or what `written` gave of one segment. It may be unsound.

    Raises:
        FileRefused: there is none in it, or more than one.
    """
    if len(content) > LARGEST_FILE:
        raise FileRefused([_at(1, "This is larger than a file of rules may be: 1 MB.", "file_too_large")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileRefused([_at(1, "This is no text in UTF-8, so it is no JSON.", "not_json")]) from None
    document, places = read(text)
    if places:
        raise FileRefused(places)
    if not isinstance(document, dict):
        raise FileRefused([_at(1, "A rule is an object: { … }.", "not_a_rule")])
    if document.get("format") != FORM:
        return document
    errors: list[RuleError] = []
    found = _found(document, "", errors)
    if errors:
        raise FileRefused(placed(text, tuple(errors)))
    if len(found) != 1:
        said = (
            f"This file has {len(found)} segments; choose one of one, or take all of them in from the list of segments."
        )
        raise FileRefused([_at(1, said, "too_many_segments")])
    return found[0].rule


def _found(document: Any, name: str, errors: list[RuleError]) -> list[_Found]:
    if not isinstance(document, dict) or document.get("format") != FORM:
        if not name.strip():
            errors.append(_wrong("name_missing", "Just a rule has no name: give one beside the file.", ""))
            return []
        return [_Found(pointer="", said={"name": name}, rule=document, rule_pointer="")]
    segments = document.get("segments")
    if document.get("version") != 1 or not isinstance(segments, list) or not segments:
        errors.append(
            _wrong("file_malformed", 'A file of segments has "version": 1 and "segments", a list of them.', "")
        )
        return []
    if len(segments) > MOST_SEGMENTS:
        said = f"{MOST_SEGMENTS} segments at most at once; this has {len(segments)}."
        errors.append(_wrong("too_many_segments", said, "/segments"))
        return []
    found = []
    for number, one in enumerate(segments):
        pointer = f"/segments/{number}"
        wrong = list(_malformed(one, pointer))
        errors += wrong
        if not wrong:
            given = {key: one[key] for key in SAID if key in one}
            found.append(_Found(pointer=pointer, said=given, rule=one["rule"], rule_pointer=f"{pointer}/rule"))
    return found


def _malformed(one: Any, pointer: str) -> Iterable[RuleError]:
    """What keeps this from being read as a segment at all."""
    if not isinstance(one, dict) or "rule" not in one or "name" not in one:
        yield _wrong("segment_malformed", 'A segment has a "name" and a "rule".', pointer)
        return
    for key in one.keys() - {*SAID, "key", "rule"}:
        yield _wrong("unknown_member", f"A segment has no {key[:40]!r}.", f"{pointer}/{_escaped(key)}")
    for key in TEXTS:
        if key in one and not isinstance(one[key], str):
            yield _wrong("text_expected", f"“{key}” is a text.", f"{pointer}/{key}")
    for key in ("refresh_minutes", "daily_hour"):
        if key in one and (not isinstance(one[key], int) or isinstance(one[key], bool) or abs(one[key]) > 10_080):
            yield _wrong("number_expected", f"“{key}” is a whole number, 10,080 at most.", f"{pointer}/{key}")
    for key in ("tags", "purposes"):
        if key in one and not (isinstance(one[key], list) and all(isinstance(value, str) for value in one[key])):
            yield _wrong("texts_expected", f"“{key}” is a list of texts.", f"{pointer}/{key}")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _wrong(code: str, message: str, pointer: str) -> RuleError:
    return RuleError(code=code, message=message, pointer=pointer)


def _at(line: int, message: str, code: str) -> Placed:
    return Placed(line=line, message=message, pointer="", code=code)
