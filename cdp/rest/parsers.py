"""Reading request bodies: JSON that is small, shallow and says everything once, or a plain refusal."""

import json
import math
import re
from collections.abc import Mapping
from typing import IO, Any, Final

from rest_framework.parsers import BaseParser

from cdp.errors import DomainError

LARGEST_BODY: Final = 1_000_000  # bytes; a rule of 1,000 conditions has some 200,000
# Lists and objects within each other. What reads a body after us may recurse, so this is far below Python's own limit.
DEEPEST: Final = 200
NO_TEXT: Final = re.compile("[\x00\ud800-\udfff]")


class StrictJsonParser(BaseParser):
    """JSON in UTF-8. A name that stands twice is refused: readers disagree on which value holds, and a rule must not."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read(LARGEST_BODY + 1)
        if len(body) > LARGEST_BODY:
            raise DomainError("body_too_large", f"A request may have {LARGEST_BODY:,} bytes.", status=413)
        try:
            document = json.loads(
                body.decode("utf-8-sig"),
                object_pairs_hook=_each_name_once,
                parse_constant=_refuse_constant,
                parse_float=_finite,
            )
        except RecursionError:
            raise DomainError("invalid_json", "The JSON is nested too deep.") from None
        except UnicodeDecodeError:
            raise DomainError("invalid_json", "The body is not UTF-8.") from None
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise DomainError("invalid_json", f"The body is not valid JSON: {error.msg} at {where}.") from None
        except ValueError as error:
            # Python's own text speaks of its limits on digits, not of the body.
            message = str(error) if isinstance(error, _RefusedJson) else "The body has a number of too many digits."
            raise DomainError("invalid_json", message) from None
        if _is_deeper(document, DEEPEST):
            raise DomainError("invalid_json", f"The JSON is nested too deep: {DEEPEST} lists and objects are the most.")
        if b"\\u" in body and (pointer := _no_text(document, "")) is not None:
            # Neither UTF-8 nor a database can hold it, so it could be neither kept nor answered.
            raise DomainError(
                "invalid_text", "There is a NUL or half a character (a lone surrogate) in this text.", pointer
            )
        return document


def _no_text(value: Any, pointer: str) -> str | None:
    """Where a text, or the name of a value, is none; None where all are. No deeper than a document may be."""
    if isinstance(value, str):
        return pointer if NO_TEXT.search(value) else None
    if isinstance(value, dict):
        if any(NO_TEXT.search(name) for name in value):
            return pointer
        inner = ((name.replace("~", "~0").replace("/", "~1"), one) for name, one in value.items())
    elif isinstance(value, list):
        inner = ((str(place), one) for place, one in enumerate(value))
    else:
        return None
    return next((found for name, one in inner if (found := _no_text(one, f"{pointer}/{name}")) is not None), None)


def _is_deeper(document: Any, limit: int) -> bool:
    level = [document]
    for _ in range(limit + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


class _RefusedJson(ValueError):
    pass


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RefusedJson("An object of the body has the same name twice.")
    return found


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise _RefusedJson("A number of the body is out of range: 1.8e308 is the largest.")
    return number


def _refuse_constant(name: str) -> Any:
    raise _RefusedJson(f"{name} is not JSON.")
