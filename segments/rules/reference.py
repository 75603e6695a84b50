"""The operator tables of the rule guide, made from the operators themselves. Prose doesn't belong here.

`python -m segments.rules.reference docs/guides/rules.md` brings the guide up to date; a test says when it isn't.
"""

import json
import sys
from pathlib import Path
from typing import Final

from segments.rules.catalog import Type
from segments.rules.kinds import EXACT
from segments.rules.measures import MEASURES
from segments.rules.operators import OPERATORS, Operator
from segments.rules.parse_standing import BUCKET_OPERATORS, SCORE_KINDS, SCORE_OPERATORS
from segments.rules.shapes import LASTING, NOTHING, ONE, PAIR, REGULAR

BEGIN: Final = "<!-- made by segments.rules.reference: begin -->"
END: Final = "<!-- made by segments.rules.reference: end -->"

_EXAMPLES: Final[dict[Type, tuple[object, object]]] = {
    Type.TEXT: ("gold", "silver"),
    Type.NUMBER: (10, 20),
    Type.BOOLEAN: (True, False),
    Type.DATE: ("2026-01-01", "2026-03-31"),
    Type.LIST: ("shoes", "bags"),
    Type.COUNTRY: ("DE", "FR"),
    Type.CURRENCY: ("EUR", "USD"),
    Type.EMAIL: ("ann@example.com", "bob@example.org"),
    Type.PHONE: ("+41", "+49"),
}


def tables() -> str:
    """Markdown: the operators of traits, of event properties, of amounts, of scores, and of buckets."""
    traits = ["| type | op | reads | example | of a missing value |", "|---|---|---|---|---|"]
    for declared in Type:
        for one in OPERATORS.values():
            if declared in one.accepts:
                missing = "true" if one.negative else "false"
                traits.append(f"| {declared} | `{one.key}` | {one.label} | {_example(one, declared)} | {missing} |")
    measures = ["| measure | of a property | compared as | over no events |", "|---|---|---|---|"]
    for measure in MEASURES.values():
        of = "needed" if measure.needs_property else "optional" if measure.takes_property else "no"
        nothing = "0" if measure.over_nothing is not None else "missing"
        compared = " or ".join(kind.noun for kind in measure.kinds)
        measures.append(f"| `{measure.key}` | {of} | {compared} | {nothing} |")
    properties = [one.key for one in OPERATORS.values() if any(kind.in_properties for kind in one.kinds)]
    amounts = [one.key for one in OPERATORS.values() if one.amount is not None]
    return "\n".join(
        [
            "### Traits\n",
            *traits,
            "\n### Event properties\n",
            ", ".join(f"`{key}`" for key in properties) + ".\n",
            "### Counts and sums\n",
            ", ".join(f"`{key}`" for key in amounts) + ".\n",
            "### Scores\n",
            *_scores(),
            "\n### Buckets\n",
            ", ".join(f"`{key}`" for key in BUCKET_OPERATORS) + ".",
        ]
    )


def _scores() -> list[str]:
    rows = ["| op | compares | of a missing score |", "|---|---|---|"]
    for one in (OPERATORS[key] for key in SCORE_OPERATORS):
        kinds = [kind.noun if kind is not EXACT else "a label" for kind in one.kinds if kind in SCORE_KINDS]
        rows.append(f"| `{one.key}` | {' or '.join(kinds)} | {'true' if one.negative else 'false'} |")
    return rows


def brought_up_to_date(guide: str) -> str:
    """The guide with its tables made anew."""
    before, _, rest = guide.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _example(one: Operator, declared: Type) -> str:
    first, second = _EXAMPLES[declared]
    if one.shape is NOTHING:
        return "no value"
    if one.key == "at_domain":
        return '`["example.com"]`'
    value = {REGULAR: "^gold$", ONE: first, PAIR: [first, second], LASTING: {"days": 30}}.get(
        one.shape, [first, second]
    )
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    guide = Path(sys.argv[1])
    guide.write_text(brought_up_to_date(guide.read_text("utf-8")), "utf-8")
