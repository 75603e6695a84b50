"""The form for making and changing a webhook. What may stand in one is for `cdp.webhooks.services` to say."""

from typing import Any

from django import forms
from django.contrib.auth.models import User

from cdp.webhooks.access import audiences_heard_by
from cdp.webhooks.models import SecretKind, Webhook
from cdp.webhooks.services import CHOSEN
from consent.querysets import purposes_for_lists

LABELS = {
    "audience.entered": "Somebody enters an audience",
    "audience.exited": "Somebody leaves an audience",
    "profile.updated": "Traits of somebody in an audience change",
    "consent.changed": "Somebody decides about the purpose",
}


class WebhookForm(forms.Form):
    url = forms.CharField(
        label="Address",
        max_length=2000,
        help_text="https, and on the internet.",
        widget=forms.TextInput(attrs={"class": "in", "autocomplete": "off", "spellcheck": "false"}),
    )
    description = forms.CharField(
        label="What it is for",
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"class": "in"}),
    )
    events = forms.MultipleChoiceField(
        label="It is told when",
        choices=[(one.value, LABELS[one.value]) for one in CHOSEN],
        widget=forms.CheckboxSelectMultiple,
    )
    audiences = forms.MultipleChoiceField(
        label="Of these audiences",
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, user: User, **more: Any) -> None:
        super().__init__(*args, **more)
        self.known = {one.key: one for one in audiences_heard_by(user).select_related("purpose").order_by("name")}
        audiences: forms.MultipleChoiceField = self.fields["audiences"]  # type: ignore[assignment]
        audiences.choices = [(key, f"{one.name}, for {one.purpose.label.lower()}") for key, one in self.known.items()]


class NewWebhookForm(WebhookForm):
    purpose = forms.ChoiceField(
        label="For the purpose",
        help_text="Its audiences are for the same purpose.",
        widget=forms.Select(attrs={"class": "in"}),
    )
    signs = forms.ChoiceField(
        label="It signs by",
        choices=SecretKind.choices,
        initial=SecretKind.HMAC,
        widget=forms.Select(attrs={"class": "in"}),
        help_text="With a key pair the receiver verifies by what need not be secret; fewer libraries know it.",
    )

    def __init__(self, *args: Any, user: User, **more: Any) -> None:
        super().__init__(*args, user=user, **more)
        self.purposes = {one.key: one for one in purposes_for_lists().order_by("label")}
        purpose: forms.ChoiceField = self.fields["purpose"]  # type: ignore[assignment]
        purpose.choices = [(key, one.label) for key, one in self.purposes.items()]


def initial_of(webhook: Webhook) -> dict[str, Any]:
    return {
        "url": webhook.url,
        "description": webhook.description,
        "events": webhook.events,
        "audiences": [one.audience.key for one in webhook.heard.select_related("audience")],
    }
