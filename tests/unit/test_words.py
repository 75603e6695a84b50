"""The words of people's own pages in other languages: none is missing, and what is read is what was written."""

import gettext
import re
import string
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = [code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
ENTRY = re.compile(r'^(?:msgctxt "(?P<context>[^"]*)"\n)?msgid "(?P<id>.+)"\nmsgstr "(?P<text>.*)"$', re.MULTILINE)
INLINE = re.compile(r'{% translate "([^"]+)"(?: context "([^"]+)")? %}|{% translate \'([^\']+)\' %}')
BLOCK = re.compile(r"{% blocktranslate[^%]*%}(.*?){% endblocktranslate %}", re.DOTALL)
PYTHON = re.compile(r'gettext(?:_lazy)?\(\s*((?:"[^"]*"\s*)+)\)')


def written(code: str) -> dict[str, str]:
    """What the catalogue's source says, as its compiled form has it."""
    text = (ROOT / "locale" / code / "LC_MESSAGES" / "django.po").read_text()
    return {
        (f"{found['context']}\x04" if found["context"] else "") + found["id"]: found["text"]
        for found in ENTRY.finditer(text)
    }


def said() -> set[str]:
    """Every sentence of the pages, the mail and the banner."""
    found: set[str] = set()
    for path in sorted((ROOT / "templates" / "pages").rglob("*.*")):
        text = path.read_text()
        for plain, context, quoted in INLINE.findall(text):
            found.add((f"{context}\x04" if context else "") + (plain or quoted))
        found |= {re.sub(r"{{ (\w+) }}", r"%(\1)s", block) for block in BLOCK.findall(text)}
    for path in [*sorted((ROOT / "cdp" / "pages").glob("*.py")), ROOT / "cdp" / "ingestion" / "banner.py"]:
        for parts in PYTHON.findall(path.read_text()):
            found.add("".join(re.findall(r'"([^"]*)"', parts)))
    return found


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_sentence_is_there_and_none_is_left_over(code: str) -> None:
    assert len(said()) > 60
    assert set(written(code)) == said()


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_compiled_catalogue_is_that_of_the_source(code: str) -> None:
    with open(ROOT / "locale" / code / "LC_MESSAGES" / "django.mo", "rb") as file:
        compiled = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    assert {key: text for key, text in compiled.items() if key} == written(code), "run msgfmt"


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_translation_says_something_and_fills_in_the_same_names(code: str) -> None:
    for key, text in written(code).items():
        assert text.strip(), key
        assert set(re.findall(r"%\((\w+)\)s", key)) == set(re.findall(r"%\((\w+)\)s", text)), key
        assert text[-1] in string.printable or text[-1].isalnum() or text[-1] in "“”", key
