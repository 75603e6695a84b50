"""The consent trail: every decision in the order in which we learned it, filtered, and as a file.

What a record's own page shows is in `cdp.console.consent_record`.
"""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of
from cdp.audit.services import record as audit
from cdp.console import consent_record
from cdp.identity import ledger
from cdp.ingestion.models import Source
from cdp.profiles.models import Profile
from consent.models import ConsentRecord, Decision, Method, NoticeVersion, Purpose
from consent.trail import Wanted, csv_lines, is_late, page_of

MOST_PEOPLE = 20
# Days that dates around them can still be worked out for.
EARLIEST, LATEST = date(1900, 1, 1), date(9000, 12, 31)
# The others are folded away until one is used.
ALWAYS = ("person", "purpose", "decision")


def _day(label: str) -> forms.DateField:
    return forms.DateField(label=label, required=False, widget=forms.DateInput(attrs={"type": "date", "class": "in"}))


def _choice(label: str) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, required=False, widget=forms.Select(attrs={"class": "in"}))


class Filters(forms.Form):
    """What the trail is narrowed down by; everything may be left out."""

    person = forms.CharField(
        label="Person", required=False, max_length=320, widget=forms.TextInput(attrs={"class": "in", "autocomplete": "off"}),
    )  # fmt: skip
    purpose = _choice("Purpose")
    decision = _choice("Decision")
    method = _choice("By")
    source = _choice("Source")
    version = _choice("Words shown")
    jurisdiction = forms.CharField(
        label="Law of",
        required=False,
        max_length=16,
        widget=forms.TextInput(attrs={"class": "in", "placeholder": "EU, US-CA…"}),
    )
    since = _day("Decided from")
    until = _day("to")
    late = forms.BooleanField(label="Only what we learned late", required=False)
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        versions = NoticeVersion.objects.select_related("notice").defer("content")
        choices: dict[str, list[tuple[Any, str]]] = {
            "purpose": list(Purpose.objects.values_list("key", "label")),
            "decision": list(Decision.choices),
            "method": list(Method.choices),
            "source": list(Source.objects.order_by("name").values_list("pk", "name")),
            "version": [(one.pk, str(one)) for one in versions],
        }
        for name, offered in choices.items():
            self.fields[name].choices = [("", "All"), *offered]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("since") and given.get("until") and given["until"] < given["since"]:
            self.add_error("until", "It ends before it begins.")
        for name in ("since", "until"):
            if given.get(name) and not EARLIEST <= given[name] <= LATEST:
                self.add_error(name, f"From {EARLIEST:%Y} to {LATEST:%Y}.")
        return given

    def always(self) -> list[forms.BoundField]:
        """The fields that most look for, for the template."""
        return [self[name] for name in ALWAYS]

    def more(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name not in ALWAYS]

    def more_is_used(self) -> bool:
        return any(self.data.get(field.name) or field.errors for field in self.more())

    def wanted(self) -> Wanted:
        """What the cleaned filters ask for."""
        given = self.cleaned_data
        return Wanted(
            profile_ids=_people(given["person"]) if given["person"].strip() else None,
            purpose_id=Purpose.objects.values_list("pk", flat=True).get(key=given["purpose"])
            if given["purpose"]
            else None,
            decision=given["decision"] or None,
            method=given["method"] or None,
            source_id=int(given["source"]) if given["source"] else None,
            version_id=int(given["version"]) if given["version"] else None,
            jurisdiction=given["jurisdiction"].strip().upper() or None,
            since=_midnight(given["since"]) if given["since"] else None,
            until=_midnight(given["until"] + timedelta(days=1)) if given["until"] else None,
            only_late=given["late"],
        )


def _people(text: str) -> set[int]:
    """The profiles that this identifier names, with those that were merged into them."""
    found = Profile.objects.found_by(text).values_list("pk", flat=True)[:MOST_PEOPLE]
    return {inside for pk in found for inside in ledger.all_inside(pk)}


def _midnight(day: Any) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


@admin.register(ConsentRecord)
class ConsentTrailAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap, name = self.admin_site.admin_view, "consent_consentrecord"
        return [
            path("export/", wrap(self.export_view), name=f"{name}_export"),
            path("<uuid:uuid>/", wrap(consent_record.record_view), name=f"{name}_detail"),
            path("<uuid:uuid>/receipt/<slug:form>/", wrap(consent_record.receipt_view), name=f"{name}_receipt"),
            path("<uuid:uuid>/proof/", wrap(consent_record.proof_view), name=f"{name}_proof"),
            path("proof/<int:profile_id>/<slug:purpose>/", wrap(consent_record.proof_at_view), name=f"{name}_proof_at"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._refuse_unless_allowed(request)
        form = Filters(request.GET or None)
        context: dict[str, Any] = {"form": form, "title": "Consent trail"}
        if form.is_bound and not form.is_valid():
            return render(request, "consent/trail.html", context, status=400)
        wanted = form.wanted() if form.is_bound else Wanted()
        page = page_of(wanted, before=form.cleaned_data["before"] if form.is_bound else None)
        sources = Source.objects.in_bulk({one.source_id for one in page.records if one.source_id})
        context |= {
            "rows": [(one, is_late(one), sources.get(one.source_id)) for one in page.records],
            "older": page.older,
            "filters": wanted.named,
            "is_first": not (form.is_bound and form.cleaned_data["before"]),
        }
        with transaction.atomic():
            detail = {"count": len(page.records), "filters": wanted.named}
            audit(by=actor_of(request), action="consent.listed", detail=detail)
        return render(request, "consent/trail.html", context)

    def export_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """All that the filters leave, as CSV."""
        self._refuse_unless_allowed(request)
        form = Filters(request.GET)
        if not form.is_valid():
            return render(request, "consent/trail.html", {"form": form, "title": "Consent trail"}, status=400)
        wanted = form.wanted()
        with transaction.atomic():
            audit(by=actor_of(request), action="consent.exported", detail={"filters": wanted.named})
        return StreamingHttpResponse(
            csv_lines(wanted),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="consent-trail.csv"', "Cache-Control": "no-store"},
        )

    def _refuse_unless_allowed(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
