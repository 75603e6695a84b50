"""The shape of the code base that no single test sees: layers, sizes, names, and what the documents promise."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]
TARGET = re.compile(r"^([a-z][a-z-]*):.*?## ", re.MULTILINE)
LONGEST_FILE = 500
NOT_OURS = re.compile(r"(^|/)(vendor|migrations)/")
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "misc", "common"}


def files(*patterns: str) -> list[Path]:
    """Files that git knows or would add; neither vendored nor generated ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / name for name in sorted(set(names)) if not NOT_OURS.search(name) and (ROOT / name).exists()]


def code_in(document: Path) -> Iterator[str]:
    """The commands a document shows: lines of its fenced blocks, and its inline code."""
    text = document.read_text()
    for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def test_nobody_imports_upward() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml")) == 0, "run `make lint` to see who"


def test_every_command_in_the_documents_exists() -> None:
    from django.core.management import get_commands

    targets, commands = set(TARGET.findall((ROOT / "Makefile").read_text())), set(get_commands())
    missing = []
    for document in files("*.md"):
        for line in code_in(document):
            shown = [("make", name, targets) for name in re.findall(r"\bmake ([a-z][a-z-]*)", line)]
            shown += [("manage.py", name, commands) for name in re.findall(r"\bmanage\.py ([a-z_]+)", line)]
            missing += [f"{document.name}: {tool} {name}" for tool, name, known in shown if name not in known]
    assert missing == []


def test_the_readme_shows_the_two_commands() -> None:
    shown = set(code_in(ROOT / "README.md"))
    assert any("make demo" in line for line in shown)
    assert any("make test" in line for line in shown)


def test_every_make_target_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split())
    assert phony == set(TARGET.findall(makefile))


def test_no_file_hides_things_by_its_length() -> None:
    ours = files("*.py", "*.html", "*.js", "*.css", "Makefile")
    lengths = {path: len(path.read_text().splitlines()) for path in ours}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > LONGEST_FILE} == {}


def test_no_room_is_named_vaguely() -> None:
    assert [str(path) for path in files("*.py") if VAGUE_NAMES & {path.stem, path.parent.name}] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = []
    for path in files("*.py"):
        tree = ast.parse(path.read_text())
        if tree.body and path.name != "apps.py" and ast.get_docstring(tree) is None:
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_every_requirement_is_pinned() -> None:
    for path in files("requirements*.txt"):
        lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
        assert [line for line in lines if line and not line.startswith("-r ") and "==" not in line] == []


def test_warnings_are_errors_except_those_that_say_why() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        filters = tomllib.load(file)["tool"]["pytest"]["ini_options"]["filterwarnings"]
    assert filters[0] == "error"
    assert not [line for line in filters if line.startswith(("ignore::", "default::"))], "name the message you ignore"
