"""The record of processing in the forms in which it is taken away: JSON, CSV, a page to print. And the forms to fill it in."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from django import forms

from cdp.accountability.models import Controller, PurposeEntry
from cdp.accountability.record import Content, as_bytes, missing

TEXTS = ("representative", "joint_controllers", "officer", "address", "subjects", "measures")


def as_json(content: Content) -> bytes:
    """The very bytes that are hashed when it is published."""
    return as_bytes(content)


def as_csv(content: Content) -> str:
    """One row for each thing that is said: where it stands (a JSON pointer), and the value; "missing" where there is none."""
    lacking = {one.pointer for one in missing(content)}
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("section", "pointer", "value"))
    for pointer, value in _leaves(content, ""):
        text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if pointer in lacking:
            text = "missing"
        writer.writerow((pointer.split("/")[1], pointer, f"'{text}" if text[:1] in ("=", "+", "-", "@") else text))
    return out.getvalue()


def _leaves(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{pointer}/{number}")
    else:
        yield pointer, "" if value in ({}, []) else value


class _Plain(forms.ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **more})
        for field in self.fields.values():
            field.widget.attrs["class"] = "in"
            if isinstance(field.widget, forms.Textarea):
                field.widget.attrs["rows"] = 3


class ControllerForm(_Plain):
    class Meta:
        model = Controller
        fields = (
            "name", "address", "contact", "representative", "joint_controllers", "officer", "authority", "subjects", "measures",
        )  # fmt: skip


class EntryForm(_Plain):
    class Meta:
        model = PurposeEntry
        fields = ("subjects", "recipients", "transfers", "safeguards")
