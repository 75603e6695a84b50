"""Purposes: as a tree, with what each means for the people it reads, and the form to change one.

What a purpose may be is decided by its constraints (`consent.models`); who relies on it, by the apps that do.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from cdp.audit.admin_base import AuditedAdmin, actor_of
from consent.merging import inherit_stops, stops_to_inherit
from consent.models import Purpose
from consent.purposes import lies_beneath, permitting, tree
from consent.querysets import BUILT_IN, PRIVACY_RIGHTS
from consent.reliance import relying_on, tell_of_new_mode
from consent.signals.meaning import Capability

CAPABILITIES = [(one.value, one.value.replace("_", " ").capitalize()) for one in Capability]


def _capabilities(label: str, help_text: str) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, help_text=help_text, required=False, choices=CAPABILITIES, widget=forms.CheckboxSelectMultiple
    )


class PurposeForm(forms.ModelForm):  # type: ignore[type-arg]
    needs_granted = _capabilities(
        "Granted by signals of",
        "A consent string that grants all of these is a yes; one that denies any of them is a no.",
    )
    needs_undenied = _capabilities("Also ended by signals against", "A browser that denies any of these says no.")
    carry_noes = forms.BooleanField(
        label="Carry the noes down",
        required=False,
        help_text="Needed where people have said no to what it will lie beneath: then they have said no to this one, too.",
    )

    class Meta:
        model = Purpose
        fields = (
            "label", "key", "text", "lawful_basis", "mode", "channel", "parent", "reach", "lifetime_days",
            "needs_double_opt_in", "covers_profiling", "needs_granted", "needs_undenied",
        )  # fmt: skip
        widgets = {"text": forms.Textarea(attrs={"rows": 3})}
        help_texts = {
            "label": "A few words; people see them in the banner and the preference centre.",
            "key": "How rules and systems name it, such as product_news. It can't change later.",
            "text": "What is done with their data and why, in words that everybody understands. Notices begin with it.",
            "lawful_basis": "GDPR Art. 6(1). Consent must be asked for first; to legitimate interests people can object.",
            "mode": "Who is in the answer when people are read for it.",
            "channel": "The way people are reached for it, which decides what laws ask for.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.noes = 0
        if "parent" in self.fields and self.instance.pk:
            parents = dict(Purpose.objects.values_list("pk", "parent_id"))
            offered = Purpose.objects.exclude(pk__in=lies_beneath(self.instance.pk, parents))
            self.fields["parent"].queryset = offered  # type: ignore[attr-defined]
            self.fields["parent"].error_messages["invalid_choice"] = (
                "It can't lie beneath itself, nor beneath what lies beneath it."
            )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        parent = given.get("parent")
        if self.instance.pk and "reach" in self.changed_data and self.instance.records.exists():
            self.add_error(
                "reach", "Somebody has decided on it already, by what it held for then: make another purpose."
            )
        if parent is not None and self.instance.pk and "parent" in self.changed_data:
            purpose = Purpose(pk=self.instance.pk, reach=given.get("reach", self.instance.reach))
            self.noes = stops_to_inherit(purpose=purpose, parent=parent).count()
            if self.noes and not given.get("carry_noes"):
                who = "1 person has" if self.noes == 1 else f"{self.noes:,} people have"
                self.add_error(
                    "carry_noes",
                    f"{who} said no to {parent.label}. If this lies beneath it, they have said no to this, too."
                    " Tick here and save again.",
                )
        return given


@admin.register(Purpose)
class PurposeAdmin(AuditedAdmin):
    form = PurposeForm
    change_form_template = "consent/purpose.html"
    fieldsets = (
        ("What people are told", {"fields": ("label", "key", "text")}),
        ("What allows it", {"fields": ("lawful_basis", "mode", "lifetime_days", "needs_double_opt_in", "reach")}),
        ("What it is about", {"fields": ("channel", "covers_profiling", "needs_granted", "needs_undenied")}),
        ("Where it lies", {"fields": ("parent", "carry_noes")}),
    )
    unaudited = ("carry_noes",)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name == "parent":  # purposes are made and changed one at a time
            for what in ("add", "change", "delete", "view"):
                setattr(field.widget, f"can_{what}_related", False)
        return field

    def get_readonly_fields(self, request: HttpRequest, obj: Purpose | None = None) -> tuple[str, ...]:
        """A key is what rules and systems know a purpose by: it stays. What the law decides isn't ours to change."""
        if obj is not None and obj.key == PRIVACY_RIGHTS:
            return ("key", "lawful_basis", "mode", "parent", "reach")
        return ("key",) if obj else ()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        purposes = list(Purpose.objects.select_related("parent"))
        counts = permitting(purposes)
        context = {
            "rows": [(one.purpose, min(one.depth, 4), counts[one.purpose.pk]) for one in tree(purposes)],
            "may_add": self.has_add_permission(request),
        }
        return render(request, "consent/purposes.html", context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        purpose = self.get_object(request, object_id) if object_id else None
        about: dict[str, Any] = {}
        if purpose is not None:
            about = {
                "reliant": relying_on(purpose.key),
                "children": list(purpose.children.all()),
                "permitting": permitting([purpose])[purpose.pk],
                "is_built_in": purpose.key in BUILT_IN,
            }
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **about})

    def has_delete_permission(self, request: HttpRequest, obj: Purpose | None = None) -> bool:
        if not super().has_delete_permission(request, obj):
            return False
        return obj is None or not (obj.key in BUILT_IN or relying_on(obj.key))

    def save_model(self, request: HttpRequest, obj: Purpose, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and {"mode", "covers_profiling", "lawful_basis"}.intersection(form.changed_data):
            tell_of_new_mode(obj.key)
        if "parent" in form.changed_data and obj.parent_id is not None:
            carried = inherit_stops(purpose=obj, by=actor_of(request))
            if carried:
                who = "1 person" if carried == 1 else f"{carried:,} people"
                messages.info(request, f"The no of {who} to what it lies beneath counts for it now, too.")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Purpose]) -> None:
        """Without those that are needed: several at once are not asked about one by one."""
        kept = [purpose.pk for purpose in queryset if not self.has_delete_permission(request, purpose)]
        super().delete_queryset(request, queryset.exclude(pk__in=kept))
