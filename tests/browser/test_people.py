"""The screens for people: found by any identifier, masked until revealed, their life in order, merges undone."""

from datetime import timedelta

from playwright.sync_api import expect

from tests.browser.conftest import Console
from tests.factories import identify, live, performed, person, process_all, track, tracker


def erika() -> None:
    """One customer whose phone and web visits were merged, with forty orders."""
    source = tracker()
    source.send(identify(anonymousId="device-7", ago=timedelta(days=50), traits={"language": "de"}))
    source.send(
        identify(
            "PB-204417",
            ago=timedelta(days=40),
            traits={"email": "erika@example.com", "firstName": "Erika", "lastName": "Mustermann", "country": "DE"},
        )
    )
    process_all()
    source.send(track("Order Completed", "PB-204417", anonymousId="device-7", ago=timedelta(days=39)))
    source.send(
        *(
            track(
                "Order Completed",
                "PB-204417",
                ago=timedelta(days=n, hours=1),
                properties={"revenue": 20 + n, "currency": "USD", "email": "erika@example.com"},
            )
            for n in range(38)
        )
    )
    process_all()
    live("buyers", performed("Order Completed"))


def test_a_marketer_finds_somebody_by_email_and_sees_them_masked(console: Console) -> None:
    erika()
    page = console.log_in("marketer")
    console.look("home-marketer")
    console.open("profiles/profile/")
    console.look("people")
    page.get_by_label("Find by any identifier").fill("Erika@Example.com")
    page.get_by_role("button", name="Search").click()

    expect(page.get_by_role("heading", name="E. M.", level=1)).to_be_visible()
    expect(page.get_by_text("e•••@example.com").first).to_be_visible()
    expect(page.get_by_text("your role may not reveal it")).to_be_visible()
    expect(page.get_by_role("button", name="Reveal")).to_have_count(0)
    assert "erika@example.com" not in page.content().lower()
    assert "mustermann" not in page.content().lower()
    console.look("person-masked")


def test_compliance_reveals_for_a_while_and_it_is_audited(console: Console) -> None:
    from cdp.audit.models import AuditEntry

    erika()
    page = console.log_in("compliance")
    console.open(f"profiles/profile/{person('PB-204417').uuid}/")
    expect(page.get_by_role("heading", name="E. M.", level=1)).to_be_visible()

    page.get_by_role("button", name="Reveal").click()
    expect(page.get_by_role("heading", name="Erika Mustermann", level=1)).to_be_visible()
    expect(page.get_by_text("erika@example.com").first).to_be_visible()
    console.look("person-revealed")
    entry = AuditEntry.objects.get(action="profile.revealed")
    assert (entry.actor_label, entry.object_id) == ("compliance", str(person("PB-204417").uuid))

    page.get_by_role("button", name="Mask again").click()
    expect(page.get_by_role("heading", name="E. M.", level=1)).to_be_visible()


def test_the_timeline_is_filtered_paged_and_unfolded(console: Console) -> None:
    erika()
    page = console.log_in("marketer")
    console.open(f"profiles/profile/{person('PB-204417').uuid}/")
    expect(page.locator(".ev")).to_have_count(20)
    expect(page.locator(".ev").first).to_contain_text("Entered Buyers")

    page.get_by_role("link", name="Older").scroll_into_view_if_needed()
    expect(page.locator(".ev")).to_have_count(40)
    page.get_by_role("link", name="Older").scroll_into_view_if_needed()
    expect(page.get_by_role("link", name="Older")).to_have_count(0)
    days = [heading.inner_text() for heading in page.locator(".day h3").all()]
    assert len(days) == len(set(days)), "a day that goes on over a page is named once"

    page.get_by_role("navigation", name="Show in the timeline").get_by_role("link", name="Order Completed").click()
    expect(page.locator(".ev").first).to_contain_text("Order Completed")
    expect(page.locator(".ev", has_text="Entered")).to_have_count(0)
    page.locator(".ev summary").first.click()
    unfolded = page.locator(".ev dl").first
    expect(unfolded).to_contain_text("revenue")
    expect(unfolded).to_contain_text("••••")
    console.look("person-orders")

    page.get_by_text("More filters").click()
    page.get_by_label("From").fill("2001-01-01")
    page.get_by_label("To").fill("2001-02-01")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("heading", name="Nothing of this kind")).to_be_visible()
    page.get_by_role("link", name="Show everything").click()

    page.get_by_role("link", name="Consent", exact=True).click()
    expect(page.get_by_role("heading", name="Nothing of this kind")).to_be_visible()


def test_it_is_told_why_somebody_is_in_a_segment_and_the_next_person_is_a_key_away(console: Console) -> None:
    erika()
    live("often", performed("Order Completed", at_least=500))
    page = console.log_in("marketer")
    console.open(f"profiles/profile/{person('PB-204417').uuid}/")
    segments = page.get_by_role("region", name="Segments")
    expect(segments).to_contain_text("in 1 of 2")
    segments.locator("summary", has_text="Buyers").click()
    expect(segments.get_by_text("Time alone changes nothing.")).to_be_visible()
    segments.get_by_role("link", name="Show others").click()
    segments.locator("summary", has_text="Often").click()
    expect(segments.get_by_text("stands in its way")).to_have_count(1)
    console.look("person-why")

    tracker().send(identify("somebody-else", ago=timedelta(days=60)))
    process_all()
    page.reload()
    page.keyboard.press("j")
    expect(page.get_by_role("heading", name="somebody-else", level=1)).to_be_visible()
    page.keyboard.press("k")
    expect(page.get_by_role("heading", name="E. M.", level=1)).to_be_visible()


def test_a_merge_is_undone(console: Console) -> None:
    from cdp.identity.models import Merge

    erika()
    merge = Merge.objects.get()
    page = console.log_in("compliance")
    console.open(f"profiles/profile/{merge.absorbed_uuid}/")
    expect(page.get_by_role("status")).to_contain_text("was merged into this one")
    page.get_by_role("button", name="Undo merge").click()
    expect(page.get_by_role("status")).to_contain_text("The merge is undone")
    console.open(f"profiles/profile/{merge.absorbed_uuid}/")
    expect(page.get_by_role("heading", name="device-7", level=1)).to_be_visible()
