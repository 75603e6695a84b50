"""The forms of retention: a rule, and a purpose's days. What they mean is decided by `cdp.accountability.rules`."""

from typing import Any

from django import forms

from cdp.accountability.models import LONGEST_DAYS, Kind
from cdp.accountability.periods import Stated
from consent.models import Purpose


class RuleForm(forms.Form):
    """How long data of one kind is kept, and why."""

    days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=LONGEST_DAYS,
        label="Days",
        help_text="Whole days, in UTC. Leave empty to go by purposes alone.",
    )
    purposes = forms.ModelMultipleChoiceField(
        Purpose.objects.all(),
        required=False,
        label="Kept for",
        widget=forms.CheckboxSelectMultiple,
        help_text="Kept as long as the longest-lived of them, and at least for the days above.",
    )
    reason = forms.CharField(
        required=False,
        max_length=300,
        label="Why so long",
        help_text="The law or the need it rests on; it stands in the record of processing.",
    )

    def __init__(self, *args: Any, kind: Kind, stated: Stated | None = None, **more: Any) -> None:
        if stated is not None:
            initial = {"days": stated.days, "purposes": list(stated.purposes), "reason": stated.reason}
            more.setdefault("initial", initial)
        super().__init__(*args, **{"label_suffix": "", **more})
        if kind == Kind.QUARANTINE:  # nobody reads it for a purpose
            del self.fields["purposes"]
        for field in self.fields.values():
            if not isinstance(field.widget, forms.CheckboxSelectMultiple):
                field.widget.attrs["class"] = "in"
        self.fields["days"].widget.attrs["class"] = "in in--auto"

    def stated(self) -> Stated:
        """What was entered. Call it on a valid form only."""
        given = self.cleaned_data
        return Stated(
            days=given["days"],
            purposes=frozenset(purpose.pk for purpose in given.get("purposes") or ()),
            reason=given["reason"],
        )


class LifetimeForm(forms.Form):
    """For how long data may be used for a purpose."""

    days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=LONGEST_DAYS,
        label="Days",
        help_text="For how long data may be used for it. Empty: without end.",
        widget=forms.NumberInput(attrs={"class": "in in--auto"}),
    )

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **more})
