"""Moving things about in the builder, by mouse and by keyboard, and taking it back; carrying conditions from one segment to another."""

import json
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.building import write_rule
from tests.browser.conftest import Console
from tests.factories import live, performed, process_all, track, tracker

BOUGHT, LOOKED, RETURNED = (performed(name) for name in ("Order Completed", "Product Viewed", "Order Refunded"))


def shop() -> None:
    tracker().send(*(track(one["performed"], f"u{n}") for n in range(4) for one in (BOUGHT, LOOKED, RETURNED)))
    process_all()


def conditions(page: Page) -> list[Any]:
    """What the draft says, each condition by the name of its event."""

    def named(one: Any) -> Any:
        if "performed" in one:
            return one["performed"].split()[-1]
        if "sequence" in one:
            return [step.get("performed", step.get("not_performed")).split()[-1] for step in one["sequence"]]
        return {key: [named(inner) for inner in value] for key, value in one.items() if isinstance(value, list)}

    return [named(one) for one in json.loads(page.locator("#rule").input_value())["all"]]


def expect_conditions(page: Page, wanted: list[Any]) -> None:
    for _ in range(50):
        if (found := conditions(page)) == wanted:
            return
        page.wait_for_timeout(100)
    raise AssertionError((found, wanted))


def drag(page: Page, handle: Locator, onto: Locator, *, below: bool = False) -> None:
    """As a hand does: pressed, moved in steps, let go."""
    handle.scroll_into_view_if_needed()
    start = handle.bounding_box()
    assert start
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    for _ in range(3):  # what lies between gives way meanwhile
        end = onto.bounding_box()
        assert end
        page.mouse.move(end["x"] + 30, end["y"] + (end["height"] - 6 if below else 6), steps=8)
        page.wait_for_timeout(150)
    page.mouse.up()


def test_conditions_and_steps_are_dragged_moved_by_keys_and_put_back(console: Console) -> None:
    shop()
    page = console.log_in("marketer")
    page.set_viewport_size({"width": 1440, "height": 1800})  # all of it in sight
    console.open("segments/segment/new/")
    steps = {
        "sequence": [{"performed": "Product Viewed"}, {"performed": "Order Completed"}, {"performed": "Order Refunded"}]
    }
    write_rule(page, json.dumps({"version": 1, "all": [BOUGHT, LOOKED, {"any": [RETURNED, LOOKED]}, steps]}))
    sequence = ["Viewed", "Completed", "Refunded"]
    begun = ["Completed", "Viewed", {"any": ["Refunded", "Viewed"]}, sequence]
    expect_conditions(page, begun)
    row = page.locator(".conds > .cond")
    grip = page.get_by_role("button", name="Move: condition 2, Product Viewed", exact=True)

    # Among its neighbours; into the group; a step among the steps.
    drag(page, grip, row.first)
    expect_conditions(page, ["Viewed", "Completed", *begun[2:]])
    drag(
        page,
        page.get_by_role("button", name="Move: condition 1, Product Viewed", exact=True),
        page.locator(".nest .cond").last,
        below=True,
    )
    expect_conditions(page, ["Completed", {"any": ["Refunded", "Viewed", "Viewed"]}, sequence])
    drag(page, page.get_by_role("button", name="Move: step 3, Order Refunded"), page.locator(".seq > li").nth(1))
    expect_conditions(
        page, ["Completed", {"any": ["Refunded", "Viewed", "Viewed"]}, ["Viewed", "Refunded", "Completed"]]
    )

    # All of it taken back, with the button and with keys, and done again.
    expect(page.locator("[data-pending]")).to_have_text("4 unsaved changes")
    page.get_by_role("button", name="Undo").click()
    expect_conditions(page, ["Completed", {"any": ["Refunded", "Viewed", "Viewed"]}, sequence])
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    expect_conditions(page, begun)
    page.keyboard.press("Control+Shift+z")
    expect_conditions(page, ["Viewed", "Completed", *begun[2:]])
    page.keyboard.press("Control+z")
    expect_conditions(page, begun)

    # The same by keys on the handle, which keeps the focus.
    grip.focus()
    page.keyboard.press("ArrowUp")
    expect_conditions(page, ["Viewed", "Completed", *begun[2:]])
    expect(page.get_by_role("button", name="Move: condition 1, Product Viewed", exact=True)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect_conditions(page, begun)
    page.keyboard.press("ArrowRight")
    expect_conditions(page, ["Completed", {"any": ["Viewed", "Refunded", "Viewed"]}, sequence])
    expect(page.get_by_role("button", name="Move: condition 2.1, Product Viewed", exact=True)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect_conditions(page, ["Completed", {"any": ["Refunded", "Viewed"]}, "Viewed", sequence])
    expect(page.get_by_role("button", name="Move: condition 3, Product Viewed", exact=True)).to_be_focused()
    page.get_by_role("button", name="Move: step 3, Order Refunded").press("ArrowUp")
    for _ in range(50):
        if [one for one in conditions(page) if isinstance(one, list)] == [["Viewed", "Refunded", "Completed"]]:
            break
        page.wait_for_timeout(100)
    else:
        raise AssertionError(conditions(page))
    console.look("builder-moved")


def test_a_draft_outlives_a_reload_and_a_condition_goes_to_another_segment(console: Console) -> None:
    shop()
    first, second = live("buyers", BOUGHT), live("lookers", LOOKED)
    page = console.log_in("marketer")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    console.open(f"segments/segment/{first.uuid}/")
    page.get_by_role("group", name="Condition 1: Order Completed").get_by_role("textbox", name="Value").fill("3")
    page.keyboard.press("Tab")
    expect(page.locator("[data-pending]")).to_have_text("1 unsaved change")
    page.reload()
    expect(page.locator("[data-pending]")).to_have_text("1 unsaved change")
    expect(
        page.get_by_role("group", name="Condition 1: Order Completed").get_by_role("textbox", name="Value")
    ).to_have_value("3")

    page.locator(".cond").first.locator(".more > summary").click()
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("[data-pending]")).to_have_text("")
    console.open(f"segments/segment/{second.uuid}/")
    page.get_by_role("button", name="Paste into All of").click()
    expect_conditions(page, ["Viewed", "Completed"])
    assert json.loads(page.locator("#rule").input_value())["all"][1]["value"] == 3
    console.look("builder-pasted")


def test_a_draft_is_not_lost_to_another_version_nor_a_step_to_a_failure(console: Console) -> None:
    from segments.services import save_version
    from tests.factories import BY, rule

    shop()
    segment = live("buyers", BOUGHT)
    page = console.log_in("marketer")
    console.open(f"segments/segment/{segment.uuid}/")
    value = page.get_by_role("group", name="Condition 1: Order Completed").get_by_role("textbox", name="Value")
    value.fill("3")
    value.press("Enter")
    expect(page.locator("[data-pending]")).to_have_text("1 unsaved change")
    save_version(segment=segment, rule=rule(LOOKED), by=BY)
    page.reload()
    expect_conditions(page, ["Viewed"])
    expect(page.locator("[data-pending]")).to_contain_text("Redo brings your draft back")
    page.get_by_role("button", name="Redo: Bring back your draft").click()
    expect_conditions(page, ["Completed"])

    page.route("**/build/", lambda route: route.fulfill(status=500, body=""))
    page.get_by_role("button", name="Undo").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-pending]")).to_contain_text("That was not done")
    expect_conditions(page, ["Completed"])
    for told in ("status of 500", "Error Code 500"):  # the failure was ours: the browser tells of it, and htmx
        console.pardon(told)


def test_what_is_counted_while_it_is_typed_stands_beside_its_rows_once_they_do(console: Console) -> None:
    shop()
    segment = live("buyers", BOUGHT)
    page = console.log_in("marketer")
    console.open(f"segments/segment/{segment.uuid}/")
    write_rule(page, json.dumps({"version": 1, "all": [BOUGHT, LOOKED]}))
    expect(page.locator("#cnt-n-all-1")).to_contain_text("left")
    two = page.locator("#rule").input_value()  # as the builder writes it, so that building it changes nothing
    write_rule(page, json.dumps({"version": 1, "all": [BOUGHT]}))
    expect(page.locator("#cnt-n-all-1")).to_have_count(0)
    expect(page.locator("#cnt-n-all-0")).to_contain_text("left")
    counted = page.expect_response(lambda answer: answer.url.endswith("/preview/") and "cnt-n-all-1" in answer.text())
    with counted:
        page.locator("#rule").fill(two)
    page.locator("#rule").blur()
    expect(page.locator("#cnt-n-all-1")).to_contain_text("left")
    console.look("counted-while-typed", is_pictured=False)
