"""The screens of slots: which there are, what each says to whom, and which variant one person would be given, and why."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.audit.services import record
from cdp.content import forms
from cdp.content.deciding import Decision, Reason, decide, gone_segments, segments_asked
from cdp.content.models import Slot
from cdp.content.public import PURPOSE
from cdp.content.services import change_slot, create_slot, delete_slot
from cdp.errors import Conflict, DomainError
from segments.api_people import find
from segments.lookup import standing_of
from segments.models import READABLE, Persona
from segments.sharing import visible_segments

WORDS = {
    Reason.EVERYBODY: "It is for everybody",
    Reason.MATCHES: "The condition holds",
    Reason.NO_MATCH: "The condition doesn't hold",
    Reason.NOT_NOW: "It isn't its time",
    Reason.UNJUDGED: "Its rule can't be judged any more, so it is nobody's",
}


@admin.register(Slot)
class SlotAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        name = "content_slot_{}".format
        return [
            path("new/", wrap(self.new_view), name=name("new")),
            path("<uuid:uuid>/", wrap(self.detail_view), name=name("detail")),
            path("<uuid:uuid>/preview/", wrap(self.preview_view), name=name("preview")),
            path("<uuid:uuid>/delete-slot/", wrap(require_POST(self.delete_one)), name=name("delete_one")),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        _demand(request, "content.view_slot")
        slots, now = list(Slot.objects.all()), timezone.now()
        gone = gone_segments(slots)
        rows = [
            {
                "slot": slot,
                "is_served": slot.is_served(now),
                "variants": len(slot.document["variants"]),
                "gone": sorted(segments_asked([slot]) & gone),
            }
            for slot in slots
        ]
        return render(request, "content/slots.html", {"rows": rows})

    def new_view(self, request: HttpRequest) -> HttpResponse:
        _demand(request, "content.add_slot")
        form = forms.of_post(request.POST) if request.method == "POST" else forms.Form(rows=[forms.Row()])
        if request.method == "POST" and "step" not in request.POST:
            try:
                made = create_slot(key=form.key, **forms.read(form), by=actor_of(request), user=reader_of(request))
                messages.success(request, f"“{made.name}” is made.")
                return redirect("admin:content_slot_detail", uuid=made.uuid)
            except DomainError as error:
                forms.note(form, error)
        return _form(request, form, None)

    def detail_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        _demand(request, "content.view_slot")
        slot = get_object_or_404(Slot, uuid=uuid)
        if request.method != "POST":
            return _form(request, forms.of_slot(slot), slot)
        _demand(request, "content.change_slot")
        form = forms.of_post(request.POST)
        if "step" not in request.POST:
            try:
                changes = forms.read(form)
                changed = change_slot(
                    slot=slot, changes=changes, by=actor_of(request), user=reader_of(request), base=form.version or None
                )
                messages.success(request, f"Version {changed.version} is saved.")
                return redirect("admin:content_slot_detail", uuid=uuid)
            except Conflict as error:
                form.errors["all"] = error.message
            except DomainError as error:
                forms.note(form, error)
        return _form(request, form, slot)

    def preview_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """Which variant somebody would be given, if they permit personalisation; on record as a read of them."""
        _demand(request, "content.view_slot")
        _demand(request, "profiles.view_profile")
        slot = get_object_or_404(Slot, uuid=uuid)
        who = request.GET.get("who", "").strip()[:600]
        context: dict[str, Any] = {"slot": slot, "who": who, "is_served": slot.is_served(timezone.now())}
        if who:
            try:
                context["decision"] = decision = _decided(request, slot, who)
                context["tried"] = [(one, WORDS[one.reason]) for one in decision.tried]
                context["content"] = forms.written(decision.content)
            except DomainError as error:
                context["error"] = error.message
        return render(request, "content/preview.html", context, status=404 if "error" in context else 200)

    def delete_one(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        _demand(request, "content.delete_slot")
        slot = get_object_or_404(Slot, uuid=uuid)
        delete_slot(slot=slot, by=actor_of(request))
        messages.success(request, f"“{slot.name}” is deleted.")
        return redirect("admin:content_slot_changelist")


def _decided(request: HttpRequest, slot: Slot, who: str) -> Decision:
    _, profile = find(who if ":" in who else f"user_id:{who}")
    with transaction.atomic():
        standing = standing_of(profile.pk, purpose=PURPOSE, user_id=reader_of(request).pk, asked=segments_asked([slot]))
        record(
            by=actor_of(request),
            action="profile.slot_previewed",
            object=profile,
            purpose=PURPOSE,
            detail={"slot": slot.key, "version": slot.version, "fields": ["uuid", "segments", "scores"]},
        )
        return decide(slot, standing, at=timezone.now(), all_of_them=True)


def _form(request: HttpRequest, form: forms.Form, slot: Slot | None) -> HttpResponse:
    needed = "content.change_slot" if slot else "content.add_slot"
    context = {
        "form": form,
        "slot": slot,
        "kinds": forms.KINDS,
        "may_change": request.user.has_perm(needed),
        "may_delete": slot is not None and request.user.has_perm("content.delete_slot"),
        "may_preview": slot is not None and request.user.has_perm("profiles.view_profile"),
        "segments": visible_segments(reader_of(request)).filter(status__in=READABLE).order_by("name"),
        "personas": Persona.objects.filter(is_active=True),
        "versions": slot.versions.all()[:20] if slot else [],
    }
    return render(request, "content/slot.html", context, status=422 if form.is_wrong else 200)


def _demand(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied
