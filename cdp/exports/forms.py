"""The forms of exports and destinations. What may stand in them is for the services to say."""

from collections.abc import Sequence
from typing import Any, Final

from django import forms
from django.contrib.auth.models import User

from cdp.exports.access import exportable_audiences, may_reveal
from cdp.exports.destinations import PARTS, Part
from cdp.exports.fields import ENTERED_AT, Field, fields_there_are
from cdp.exports.models import Destination, Every, Format, Schedule
from cdp.exports.services import Spec

ONCE: Final = "once"
WHEN: Final = [(ONCE, "Once, now"), *Every.choices]
WEEKDAYS: Final = list(enumerate(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")))
GROUPS: Final = {"identifier": "Identifiers", "trait": "Traits", "score": "Scores"}
IN: Final = {"class": "in"}


class ExportForm(forms.Form):
    """A file, once or again and again."""

    audience = forms.ChoiceField(label="Of the audience", widget=forms.Select(attrs=IN))
    when = forms.ChoiceField(label="When", choices=WHEN, widget=forms.Select(attrs=IN))
    name = forms.CharField(
        label="What the schedule is called", max_length=150, required=False, widget=forms.TextInput(attrs=IN)
    )
    hour = forms.TypedChoiceField(
        label="At",
        coerce=int,
        required=False,
        empty_value=6,  # type: ignore[arg-type]  # whatever it is coerced to
        initial=6,
        choices=[(hour, f"{hour:02}:00") for hour in range(24)],
        widget=forms.Select(attrs=IN),
    )
    weekday = forms.TypedChoiceField(
        label="On",
        coerce=int,
        required=False,
        empty_value=0,  # type: ignore[arg-type]  # as above
        choices=WEEKDAYS,
        widget=forms.Select(attrs=IN),
    )
    is_delta = forms.BooleanField(
        label="Only who came and who went since the file before",
        required=False,
        help_text="The first file is of everybody.",
    )
    format = forms.ChoiceField(label="Format", choices=Format.choices, widget=forms.Select(attrs=IN))
    is_gzipped = forms.BooleanField(label="Compressed (gzip)", required=False)
    is_for_spreadsheets = forms.BooleanField(
        label="Safe to open in a spreadsheet",
        required=False,
        initial=True,
        help_text="In CSV, text that would run as a formula begins with an apostrophe. For machines, leave it away.",
    )
    fields_of_people = forms.MultipleChoiceField(
        label="What it says of each, beside their id",
        required=False,
        initial=[ENTERED_AT],
        widget=forms.CheckboxSelectMultiple,
    )
    destination = forms.ChoiceField(label="Where it goes", required=False, widget=forms.Select(attrs=IN))

    def __init__(self, *args: Any, user: User, is_schedule: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        audiences = exportable_audiences(user).order_by("name")
        self.audiences = {one.key: one for one in audiences}
        self.destinations = {str(one.uuid): one for one in Destination.objects.all()}
        self._choose(
            "audience",
            [("", "Choose…"), *((k, f"{a.name}, for {a.purpose.label.lower()}") for k, a in self.audiences.items())],
        )
        self._choose(
            "destination",
            [("", "It is kept here to be fetched"), *((k, one.name) for k, one in self.destinations.items())],
        )
        known = fields_there_are()
        reveals = may_reveal(user)
        self.withheld = [] if reveals else [one for one in known if one.is_personal]
        self._choose("fields_of_people", _grouped([one for one in known if reveals or not one.is_personal]))
        if is_schedule:
            self._choose("when", list(Every.choices))
            del self.fields["audience"]

    def _choose(self, name: str, choices: list[Any]) -> None:
        field: forms.ChoiceField = self.fields[name]  # type: ignore[assignment]
        field.choices = choices

    @property
    def is_once(self) -> bool:
        return bool(self.cleaned_data["when"] == ONCE)

    @property
    def spec(self) -> Spec:
        given = self.cleaned_data
        return Spec(
            format=given["format"],
            is_gzipped=given["is_gzipped"],
            is_for_spreadsheets=given["is_for_spreadsheets"],
            fields=given["fields_of_people"],
            destination=self.destinations.get(given["destination"]),
        )

    @property
    def plan(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {name: given[name] for name in ("hour", "weekday", "is_delta")} | {"every": given["when"]}


def _grouped(fields: Sequence[Field]) -> list[Any]:
    grouped: list[Any] = [(one.key, one.label) for one in fields if one.key == ENTERED_AT]
    for group, label in GROUPS.items():
        if inner := [(one.key, one.label) for one in fields if one.of == group]:
            grouped.append((label, inner))
    return grouped


def initial_of(schedule: Schedule) -> dict[str, Any]:
    same = ("name", "hour", "weekday", "is_delta", "format", "is_gzipped", "is_for_spreadsheets")
    return {name: getattr(schedule, name) for name in same} | {
        "when": schedule.every,
        "fields_of_people": schedule.fields,
        "destination": str(schedule.destination.uuid) if schedule.destination else "",
    }


class DestinationForm(forms.Form):
    """A destination of one kind of place; a secret that is left empty stays as it is."""

    name = forms.CharField(label="What it is called", max_length=100, widget=forms.TextInput(attrs=IN))

    def __init__(self, *args: Any, place: str, is_new: bool, **more: Any) -> None:
        super().__init__(*args, **more)
        self.parts = PARTS[place]
        for part in self.parts:
            self.fields[part.name] = _field(part, is_new=is_new)

    @property
    def values(self) -> dict[str, str]:
        return {part.name: self.cleaned_data[part.name] for part in self.parts}


def _field(part: Part, *, is_new: bool) -> forms.CharField:
    attrs = {"class": "in", "autocomplete": "off", "spellcheck": "false"}
    long = part.name in ("private_key", "host_key")
    widget: forms.Widget = forms.Textarea(attrs={**attrs, "rows": "3"}) if long else forms.TextInput(attrs=attrs)
    if part.is_secret and not long:
        widget = forms.PasswordInput(attrs={**attrs, "autocomplete": "new-password"})
    help_text = part.help if is_new or not part.is_secret else f"{part.help} Empty: as it is.".strip()
    return forms.CharField(
        label=part.label,
        required=part.is_needed and not part.usual and (is_new or not part.is_secret),
        initial=part.usual,
        help_text=help_text,
        widget=widget,
        strip=not part.is_secret,
    )
