"""Every page that an address leads to, as somebody who may see all of it finds it: usable by everybody, at both widths and in both themes.

What is done on the pages is in the other tests, with more to see on them; here none is left out.
"""

import pytest

from tests.browser.conftest import PASSWORD, Console
from tests.harness.harmless import Watch
from tests.integration.hostile_screens import Screens
from tests.integration.hostile_world import make_world

# So that several workers have some of them each.
PARTS = 2


@pytest.mark.parametrize("part", range(PARTS))
def test_each_page_can_be_used_by_everybody(console: Console, part: int) -> None:
    world = make_world()
    world.master.set_password(PASSWORD)
    world.master.save()
    console.log_in(world.master.get_username())
    client, names = world.client(), set[str]()
    for address in Screens(world, Watch()).all():
        if address.name in names:
            continue
        names.add(address.name)
        if len(names) % PARTS != part:
            continue
        answer = client.get(address.path)
        kind = answer.get("Content-Type", "")
        if answer.status_code != 200 or answer.streaming or not kind.startswith("text/html"):
            continue
        if b"<!doctype html>" not in answer.content[:40].lower():
            continue
        console.page.goto(f"{console.url}{address.path}")
        console.look(f"page-{address.name}", is_pictured=False, is_quick=True)
    assert len(names) > 150
