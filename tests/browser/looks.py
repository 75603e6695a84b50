"""The bar for every screen: nothing that axe finds, nothing wider than the window, in both themes and at both widths.

PICTURES=1 keeps a picture of each look in `screenshots/` beside this file, for whoever wants to see.
What screens do is in the tests.
"""

import os
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page

HERE = Path(__file__).parent
AXE = (HERE / "vendor/axe/axe-4.14.1.min.js").read_text()
PICTURES = HERE / "screenshots" if os.environ.get("PICTURES") else None
WIDE, NARROW = (1440, 900), (390, 844)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# All that a theme can change of a page that is otherwise the same.
RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]
# Contrast depends on the theme, layout on the width: the first three see all that the fourth would, which is for the pictures.
LOOKS: tuple[tuple[tuple[int, int], Literal["light", "dark"], list[str]], ...] = (
    (WIDE, "light", RULES),
    (WIDE, "dark", RULES_OF_COLOUR),
    (NARROW, "light", RULES),
    (NARROW, "dark", []),
)
# For hundreds of pages in a row: each width and each theme once. Screens are looked at in full where they are used.
QUICK_LOOKS: tuple[tuple[tuple[int, int], Literal["light", "dark"], list[str]], ...] = (
    (WIDE, "light", RULES),
    (NARROW, "dark", RULES_OF_COLOUR),
)


def look(page: Page, name: str, *, full_page: bool = True, is_pictured: bool = True, is_quick: bool = False) -> None:
    """Fails unless this screen can be used by everybody. The window is wide and light again afterwards."""
    page.wait_for_load_state()  # whoever only pressed a link is on a page that isn't there yet
    for (width, height), theme, rules in QUICK_LOOKS if is_quick else LOOKS:
        if not rules and not (PICTURES and is_pictured):
            continue
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        if is_pictured:
            picture(page, f"{name}-{width}-{theme}", full_page=full_page)
        found = _violations(page, rules) if rules else []
        assert not found, f"{name} at {width} px, {theme}: {found}"
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{name} is {overflow} px wider than a window of {width} px"
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    page.emulate_media(color_scheme="light")


def picture(page: Page, name: str, *, full_page: bool = False) -> None:
    if PICTURES:
        page.screenshot(path=PICTURES / f"{name}.png", full_page=full_page)


def _violations(page: Page, rules: list[str]) -> list[str]:
    if not page.evaluate("!!window.axe"):
        page.evaluate(f"() => {{ {AXE} }}")
    violations = page.evaluate(
        "rules => axe.run(document, {runOnly: rules, preload: false}).then(found => found.violations)", rules
    )
    return [f"{v['id']}: {[node['html'][:160] for node in v['nodes'][:3]]}" for v in violations]
