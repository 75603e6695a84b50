"""The audit log's screens: look things up, follow one object's life, see how far it is sealed, verify it, take it away.

Reading it is an act, too. What is looked up how stands in `cdp.audit.reading`.
"""

import json
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from cdp.audit.actors import ActorKind
from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.audit.exporting import lines
from cdp.audit.models import AuditEntry
from cdp.audit.reading import Place, Sought, actions, actors, entries, life_of, object_types, same_request
from cdp.audit.services import record
from cdp.audit.standing import sealing, standing
from cdp.audit.verify import moment_text
from cdp.jobs.services import let_follow
from cdp.spreadsheet import as_file
from cdp.templatetags.cdp import act, kind_of
from cdp.verification import request_verification, verified
from consent.models import Purpose

AT_ONCE: Final = 2000
CSV_COLUMNS: Final = (
    "id", "recorded_at", "action", "actor_kind", "actor_id", "actor", "object_type", "object_id", "purpose", "request_id",
    "ip_prefix", "detail",
)  # fmt: skip


def _moment(label: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "class": "in in--auto"}, format="%Y-%m-%dT%H:%M")
    return forms.DateTimeField(label=label, widget=widget, required=False)


def _choice(label: str, choices: Any) -> forms.ChoiceField:
    field = forms.ChoiceField(label=label, choices=choices, required=False)
    field.widget.attrs["class"] = "in in--auto"
    return field


class Filters(forms.Form):
    """What is looked for, as a reader says it."""

    action = forms.ChoiceField()
    who = forms.ChoiceField()
    object_type = forms.ChoiceField()
    object_id = forms.CharField(
        label="Its id",
        required=False,
        max_length=64,
        widget=forms.TextInput(attrs={"class": "in in--auto", "spellcheck": "false", "autocomplete": "off"}),
    )
    purpose = forms.ChoiceField()
    since = _moment("From")
    until = _moment("Until before")

    def __init__(self, data: Any) -> None:
        super().__init__(data, label_suffix="")
        self.fields["action"] = _choice("What was done", [("", "Anything"), *((one, act(one)) for one in actions())])
        who = [
            (f"{kind}:{key}", f"{label} ({ActorKind(kind).name.replace('_', ' ').lower()})")
            for kind, key, label in actors()
        ]
        self.fields["who"] = _choice("By", [("", "Anybody"), *who])
        kinds = [(one, kind_of(one)) for one in object_types() if one]
        self.fields["object_type"] = _choice("To", [("", "Anything"), *kinds])
        purposes = Purpose.objects.values_list("key", "label")
        self.fields["purpose"] = _choice("For the purpose", [("", "Any or none"), *purposes])

    def sought(self) -> Sought:
        """What is valid of it; the rest is told beside its field."""
        self.is_valid()
        told = self.cleaned_data
        kind, _, key = told.get("who", "").partition(":")
        names = ("action", "object_type", "object_id", "purpose")
        return Sought(
            actor_kind=kind,
            actor_id=key,
            since=told.get("since"),
            until=told.get("until"),
            **{name: told.get(name, "").strip() for name in names},
        )


def _place(request: HttpRequest) -> Place | None:
    try:
        return Place.read(request.GET["after"]) if request.GET.get("after") else None
    except ValueError:
        raise Http404("This is no place in the list.") from None


def _csv_rows(sought: Sought) -> Iterator[tuple[str, ...]]:
    """Page by page along the index, so that however much is found, little is held."""
    place: Place | None = None
    while True:
        rows, place = entries(sought, after=place, size=AT_ONCE)
        for one in rows:
            yield (
                str(one.pk), moment_text(one.recorded_at), one.action, one.actor_kind, one.actor_id, one.actor_label,
                one.object_type, one.object_id, one.purpose, one.request_id, one.ip_prefix,
                json.dumps(one.detail, ensure_ascii=False),
            )  # fmt: skip
        if place is None:
            return


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("export/", wrap(self.export_view), name="audit_auditentry_export"),
            path("csv/", wrap(self.csv_view), name="audit_auditentry_csv"),
            path("checkpoint/", wrap(self.checkpoint_view), name="audit_auditentry_checkpoint"),
            path("verify/", wrap(require_POST(self.verify_view)), name="audit_auditentry_verify"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, whose reading is on record: which filters were set, not what was looked for."""
        self._refuse_unless_allowed(request)
        filters = Filters(request.GET)
        rows, next_place = entries(filters.sought(), after=_place(request))
        chosen = sorted(name for name in filters.fields if request.GET.get(name))
        shown: dict[str, Any] = {
            "filters": filters,
            "is_filtered": bool(chosen),
            "is_open": bool(filters.errors) or bool(chosen),
            "rows": rows,
            "next": next_place,
            "is_later_page": "after" in request.GET,
            "standing": standing(),
            "verified": verified(),
            "purposes": dict(Purpose.objects.values_list("key", "label")),
        }
        with transaction.atomic():
            record(by=actor_of(request), action="audit.listed", detail={"count": len(rows), "filters": chosen})
        return render(request, "audit/list.html", shown)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One entry: what it says, its place and proof, and what else was done to the same object."""
        self._refuse_unless_allowed(request)
        try:
            entry = get_object_or_404(AuditEntry, pk=UUID(object_id))
        except (ValueError, ValidationError):
            raise Http404("There is no such entry.") from None
        shown = {
            "entry": entry,
            "detail": json.dumps(entry.detail, indent=2, ensure_ascii=False) if entry.detail else "",
            "sealing": sealing(entry),
            "life": life_of(entry),
            "request_entries": same_request(entry),
        }
        with transaction.atomic():
            record(by=actor_of(request), action="audit.viewed", object=entry)
        return render(request, "audit/entry.html", shown)

    def verify_view(self, request: HttpRequest) -> HttpResponse:
        """Starts a verification; who asks while one runs follows that one."""
        self._refuse_unless_allowed(request)
        job = request_verification(by=actor_of(request), user=reader_of(request))
        let_follow(job=job, user=reader_of(request))
        messages.success(request, "The log is being verified. It goes on when you leave this page.")
        return redirect("admin:audit_auditentry_changelist")

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """All of the log, in the form that the verifier reads."""
        self._refuse_unless_allowed(request)
        with transaction.atomic():
            record(by=actor_of(request), action="audit.exported")
        return StreamingHttpResponse(
            lines(),
            content_type="application/jsonl",
            headers={"Content-Disposition": 'attachment; filename="audit-log.jsonl"', "Cache-Control": "no-store"},
        )

    def csv_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """What the filters leave, for a spreadsheet. It proves nothing: that is what the export is for."""
        self._refuse_unless_allowed(request)
        filters = Filters(request.GET)
        sought = filters.sought()
        if filters.errors:  # a file of everything isn't what was asked for
            messages.error(request, "Nothing was exported: mend what is marked below.")
            return redirect(f"{reverse('admin:audit_auditentry_changelist')}?{request.GET.urlencode()}")
        chosen = sorted(name for name in filters.fields if request.GET.get(name))
        with transaction.atomic():
            record(by=actor_of(request), action="audit.exported", detail={"form": "csv", "filters": chosen})
        return as_file("audit-log.csv", CSV_COLUMNS, _csv_rows(sought))

    def checkpoint_view(self, request: HttpRequest) -> HttpResponse:
        """The newest signed checkpoint, for an auditor to keep."""
        self._refuse_unless_allowed(request)
        seen = standing()
        if not seen.note:
            raise Http404("Nothing is signed yet.")
        with transaction.atomic():
            record(by=actor_of(request), action="audit.checkpoint_saved", detail={"size": seen.size})
        name = f"audit-{seen.size}.checkpoint"
        return HttpResponse(
            seen.note,
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
        )

    def _refuse_unless_allowed(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
