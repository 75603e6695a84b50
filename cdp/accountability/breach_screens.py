"""The screen of the breach helper: a question, who was read by whom, the 72 hours, what a notification can say by now.

How it is answered is in `cdp.accountability.breach`.
"""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone

from cdp.accountability.breach import HOURS, Answer, Question, ask, deadline, people_to_notify
from cdp.accountability.facts import facts, people_said
from cdp.accountability.models import Controller
from cdp.accountability.reads import all_fields
from cdp.audit.admin_base import actor_of
from cdp.errors import DomainError
from cdp.ingestion.models import Source
from cdp.rest.models import ApiKey
from cdp.spreadsheet import as_file
from consent.models import Purpose
from segments.models import Segment


def _moment(**more: Any) -> forms.DateTimeField:
    widget = forms.DateTimeInput(
        attrs={"type": "datetime-local", "step": "1", "class": "in in--auto"}, format="%Y-%m-%dT%H:%M:%S"
    )
    return forms.DateTimeField(widget=widget, **more)


def _choice(queryset: Any, **more: Any) -> forms.ModelChoiceField:  # type: ignore[type-arg]
    return forms.ModelChoiceField(
        queryset, required=False, empty_label="any", widget=forms.Select(attrs={"class": "in"}), **more
    )


class Asked(forms.Form):
    """A question, with the moment at which the controller became aware; moments in the workspace's time."""

    since = _moment(label="From")
    until = _moment(label="To")
    key = _choice(ApiKey.objects.order_by("name"), label="API key")
    user = _choice(User.objects.filter(api_keys=None).order_by("username"), label="User")
    purpose = _choice(Purpose.objects.all(), label="Purpose")
    segment = _choice(Segment.objects.order_by("name"), label="Segment")
    source = _choice(
        Source.objects.order_by("name"),
        label="Source",
        help_text="Instead of who was read: of whom this source sent something in the span.",
    )
    exports = forms.BooleanField(
        required=False, label="Only exports", help_text="Pages of members, lists for notification, the audit log."
    )
    fields_read = forms.MultipleChoiceField(
        required=False, label="Only if one of these was shown", widget=forms.CheckboxSelectMultiple
    )
    aware_at = _moment(label="Aware of it since", required=False, help_text="Starts the 72 hours.")

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **more})
        field = self.fields["fields_read"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(name, name) for name in all_fields()]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        since, until, aware_at = given.get("since"), given.get("until"), given.get("aware_at")
        if since and until and since >= until:
            self.add_error("until", "The span must end after it begins.")
        if aware_at and aware_at > timezone.now():
            self.add_error("aware_at", "Nobody is aware of it yet; choose a moment that has been.")
        return given

    def question(self) -> Question:
        """What was entered. Call it on a valid form only."""
        given = self.cleaned_data
        return Question(
            since=given["since"],
            until=given["until"],
            key=given["key"] and given["key"].pk,
            user=given["user"] and given["user"].pk,
            source=given["source"] and given["source"].pk,
            purpose=given["purpose"].key if given["purpose"] else "",
            segment=given["segment"] and given["segment"].uuid,
            exports=given["exports"],
            fields=frozenset(given["fields_read"]),
        )


def breach_view(request: HttpRequest) -> HttpResponse:
    """The form, and the answer once it is filled in. Each answer is on record."""
    _refuse_unless_allowed(request)
    now = timezone.localtime()
    form = Asked(
        request.GET if "since" in request.GET else None, initial={"since": now - timedelta(days=1), "until": now}
    )
    context: dict[str, Any] = {"form": form, "hours": HOURS, "may_export": request.user.has_perm("profiles.reveal_pii")}
    status = 200
    if form.is_bound and form.is_valid():
        try:
            answer = ask(question=form.question(), by=actor_of(request))
        except DomainError as error:
            context["error"], status = error, 422
        else:
            context |= _shown(answer, form.cleaned_data["aware_at"])
            context["query"] = urlencode([(name, value) for name, values in request.GET.lists() for value in values])
    elif form.is_bound:
        status = 422
    return render(request, "accountability/breach.html", context, status=status)


def _shown(answer: Answer, aware_at: datetime | None) -> dict[str, Any]:
    clock = {}
    if aware_at is not None:
        end = deadline(aware_at)
        left = (end - timezone.now()).total_seconds()
        clock = {"deadline": end, "left": left, "is_late": left < 0, "seconds": abs(left)}
    return {
        "answer": answer,
        "people_said": people_said(answer),
        "facts": facts(answer, controller=Controller.current(), aware_at=aware_at),
        "aware_at": aware_at,
        "labels": dict(Purpose.objects.values_list("key", "label")),
        **clock,
    }


def people_view(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The people to be told (Art. 34), as CSV; for who may see personal data unmasked."""
    _refuse_unless_allowed(request)
    if not request.user.has_perm("profiles.reveal_pii"):
        raise PermissionDenied
    form = Asked(request.GET)
    if not form.is_valid():
        return render(request, "accountability/breach.html", {"form": form, "hours": HOURS}, status=422)
    try:
        _, people = people_to_notify(question=form.question(), by=actor_of(request))
    except DomainError as error:
        return render(request, "accountability/breach.html", {"form": form, "hours": HOURS, "error": error}, status=422)
    return as_file("people-to-notify.csv", ("id", "certainty", "emails", "phones"), people)


def _refuse_unless_allowed(request: HttpRequest) -> None:
    if not request.user.has_perm("accountability.investigate_breach"):
        raise PermissionDenied
