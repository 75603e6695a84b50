"""The guide for compliance staff says what the files say."""

import re
from pathlib import Path

from consent.law import law_for, load
from consent.law.reference import AS_OF, brought_up_to_date
from tests.unit.consent.law.documents import folder

GUIDE = (Path(__file__).resolve().parents[4] / "docs" / "guides" / "compliance.md").read_text("utf-8")


def test_the_tables_of_laws_are_current() -> None:
    assert brought_up_to_date(GUIDE) == GUIDE, "run: python -m consent.law.reference docs/guides/compliance.md"


def test_the_guide_says_that_it_is_no_legal_advice() -> None:
    assert "**This is no legal advice.**" in GUIDE


def test_the_example_of_an_override_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    laws = load(folder(tmp_path, example=example))
    assert law_for("BG", None, AS_OF, laws=laws).guardian_below.value == 14
    assert law_for("BG", None, AS_OF, laws=laws).guardian_below.overridden
