"""The screens of privacy requests: what is due, one request from its coming to its end, and letting somebody come back.

People are read for `privacy_rights` here, and every look is on record.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of
from cdp.audit.services import record
from cdp.errors import DomainError, NotFound
from cdp.identity.merging import survivor_of
from cdp.identity.suppression import lift
from cdp.privacy import forms, register, services
from cdp.privacy.exporting import open_export
from cdp.privacy.models import (
    CameBy,
    IdentityMethod,
    ObjectsTo,
    PrivacyExport,
    PrivacyRequest,
    RequestKind,
    RequestState,
    TargetState,
)
from cdp.privacy.querysets import SHOWN, life_of, shown, with_counts
from cdp.profiles.masking import masked_identifier
from cdp.profiles.models import Profile
from cdp.spreadsheet import as_file
from cdp.vault.ring import VaultUnusable
from consent.models import ConsentStop
from consent.querysets import PRIVACY_RIGHTS

PAGE = 25
HISTORY = 50
CHANGE, ADD, DOWNLOAD = "privacy.change_privacyrequest", "privacy.add_privacyrequest", "privacy.download_export"
Act = Callable[[HttpRequest, PrivacyRequest], str]


@admin.register(PrivacyRequest)
class PrivacyRequestAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("new/", wrap(self.new_view), name="privacy_privacyrequest_new"),
            path("export/", wrap(self.export_view), name="privacy_privacyrequest_export"),
            path("come-back/", wrap(self.come_back_view), name="privacy_privacyrequest_come_back"),
            path("<uuid:uuid>/", wrap(self.request_view), name="privacy_privacyrequest_detail"),
            path(
                "<uuid:uuid>/files/<uuid:file>/", wrap(require_POST(self.file_view)), name="privacy_privacyrequest_file"
            ),
            path(
                "<uuid:uuid>/targets/<int:position>/",
                wrap(require_POST(self.target_view)),
                name="privacy_privacyrequest_target",
            ),
            path("<uuid:uuid>/<slug:act>/", wrap(require_POST(self.act_view)), name="privacy_privacyrequest_act"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        today = timezone.localdate()
        which, kind, found = _wanted(request)
        page = Paginator(with_counts(found), PAGE).get_page(request.GET.get("page"))
        with transaction.atomic():
            detail = {"count": len(page.object_list), "page": page.number, "show": which}
            record(by=actor_of(request), action="privacy.listed", purpose=PRIVACY_RIGHTS, detail=detail)
        context = {
            "page": page,
            "rows": [(one, one.days_left(today)) for one in page],
            "filters": [(one, shown(one, today=today).count()) for one in SHOWN],
            "which": which,
            "kind": kind,
            "kinds": RequestKind.choices,
            "may_add": request.user.has_perm(ADD),
            "may_lift": request.user.has_perm("identity.lift_suppression"),
        }
        return render(request, "privacy/list.html", context)

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """What the filters leave, for an authority or a colleague: nobody is named in it but by our id."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        which, kind, found = _wanted(request)
        with transaction.atomic():
            detail = {"show": which, "kind": kind}
            record(by=actor_of(request), action="privacy.register_exported", purpose=PRIVACY_RIGHTS, detail=detail)
        return as_file(f"privacy-requests-{which}.csv", register.COLUMNS, register.rows(with_counts(found)))

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(ADD):
            raise PermissionDenied
        first = {"received_on": timezone.localdate(), "who": request.GET.get("who", "")[:100]}
        form = forms.NewRequest(request.POST or None, initial=first)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            try:
                made = services.open_request(
                    kind=RequestKind(given["kind"]),
                    came_by=CameBy(given["came_by"]),
                    profile=given["who"],
                    country=given["country"],
                    region=given["region"],
                    received_at=given["received_on"],
                    objects_to=ObjectsTo(given["objects_to"]) if given["objects_to"] else None,
                    purpose=given["purpose"],
                    corrections=given["corrections"],
                    wrong_identifiers=given["wrong_identifiers"],
                    by=actor_of(request),
                )
            except DomainError as error:
                form.add_error(FIELDS.get("/".join(error.pointer.split("/")[:2])), error.message)
            else:
                messages.success(request, f"{made.number} is due on {made.due_on:%-d %b %Y}.")
                return redirect("admin:privacy_privacyrequest_detail", uuid=made.uuid)
        return render(request, "privacy/new.html", {"form": form}, status=422 if form.errors else 200)

    def request_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        one = self._request(request, uuid)
        with transaction.atomic():
            detail = {"profile": str(one.profile_uuid)} if one.profile_uuid else {}
            record(by=actor_of(request), action="privacy.viewed", object=one, purpose=PRIVACY_RIGHTS, detail=detail)
        return render(request, "privacy/request.html", self._context(request, one))

    def _context(self, request: HttpRequest, one: PrivacyRequest) -> dict[str, Any]:
        person = _person(one)
        may_change = request.user.has_perm(CHANGE)
        is_waiting = one.state in (RequestState.RECEIVED, RequestState.IDENTITY_NEEDED)
        stop = services.stop_of(one)
        targets = list(one.targets.all())
        failed = [target for target in targets if target.state == TargetState.FAILED]
        return {
            "one": one,
            "days_left": one.days_left(timezone.localdate()),
            "person": person,
            "identifiers": _masked(person) if person else [],
            "wrong": [
                (name.replace("_", " "), masked_identifier(name, value)) for name, value in one.wrong_identifiers
            ],
            "targets": [(target, _came_of(target.counts), _why(target.error_code)) for target in targets],
            "failed": failed,
            "labels": {target.key: target.label for target in targets if not target.is_outside},
            "exports": one.exports.all(),
            "entries": life_of(one)[:HISTORY],
            "is_moving": services.is_being_done(one),
            "may_change": may_change,
            "may_name": may_change and is_waiting,
            "may_confirm": may_change and is_waiting and person is not None,
            "may_close": may_change and is_waiting,
            "may_extend": may_change and services.may_be_extended(one),
            "may_download": request.user.has_perm(DOWNLOAD),
            "may_lift": may_change and stop is not None and _is_stopped(person, stop),
            "person_form": forms.Person(),
            "identity_form": forms.Identity(),
            "reason_form": forms.Reason(auto_id="id_refuse_%s"),
            "extension_form": forms.Reason(auto_id="id_extend_%s"),
        }

    def act_view(self, request: HttpRequest, uuid: UUID, act: str) -> HttpResponse:
        if not request.user.has_perm(CHANGE):
            raise PermissionDenied
        one = self._request(request, uuid)
        if act not in ACTS:
            raise Http404
        try:
            messages.success(request, ACTS[act](request, one))
        except DomainError as error:
            messages.error(request, error.message)
        return redirect("admin:privacy_privacyrequest_detail", uuid=uuid)

    def target_view(self, request: HttpRequest, uuid: UUID, position: int) -> HttpResponse:
        """Tries a target of ours again, or ticks one off that is outside."""
        if not request.user.has_perm(CHANGE):
            raise PermissionDenied
        one = self._request(request, uuid)
        target = get_object_or_404(one.targets.all(), position=position)
        try:
            if target.is_outside:
                services.tick_off(target=target, by=actor_of(request))
                messages.success(request, f"{target.label} is ticked off.")
            else:
                services.retry_target(target=target, by=actor_of(request))
                messages.success(request, f"{target.label}: it is tried again.")
        except DomainError as error:
            messages.error(request, error.message)
        return redirect("admin:privacy_privacyrequest_detail", uuid=uuid)

    def file_view(self, request: HttpRequest, uuid: UUID, file: UUID) -> HttpResponseBase:
        """The file, by POST: an address that somebody follows by chance fetches nothing."""
        if not request.user.has_perm(DOWNLOAD):
            raise PermissionDenied
        one = self._request(request, uuid)
        export = get_object_or_404(PrivacyExport.objects.select_related("request"), request=one, file=file)
        try:
            opened = open_export(export=export, by=actor_of(request))
        except NotFound as error:
            messages.error(request, error.message)
            return redirect("admin:privacy_privacyrequest_detail", uuid=uuid)
        return FileResponse(opened, as_attachment=True, filename=f"{one.number}.zip", content_type="application/zip")

    def come_back_view(self, request: HttpRequest) -> HttpResponse:
        """Somebody who was erased wishes to be known again."""
        if not request.user.has_perm("identity.lift_suppression"):
            raise PermissionDenied
        form = forms.Lifting(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                was = lift(**form.cleaned_data, by=actor_of(request))
            except (DomainError, VaultUnusable) as error:
                form.add_error("value", getattr(error, "message", str(error)))
            else:
                said = "They can come back by it." if was else "It wasn't suppressed: nothing keeps them away by it."
                messages.success(request, said)
                return redirect("admin:privacy_privacyrequest_come_back")
        return render(request, "privacy/come_back.html", {"form": form}, status=422 if form.errors else 200)

    def _request(self, request: HttpRequest, uuid: UUID) -> PrivacyRequest:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(PrivacyRequest.objects.select_related("purpose"), uuid=uuid)


def _wanted(request: HttpRequest) -> tuple[str, str, QuerySet[PrivacyRequest]]:
    """Which list and which kind the address names, and what is in it."""
    which, kind = request.GET.get("show", "open"), request.GET.get("kind", "")
    which, kind = which if which in SHOWN else "open", kind if kind in RequestKind.values else ""
    found = shown(which, today=timezone.localdate())
    return which, kind, found.filter(kind=kind) if kind else found


# Where an error of the service stands in the form.
FIELDS = {
    "/objects_to": "objects_to",
    "/purpose": "purpose",
    "/corrections": "corrections",
    "/wrong_identifiers": "wrong_identifiers",
    "/received_at": "received_on",
}


# Figures of targets, in words; what came to nothing isn't said.
FIGURES = {
    "events": "{} events", "waiting": "{} messages that waited", "quarantined": "{} in quarantine", "already": "erased before",
    "suppressed": "{} identifiers suppressed", "keys": "{} keys destroyed", "ended": "{} memberships ended",
    "versions": "{} versions of rules", "segments": "of {}", "files": "{} files deleted", "notes": "{} notes emptied",
    "until": "until {}", "bytes": "{} bytes", "traits": "{} traits", "flags": "flagged {}", "rows": "{} rows of imports",
    "identifiers": "{} identifiers removed", "shared": "look at {}: what others are called, too",
}  # fmt: skip


# Why a target failed, and what to do about it; a code that isn't here stands for itself.
FAILURES = {
    "memberships_remain": "Segments hold them just now. Wait a minute, then retry.",
    "vault_unusable": "The keys of sealed data can't be used here. Tell whoever runs the platform, then retry.",
    "not_found": "The person isn't known any more: they were erased meanwhile.",
    "internal": "Something went wrong that isn't expected. Retry; if it fails again, tell whoever runs the platform: its log says what.",
}  # fmt: skip


def _why(code: str) -> str:
    return FAILURES.get(code, code and f"It failed ({code}). Retry; if it fails again, tell whoever runs the platform.")


def _came_of(counts: dict[str, Any]) -> str:
    said = [
        form.format(", ".join(value) if isinstance(value, list) else f"{value:,}" if isinstance(value, int) else value)
        for name, form in FIGURES.items()
        if (value := counts.get(name))
    ]
    return ", ".join(said) or ("nothing" if counts else "")


def _person(one: PrivacyRequest) -> Profile | None:
    if one.profile_uuid is None:
        return None
    try:
        return survivor_of(one.profile_uuid)
    except NotFound:
        return None


def _masked(person: Profile) -> list[tuple[str, str]]:
    found = person.identifiers.order_by("namespace", "value").values_list("namespace", "value")
    return [(namespace.replace("_", " "), masked_identifier(namespace, value)) for namespace, value in found[:10]]


def _is_stopped(person: Profile | None, kind: str) -> bool:
    return person is not None and ConsentStop.objects.filter(profile_id=person.pk, kind=kind, lifted_at=None).exists()


# ---- What may be done with one -------------------------------------------------------------------------------------


def _valid(form: Any) -> dict[str, Any]:
    if not form.is_valid():
        raise DomainError("form_invalid", " ".join(error for errors in form.errors.values() for error in errors))
    cleaned: dict[str, Any] = form.cleaned_data
    return cleaned


def _name(request: HttpRequest, one: PrivacyRequest) -> str:
    services.name_person(request=one, profile=_valid(forms.Person(request.POST))["who"], by=actor_of(request))
    return "It is known now who asks."


def _confirm(request: HttpRequest, one: PrivacyRequest) -> str:
    given = _valid(forms.Identity(request.POST))
    if one.kind == RequestKind.ERASURE and "sure" not in request.POST:
        raise DomainError("not_sure", "Nothing was erased: tick that you know it can't be undone.", "/sure")
    method = IdentityMethod(given["method"])
    services.confirm_identity(request=one, method=method, note=given["note"], by=actor_of(request))
    return "Their identity is confirmed, and the work has begun."


def _extend(request: HttpRequest, one: PrivacyRequest) -> str:
    reason = _valid(forms.Reason(request.POST))["reason"]
    until = services.extend(request=one, reason=reason, by=actor_of(request)).due_on
    return f"It is due on {until:%-d %b %Y} now. Tell the person why before the first day is over."


def _refuse(request: HttpRequest, one: PrivacyRequest) -> str:
    services.refuse(request=one, reason=_valid(forms.Reason(request.POST))["reason"], by=actor_of(request))
    return "It is refused. Tell the person why, and where they can complain."


def _withdraw(request: HttpRequest, one: PrivacyRequest) -> str:
    services.withdraw(request=one, by=actor_of(request))
    return "It is withdrawn."


def _lift(request: HttpRequest, one: PrivacyRequest) -> str:
    services.lift_stop(request=one, by=actor_of(request))
    return "It is lifted: what they had decided holds again."


ACTS: dict[str, Act] = {
    "name": _name, "confirm": _confirm, "extend": _extend, "refuse": _refuse, "withdraw": _withdraw, "lift": _lift,
}  # fmt: skip
