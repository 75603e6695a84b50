"""The words between two versions: whatever changes, nothing of either text is lost, and what is common stays together."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.notices import Content, Told
from consent.wording import Kind, changes, pieces

TEXT = st.lists(
    st.sampled_from(["we", "may", "not", "write", "to", "you,", " ", "  ", "\n", "Äpfel"]), max_size=30
).map("".join)
FIRST = Content(
    title="Your choice", text="We write to you once a week.", purposes=(Told(key="sms", label="SMS", text="By text message."),),
    accept="Yes", reject="No", choose="Choose", save="Save",
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(before=TEXT, after=TEXT)
def test_both_texts_can_be_put_together_again(before: str, after: str) -> None:
    told = pieces(before, after)
    assert "".join(one.text for one in told if one.kind != Kind.ADDED) == before
    assert "".join(one.text for one in told if one.kind != Kind.REMOVED) == after
    assert (before == after) == all(one.kind == Kind.SAME for one in told)


def test_words_are_compared_and_not_letters() -> None:
    told = pieces("We write to you once a week.", "We write to you twice a week.")
    assert [(one.kind, one.text) for one in told] == [
        (Kind.SAME, "We write to you "), (Kind.REMOVED, "once "), (Kind.ADDED, "twice "), (Kind.SAME, "a week."),
    ]  # fmt: skip


def test_only_what_differs_is_told_of_in_the_order_of_reading() -> None:
    now = msgspec.structs.replace(FIRST, text="We write to you daily.", purposes=(), save="Keep")
    told = changes(FIRST, now)
    assert [one.part for one in told] == ["Text", "Button: save", "Sms: label", "Sms: text"]
    assert [(one.added, one.removed) for one in told] == [(1, 3), (1, 1), (0, 1), (0, 3)]
    assert changes(FIRST, FIRST) == []
    assert [one.part for one in changes(None, FIRST)][:2] == ["Title", "Text"]
