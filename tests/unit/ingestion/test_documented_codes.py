"""Integrators act on codes: each that the program can give is in docs/tracking-api.md, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs/tracking-api.md").read_text()
PLACES = [*(ROOT / "cdp/ingestion").glob("*.py"), *(ROOT / "cdp/identity").glob("*.py"), ROOT / "cdp/pipeline.py"]
PLACES += [ROOT / "cdp/profiles/orders.py", ROOT / "cdp/profiles/rates.py"]
# For the console, whose screens say what to do, and for the API, which documents its own.
NOT_ON_THE_WIRE = {
    "quarantined_closed", "not_two_profiles", "merge_undone", "merge_not_found", "survivor_absorbed", "profile_not_found",
    "identifier_malformed", "last_identifier", "message_not_found", "nothing_waits", "scope_missing",
}  # fmt: skip
ERRORS = {"DomainError", "NotAllowed", "Forbidden", "Busy", "Refusal", "Unusable", "Conflict", "NotFound"}
CODE = re.compile(r"[a-z][a-z0-9_]+")


def codes_in(tree: ast.AST) -> Iterator[str]:
    """What is raised with a code, appended to flags, or returned by `_refusal`, which tells a flag."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
            yield from literals(node.args[:1])
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func).endswith("flags.append")
        ):
            yield from literals(node.args)
        elif (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) in {"flags", "code", "NO_RATE"}
            and not isinstance(node.value, ast.Call)
        ):
            yield from literals([node.value])
        elif isinstance(node, ast.FunctionDef) and node.name == "_refusal":
            yield from literals([n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value])


def literals(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and CODE.fullmatch(part.value):
                yield part.value


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    given = {code for place in PLACES for code in codes_in(ast.parse(place.read_text()))} - NOT_ON_THE_WIRE
    listed = set(re.findall(r"^\| (?:\d{3} \| )?`([a-z0-9_]+)` \|", DOCUMENT, re.MULTILINE)) | {"invalid_base64"}
    assert listed - given == set(), "documented, but never given"
    assert given - listed == set(), "given, but not documented"
