"""What is known of a person as one page of HTML: it opens anywhere, refers to nothing outside, and runs nothing.

What is in it comes from `cdp.privacy.dossier`. Of long kinds it shows the beginning; the files beside it have all.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from django.utils.html import format_html

from cdp.privacy.dossier import KINDS, Kind

MOST_ROWS: Final = 500
STYLE: Final = (
    ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}"
    "h2{margin-top:2.5rem}nav a{margin-right:1rem}table{border-collapse:collapse;display:block;overflow-x:auto}"
    "th,td{border:1px solid #8886;padding:.3rem .6rem;text-align:left;vertical-align:top;max-width:28rem;overflow-wrap:anywhere}"
    "pre{margin:0;white-space:pre-wrap}.quiet{opacity:.75}"
)
BEGIN: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    '<meta name="viewport" content="width=device-width, initial-scale=1"><title>What {} knows of you</title>'
    "<style>{}</style></head><body><h1>What {} knows of you</h1><p>As of {}. All moments are in UTC.</p>"
    "<p>You can have this corrected, erased or restricted, object to what is done with it, take back what you permitted, and complain to "
    "a data protection authority.</p><nav>"
)


def page(
    *, by: str, as_of: datetime, rows: Callable[[Kind, int], Iterable[dict[str, Any]]], kinds: Iterable[Kind] = KINDS
) -> Iterator[str]:
    """The page, piece by piece.

    Args:
        rows: gives those of a kind, not more than so many.
    """
    kinds = tuple(kinds)
    yield format_html(BEGIN, by, STYLE, by, moment(as_of))
    yield from (format_html('<a href="#{}">{}</a>', kind.name, kind.title) for kind in kinds)
    yield "</nav>"
    for kind in kinds:
        yield format_html('<h2 id="{}">{}</h2><p class="quiet">{}</p>', kind.name, kind.title, kind.about)
        yield from _table(kind, list(rows(kind, MOST_ROWS + 1)))
    yield "</body></html>"


def _table(kind: Kind, rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "<p>Nothing.</p>"
        return
    yield "<table><thead><tr>"
    yield from (format_html('<th scope="col">{}</th>', name.replace("_", " ")) for name in rows[0])
    yield "</tr></thead><tbody>"
    yield from map(_row, rows[:MOST_ROWS])
    yield "</tbody></table>"
    if len(rows) > MOST_ROWS:
        yield format_html("<p>These are the first {}; <b>{}.csv</b> has all of them.</p>", MOST_ROWS, kind.name)


def _row(row: dict[str, Any]) -> str:
    return "<tr>" + "".join(_cell(value) for value in row.values()) + "</tr>"


def _cell(value: Any) -> str:
    match value:
        case None | "" | {} | []:
            return "<td></td>"
        case bool():
            return f"<td>{'yes' if value else 'no'}</td>"
        case datetime():
            return format_html("<td>{}</td>", moment(value))
        case dict() | list():
            return format_html("<td><pre>{}</pre></td>", json.dumps(value, indent=1, ensure_ascii=False, default=str))
        case _:
            return format_html("<td>{}</td>", value)


def moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}"
