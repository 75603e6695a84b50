"""What staff fill in about privacy requests. What it means is in `cdp.privacy.services`."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from cdp.privacy.models import CameBy, IdentityMethod, ObjectsTo, RequestKind
from cdp.privacy.services import MOST_CORRECTIONS
from cdp.profiles.models import Profile
from consent.models import Purpose
from consent.querysets import PRIVACY_RIGHTS

ONE_LINE: dict[str, Any] = {"class": "in"}


def _choices(choices: Any, empty: str) -> list[tuple[str, str]]:
    return [("", empty), *choices]


class NewRequest(forms.Form):
    """A request as it came. Whoever asks is named by an identifier, exactly; nobody is listed."""

    kind = forms.ChoiceField(
        choices=_choices(RequestKind.choices, "Choose"), label="They ask for", widget=forms.Select(attrs=ONE_LINE)
    )
    who = forms.CharField(
        required=False,
        max_length=600,
        label="Who asks",
        help_text="An identifier of theirs, exactly: an email, a user id, or namespace:value. Leave it empty if you don't know yet.",
        widget=forms.TextInput(attrs=ONE_LINE | {"autocomplete": "off"}),
    )
    came_by = forms.ChoiceField(choices=CameBy.choices, label="It came by", widget=forms.Select(attrs=ONE_LINE))
    received_on = forms.DateField(
        label="It came on",
        widget=forms.DateInput(attrs={"type": "date", "class": "in in--auto"}, format="%Y-%m-%d"),
    )
    country = forms.CharField(
        required=False,
        max_length=2,
        label="Country they live in",
        help_text="Two letters, as DE. Without it the strictest law counts.",
        widget=forms.TextInput(attrs=ONE_LINE | {"autocomplete": "off"}),
    )
    region = forms.CharField(
        required=False,
        max_length=6,
        label="State or province",
        help_text="In the United States and Canada, as US-CA.",
        widget=forms.TextInput(attrs=ONE_LINE | {"autocomplete": "off"}),
    )
    objects_to = forms.ChoiceField(
        required=False,
        choices=_choices(ObjectsTo.choices, "Nothing: it is no objection"),
        label="They object to",
        widget=forms.Select(attrs=ONE_LINE),
    )
    purpose = forms.ModelChoiceField(
        required=False,
        queryset=Purpose.objects.exclude(key=PRIVACY_RIGHTS),
        empty_label="No single one",
        label="Which purpose",
        widget=forms.Select(attrs=ONE_LINE),
    )
    corrections = forms.CharField(
        required=False,
        label="What is wrong, of a rectification",
        help_text="A trait in each line, as city = Bern. With nothing after the = it is taken away.",
        widget=forms.Textarea(attrs=ONE_LINE | {"rows": 4}),
    )

    wrong_identifiers = forms.CharField(
        required=False,
        label="Identifiers that aren't theirs, of a rectification",
        help_text="One in each line, as email:old@example.com. They are removed; what was done under them stays.",
        widget=forms.Textarea(attrs=ONE_LINE | {"rows": 2, "autocomplete": "off"}),
    )

    def clean_who(self) -> Profile | None:
        text = self.cleaned_data["who"].strip()
        if not text:
            return None
        found = list(Profile.objects.found_by(text)[:2])
        if not found:
            raise forms.ValidationError("Nobody is known by this. Leave it empty to look for them later.")
        if len(found) > 1:
            raise forms.ValidationError("This names several people; say which kind of identifier, as email:…")
        return found[0]

    def clean_received_on(self) -> datetime:
        day: date = self.cleaned_data["received_on"]
        today = timezone.localdate()
        if day > today:
            raise forms.ValidationError("A request can't have come after today.")
        if day < today - timedelta(days=3650):
            raise forms.ValidationError("This is over ten years ago.")
        # Of today it is now; of another day the whole of it counts.
        return timezone.now() if day == today else timezone.make_aware(datetime.combine(day, time(12)))

    def clean_corrections(self) -> dict[str, str | None]:
        said: dict[str, str | None] = {}
        for number, line in enumerate(self.cleaned_data["corrections"].splitlines(), start=1):
            if not line.strip():
                continue
            key, equals, value = line.partition("=")
            if not equals or not key.strip():
                raise forms.ValidationError(f"Line {number}: write a trait, = and what it should be.")
            said[key.strip()] = value.strip() or None
        if len(said) > MOST_CORRECTIONS:
            raise forms.ValidationError(f"A request corrects up to {MOST_CORRECTIONS} traits.")
        return said

    def clean_wrong_identifiers(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["wrong_identifiers"].splitlines() if line.strip()]


class Person(forms.Form):
    """Who asks, found later."""

    who = forms.CharField(
        max_length=600,
        label="Who asks",
        help_text="An identifier of theirs, exactly: an email, a user id, or namespace:value.",
        widget=forms.TextInput(attrs=ONE_LINE | {"autocomplete": "off"}),
    )
    clean_who = NewRequest.clean_who


class Identity(forms.Form):
    method = forms.ChoiceField(
        choices=IdentityMethod.choices, label="How they showed who they are", widget=forms.Select(attrs=ONE_LINE)
    )
    note = forms.CharField(
        required=False,
        max_length=500,
        label="Note",
        help_text="What was shown; no copy of a document. It is erased with the person.",
        widget=forms.TextInput(attrs=ONE_LINE | {"autocomplete": "off"}),
    )


class Reason(forms.Form):
    reason = forms.CharField(
        max_length=500, label="Reason", help_text="The person is told.", widget=forms.TextInput(attrs=ONE_LINE)
    )


class Lifting(forms.Form):
    """By which identifier somebody who was erased may come back."""

    namespace = forms.CharField(
        max_length=50,
        initial="email",
        help_text="email, user_id, anonymous_id, or another.",
        widget=forms.TextInput(attrs=ONE_LINE),
    )
    value = forms.CharField(
        max_length=512,
        label="Identifier",
        help_text="As they give it to you now; it is kept nowhere.",
        widget=forms.TextInput(attrs=ONE_LINE | {"autocomplete": "off"}),
    )
