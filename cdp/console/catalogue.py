"""The catalogues of traits and events, each entry with its figures: how many people have it, and how its values lie.

How figures are taken is in `segments.fields`; what may be changed of an entry is how people call and describe it.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, FloatField, Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Cast, NullIf
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import actor_of, reader_of
from cdp.jobs.models import Job
from cdp.profiles.admin import CatalogueAdmin
from cdp.profiles.models import EventName, Trait
from cdp.profiles.reliance import relying_on
from cdp.templatetags.cdp import bar, n, percent, when
from segments.fields.cards import card_of_event, card_of_property, card_of_trait
from segments.fields.measuring import MEASURE_KIND, request_measurement
from segments.fields.models import FieldKind, FieldStatistics
from segments.fields.views import card_context
from segments.personal import personal_traits
from segments.sharing import reads_people


class WithFigures(CatalogueAdmin):
    """A catalogue whose entries are fields of this kind, named in their column `name_of`."""

    kind: FieldKind
    name_of: str
    change_list_template = "profiles/catalogue_list.html"
    change_form_template = "profiles/catalogue_form.html"

    def get_urls(self) -> list[Any]:
        name = f"profiles_{self.opts.model_name}_measure"
        view = self.admin_site.admin_view(require_POST(self.measure_view))
        return [path("measure/", view, name=name), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        mine = FieldStatistics.objects.filter(kind=self.kind, event="", key=OuterRef(self.name_of))
        share = mine.annotate(share_of=Cast("filled", FloatField()) / NullIf(F("of"), 0))
        found: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                share_of_people=Subquery(share.values("share_of")[:1]),
                in_30_days=Subquery(mine.values("occurrences")[:1]),
                last_event_at=Subquery(mine.values("last_seen_at")[:1]),
            )
        )
        return found

    @admin.display(description="People who have it", ordering=F("share_of_people").desc(nulls_last=True))
    def filled(self, entry: Any) -> SafeString | str:
        if entry.share_of_people is None:
            return "not counted yet"
        share = entry.share_of_people
        return format_html('<span class="fig-s">{}{}</span>', percent(share), bar(share))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), **self._when(request)})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        entry = self.get_object(request, object_id)
        shown = self.figures(request, entry) if entry is not None else {}
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **self._when(request), **shown}
        )

    def figures(self, request: HttpRequest, entry: Any) -> dict[str, Any]:
        raise NotImplementedError("each catalogue shows its own")

    def measure_view(self, request: HttpRequest) -> HttpResponse:
        """Has all figures taken anew."""
        if not (self.has_view_permission(request) and request.user.has_perm("segments.measure_fields")):
            raise PermissionDenied
        job = request_measurement(by=actor_of(request), user=reader_of(request))
        messages.success(request, f"Job {job.pk} takes the figures of all traits and events anew.")
        return redirect(f"admin:profiles_{self.opts.model_name}_changelist")

    def _when(self, request: HttpRequest) -> dict[str, Any]:
        """When the figures were taken, whether that is being done now, and whether this reader may ask for it."""
        return {
            "measured_at": FieldStatistics.objects.aggregate(newest=Max("computed_at"))["newest"],
            "measuring": Job.objects.unfinished().filter(kind=MEASURE_KIND).first(),
            "may_measure": request.user.has_perm("segments.measure_fields"),
            "measure_url": f"admin:profiles_{self.opts.model_name}_measure",
        }


class TraitForm(forms.ModelForm):  # type: ignore[type-arg]  # django-stubs can't subscript at run time
    def clean_type(self) -> str:
        """The type, unless it is a new one that would break what relies on the old."""
        kind: str = self.cleaned_data["type"]
        if kind != self.instance.type and (names := relying_on(self.instance.key)):
            listed = ", ".join(f"“{name}”" for name in names)
            raise forms.ValidationError(f"Its type is relied on by {listed}. Change them first.", "trait_in_use")
        return kind


@admin.register(Trait)
class TraitAdmin(WithFigures):
    """A trait comes with the first event that names it."""

    kind, name_of = FieldKind.TRAIT, "key"
    form = TraitForm
    list_display = ("label", "key", "type", "category", "is_pii", "filled")
    list_filter = ("category", "type", "is_pii")
    search_fields = ("label", "key")
    search_help_text = "Label or key"
    readonly_fields = ("key", "created_at")
    fields = ("key", "label", "type", "category", "is_pii", "description", "created_at")

    def figures(self, request: HttpRequest, entry: Trait) -> dict[str, Any]:
        return card_context(card_of_trait(entry, may_read=reads_people(reader_of(request))))


@admin.register(EventName)
class EventNameAdmin(WithFigures):
    """A name comes with the first event that has it."""

    kind, name_of = FieldKind.EVENT, "name"
    list_display = ("label", "name", "type", "recent", "filled", "last_seen")
    list_filter = ("type",)
    search_fields = ("label", "name")
    search_help_text = "Label or name"
    readonly_fields = ("name", "type", "created_at")
    fields = ("name", "label", "type", "description", "created_at")

    @admin.display(description="In 30 days", ordering=F("in_30_days").desc(nulls_last=True))
    def recent(self, entry: Any) -> str:
        return n(entry.in_30_days)

    @admin.display(description="Last seen", ordering=F("last_event_at").desc(nulls_last=True))
    def last_seen(self, entry: Any) -> SafeString | str:
        return when(entry.last_event_at)

    def figures(self, request: HttpRequest, entry: EventName) -> dict[str, Any]:
        rows = FieldStatistics.objects.filter(kind=FieldKind.PROPERTY, event=entry.name).order_by("-filled", "key")
        personal, may_read = personal_traits(), reads_people(reader_of(request))
        properties = [card_of_property(row, personal=personal, may_read=may_read) for row in rows]
        return {**card_context(card_of_event(entry)), "properties": properties}
