"""“Your account”: how somebody logs in, and where they are logged in. What administrators see of others is in `administering`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import actor_of, reader_of
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.log_in import brake, factors, sessions
from cdp.log_in.door import held
from cdp.log_in.models import UserSession

Screen = Callable[..., HttpResponse]


def fresh(view: Screen) -> Screen:
    """The view, for somebody who gave their password a short while ago; others are asked for it first."""

    @wraps(view)
    def guarded(request: HttpRequest, **parts: Any) -> HttpResponse:
        if settings.MFA == "off":
            raise PermissionDenied
        if sessions.is_fresh(request):
            return view(request, **parts)
        there = request.path if request.method == "GET" else reverse("admin:account")
        return redirect(f"{reverse('admin:account_prove')}?next={there}")

    return guarded


@never_cache
def account_view(request: HttpRequest) -> HttpResponse:
    user = reader_of(request)
    rows = UserSession.objects.filter(user=user).order_by("-seen_at")[:50]
    context = {
        "has": factors.held_by(user),
        "is_off": settings.MFA == "off",
        "is_missing": settings.MFA == "required" and not request.session.get(sessions.FACTOR),
        "is_required": settings.MFA == "required",
        "sessions": rows,
        "session_key": request.session.session_key,
    }
    return render(request, "log_in/account.html", context)


class PasswordForm(forms.Form):
    password = forms.CharField(strip=False, max_length=4096)


@never_cache
def prove_view(request: HttpRequest) -> HttpResponse:
    """Asks for the password once more; tries are counted as those at the log-in."""
    user, by = reader_of(request), actor_of(request)
    there = request.POST.get("next") or request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(there, allowed_hosts=None):
        there = reverse("admin:account")
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        attempt = brake.attempt(account=user.get_username(), network=by.ip_prefix)
        if attempt.is_held:
            brake.note_held(attempt, user=user, by=by)
            return held(request)
        if user.check_password(form.cleaned_data["password"]):
            attempt.succeeded()
            sessions.prove(request)
            return redirect(there)
        with transaction.atomic():
            record(by=by, action="user.password_refused", object=user)
        form.add_error("password", "This is not your password.")
    status = 422 if form.errors else 200
    return render(request, "log_in/prove.html", {"form": form, "next": there}, status=status)


class CodeForm(forms.Form):
    code = forms.CharField(max_length=20)


@never_cache
@fresh
def totp_view(request: HttpRequest) -> HttpResponse:
    """The picture for the app, and the first code that shows that it arrived."""
    user = reader_of(request)
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            factors.add_totp(request=request, user=user, code=form.cleaned_data["code"], by=actor_of(request))
        except DomainError as error:
            form.add_error("code", error.message)
        else:
            return _added(request, factors.Type.TOTP, "The app is set up.")
    secret = factors.totp_secret(request)
    context = {
        "form": form,
        "is_there": factors.held_by(user).totp is not None,
        "secret": " ".join(secret[i : i + 4] for i in range(0, len(secret), 4)),
        # Drawn by us from text of ours: there is nothing in it but paths.
        "picture": mark_safe(factors.totp_picture(user, secret).partition("?>")[2]),  # noqa: S308
    }
    return render(request, "log_in/totp.html", context, status=422 if form.errors else 200)


class PasskeyForm(forms.Form):
    name = forms.CharField(max_length=factors.NAME_LENGTH, required=False)
    passkey = forms.CharField(max_length=20_000)


@never_cache
@fresh
def passkey_view(request: HttpRequest) -> HttpResponse:
    user = reader_of(request)
    form = PasskeyForm(request.POST or None)
    error = ""
    if request.method == "POST":
        try:
            if not form.is_valid():
                raise DomainError("passkey_wrong", "The browser made no passkey. Try again.")
            factors.add_passkey(
                request=request,
                user=user,
                name=form.cleaned_data["name"],
                answer=form.cleaned_data["passkey"],
                by=actor_of(request),
            )
        except DomainError as wrong:
            error = wrong.message
        else:
            return _added(request, factors.Type.WEBAUTHN, "The passkey is set up.")
    context = {"form": form, "error": error, "options": factors.passkey_options(request, user)}
    return render(request, "log_in/passkey.html", context, status=422 if error else 200)


def _added(request: HttpRequest, factor: str, said: str) -> HttpResponse:
    """The session rests on the factor from now on. The first one comes with recovery codes."""
    sessions.note_factor(request, str(factor))
    messages.success(request, said)
    has = factors.held_by(reader_of(request))
    return redirect("admin:account" if has.codes else "admin:account_codes")


@never_cache
@fresh
def codes_view(request: HttpRequest) -> HttpResponse:
    """Makes recovery codes and shows them, this once."""
    codes: list[str] = []
    if request.method == "POST":
        try:
            codes = factors.new_codes(user=reader_of(request), by=actor_of(request))
        except DomainError as error:
            messages.error(request, error.message)
            return redirect("admin:account")
    has = factors.held_by(reader_of(request))
    return render(request, "log_in/codes.html", {"codes": codes, "has": has})


@require_POST
@fresh
def remove_view(request: HttpRequest, pk: int) -> HttpResponse:
    user = reader_of(request)
    try:
        factors.remove(user=user, pk=pk, by=actor_of(request))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        if not factors.has_factor(user):
            sessions.note_factor(request, "")
        messages.success(request, "Removed.")
    return redirect("admin:account")


@require_POST
def end_others_view(request: HttpRequest) -> HttpResponse:
    ended = sessions.end_sessions(
        user=reader_of(request), by=actor_of(request), why="asked for", but=request.session.session_key
    )
    messages.success(request, f"Ended: {ended.sessions}. You are logged in here only.")
    return redirect("admin:account")
