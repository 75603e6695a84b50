"""The forms in which somebody writes what people are told. What may be said is decided in `consent.notices`."""

from collections.abc import Iterable
from typing import Any

from django import forms

from cdp.errors import DomainError
from consent.models import Mode, NoticeVersion, Purpose
from consent.notices import Content, Told

ONE_LINE = ("title", "accept", "reject", "choose", "save", "link_text", "link")
LANGUAGES = (
    "en",
    "de",
    "fr",
    "es",
    "it",
    "nl",
    "pl",
    "pt",
    "pt-BR",
    "sv",
    "da",
    "fi",
    "de-CH",
    "fr-CA",
    "en-GB",
    "ja",
    "zh-Hans-CN",
)


class NoticeForm(forms.Form):
    label = forms.CharField(
        max_length=100, help_text="How you call it here.", widget=forms.TextInput(attrs={"class": "in"})
    )
    key = forms.SlugField(
        max_length=64,
        help_text="How pages and systems ask for it, such as newsletter_form. It stays as it is.",
        widget=forms.TextInput(attrs={"class": "in"}),
    )


def _line(label: str, help_text: str = "", *, required: bool = True) -> forms.CharField:
    widget = forms.TextInput(attrs={"class": "in"})
    return forms.CharField(label=label, help_text=help_text, max_length=200, required=required, widget=widget)


class WordsForm(forms.Form):
    """All that somebody reads. For each purpose there is a tick, a label and a text."""

    locale = forms.CharField(
        label="Language",
        max_length=35,
        help_text="As browsers write it: en, de-CH.",
        widget=forms.TextInput(attrs={"class": "in in--auto", "list": "languages", "size": "12"}),
    )
    based_on = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=0)
    title = _line("Title")
    text = forms.CharField(
        label="Text",
        max_length=20_000,
        help_text="Plain words. Say what is done, that they may say no, and that they can change their mind.",
        widget=forms.Textarea(attrs={"class": "in", "rows": 5}),
    )
    accept = _line("Button: accept all")
    reject = _line("Button: reject all", "It is shown as large as the other.")
    choose = _line("Button: choose", required=False)
    save = _line("Button: save")
    link_text = _line("Link to your privacy notice", required=False)
    link = forms.CharField(
        label="Its address", required=False, max_length=500,
        widget=forms.TextInput(attrs={"class": "in", "placeholder": "https://…", "inputmode": "url"}),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asked = list(Purpose.objects.exclude(mode=Mode.NOTICE_ONLY))
        for purpose in self.asked:
            self.fields[f"ask-{purpose.key}"] = forms.BooleanField(label=purpose.label, required=False)
            label = _line("Label", required=False)
            text = forms.CharField(
                label="Text", required=False, max_length=4000, widget=forms.Textarea(attrs={"class": "in", "rows": 2})
            )
            label.initial, text.initial = purpose.label, purpose.text
            self.fields[f"label-{purpose.key}"], self.fields[f"text-{purpose.key}"] = label, text

    @classmethod
    def of(cls, content: Content | None, *, locale: str, newest: NoticeVersion | None) -> "WordsForm":
        """The form with these words in it."""
        initial: dict[str, Any] = {"locale": locale, "based_on": newest.number if newest else 0}
        if content is not None:
            initial |= {name: getattr(content, name) for name in ("text", *ONE_LINE)}
            for told in content.purposes:
                initial |= {f"ask-{told.key}": True, f"label-{told.key}": told.label, f"text-{told.key}": told.text}
        return cls(initial=initial)

    def purposes(self) -> list[tuple[Purpose, Any, Any, Any]]:
        """For the template: each purpose with its three fields."""
        return [(one, self[f"ask-{one.key}"], self[f"label-{one.key}"], self[f"text-{one.key}"]) for one in self.asked]

    def content(self) -> Content:
        """The words as they stand in the form, also where it isn't complete yet."""
        given = {name: self._now(name) for name in self.fields}
        return Content(
            **{name: _tidy(given[name]) for name in ("text", *ONE_LINE)},
            purposes=tuple(
                Told(
                    key=one.key,
                    label=_tidy(given[f"label-{one.key}"]) or one.label,
                    text=_tidy(given[f"text-{one.key}"]) or one.text,
                )
                for one in self.asked
                if given[f"ask-{one.key}"]
            ),
        )

    def _now(self, name: str) -> Any:
        if self.is_bound:
            return self.cleaned_data.get(name, self.data.get(name, "")) if hasattr(self, "cleaned_data") else ""
        return self.get_initial_for_field(self.fields[name], name)

    def add_errors(self, errors: Iterable[DomainError]) -> None:
        """Each at the field that it is about."""
        for error in errors:
            name = error.pointer.split("/")[1] if error.pointer else ""
            self.add_error(name if name in self.fields else None, error.message)


def _tidy(text: Any) -> str:
    return str(text or "").replace("\r\n", "\n").strip()
