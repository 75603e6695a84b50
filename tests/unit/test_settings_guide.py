"""The guide to settings, the example of production's and the code agree, name by name and default by default."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs/guides/settings.md"
EXAMPLE = ROOT / "deploy/env.example"
NAME = re.compile(r"(?:CDP_[A-Z0-9_]*[A-Z0-9]|DATABASE_URL|DATABASE_OWNER_URL|REDIS_URL)")
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \|(.*)\|$", re.MULTILINE)
CONSTANT = (str, int, float, bool)
# What loads the settings and says by which names they asked the environment, computed ones too.
ASKING = """
import os
asked = set()
class Asked(dict):
    def get(self, name, default=None): asked.add(name); return super().get(name, default)
    def __getitem__(self, name): asked.add(name); return super().__getitem__(name)
os.environ = Asked(DATABASE_URL="postgresql://a@b/c", CDP_INSECURE_KEY="1")
import cdp.settings
print(*sorted(asked))
"""


@dataclass(frozen=True)
class Row:
    """One setting as the guide has it."""

    default: str
    use: str
    is_secret: bool


def rows() -> dict[str, Row]:
    found = {}
    for name, rest in ROW.findall(GUIDE.read_text()):
        _, default, _, use, secret = [cell.strip() for cell in rest.split("|")]
        assert name not in found, f"{name} stands there twice"
        found[name] = Row(default=default, use=use.strip("*"), is_secret=bool(secret))
    return found


def readings() -> Iterator[tuple[str, ast.Call | None]]:
    """Each place of the code that reads a variable by its name."""
    command = [
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "cdp/*.py",
        "consent/*.py",
        "segments/*.py",
    ]
    names = subprocess.run(
        [*command, "demo/*.py", "manage.py"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for path in sorted(set(names.split())):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if (
                isinstance(node, ast.Call)
                and _reads(node.func)
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value), node
            elif isinstance(node, ast.Subscript) and _is_environ(node.value) and isinstance(node.slice, ast.Constant):
                yield str(node.slice.value), None


def _reads(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id.startswith("env_") or function.id == "getenv"
    if isinstance(function, ast.Attribute) and function.attr in {"get", "pop", "getenv"}:
        return _is_environ(function.value) or function.attr == "getenv"
    return False


def _is_environ(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )


def default_of(call: ast.Call) -> str | None:
    """What the guide must say of it; None when it is computed."""
    if len(call.args) < 2:
        return "`0`" if isinstance(call.func, ast.Name) and call.func.id == "env_bool" else "–"
    value = call.args[1]
    if not isinstance(value, ast.Constant) or not isinstance(value.value, CONSTANT):
        return None
    return f"`{value.value}`" if value.value != "" else "–"


def in_example() -> dict[str, bool]:
    """Each name of the example, and whether it is set there."""
    found = {}
    for line in EXAMPLE.read_text().splitlines():
        if said := re.fullmatch(r"(# )?([A-Z0-9_]+)=(.*)", line):
            assert said[2] not in found, f"{said[2]} stands there twice"
            found[said[2]] = not said[1]
    return found


def test_the_guide_has_every_setting_that_is_read_and_no_other() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASKING], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    read = {name for name in {*asked, *(name for name, _ in readings())} if NAME.fullmatch(name)}
    assert len(read) > 80
    assert set(rows()) == read


def test_the_guide_says_the_defaults_that_hold() -> None:
    said, wrong = rows(), []
    for name, call in readings():
        default = default_of(call) if call is not None and name in said else None
        is_settings = default is not None and name not in {"CDP_LOG_LEVEL"}
        if is_settings and said[name].default != default:
            wrong.append(f"{name}: the guide says {said[name].default}, the code {default}")
    assert wrong == []
    assert said["CDP_LOG_LEVEL"].default == "`INFO`"


def test_the_example_of_production_has_what_the_guide_says_it_has() -> None:
    named = in_example()
    assert {name for name, is_set in named.items() if is_set} == {n for n, row in rows().items() if row.use == "set"}
    assert {name for name, is_set in named.items() if not is_set} == {
        n for n, row in rows().items() if row.use == "look at"
    }
    assert {row.use for row in rows().values()} == {"set", "look at", "trial", ""}


def test_what_stands_commented_in_the_example_is_the_default() -> None:
    said = rows()
    for line in EXAMPLE.read_text().splitlines():
        if commented := re.fullmatch(r"# ([A-Z0-9_]+)=(.*)", line):
            default = said[commented[1]].default
            assert (f"`{commented[2]}`" if commented[2] else "–") == default, commented[1]


def test_every_secret_of_the_example_is_marked_and_has_no_value_of_anybodys() -> None:
    lines, secrets = EXAMPLE.read_text().splitlines(), set()
    for number, line in enumerate(lines):
        if line.startswith("# SECRET"):
            following = next(one for one in lines[number:] if not one.startswith("#"))
            name, value = following.split("=", 1)
            assert "change-me" in value, name
            secrets.add(name)
    marked = {name for name, row in rows().items() if row.is_secret and row.use == "set"}
    # The owner's address has its password in a file of its own.
    assert secrets == marked - {"DATABASE_OWNER_URL"}
    assert "change-me" in (ROOT / "deploy/owner.env.example").read_text()
