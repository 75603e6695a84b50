"""The way in: the password, then the second factor of whoever has one. What came of each try is in the audit log.

Who was refused at the password is not said: what was typed as a name may be a mistyped secret.
"""

import math
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth import login as begin_session
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from cdp.audit.actors import Actor
from cdp.audit.admin_base import actor_of, reader_of
from cdp.audit.context import ip_prefix
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.log_in import brake, factors, sessions

WAITING: Final = "log_in.waiting"
# For how long the password counts while the second factor is looked for.
PATIENCE: Final = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Known:
    """Somebody whose password was right a moment ago, and who isn't in yet."""

    user: User
    backend: str
    next: str


class PasswordStep(LoginView):
    """Django's own, but that it lets nobody in who has a second factor to show."""

    authentication_form = AdminAuthenticationForm
    template_name = "admin/login.html"

    def form_valid(self, form: Any) -> Any:
        user = form.get_user()
        if settings.MFA == "off" or not factors.has_factor(user):
            return super().form_valid(form)
        self.request.session.cycle_key()
        self.request.session[WAITING] = {
            "user": user.pk,
            "backend": user.backend,
            "password": user.get_session_auth_hash(),  # a password changed meanwhile is another one
            "since": timezone.now().isoformat(),
            "next": self.get_success_url(),
        }
        return redirect("admin:second_factor")


def nobody(request: HttpRequest) -> Actor:
    return replace(Actor.system("log-in"), ip_prefix=ip_prefix(request.META.get("REMOTE_ADDR")))


def password_view(request: HttpRequest, context: dict[str, Any]) -> HttpResponseBase:
    """The log-in form, and what becomes of what was typed into it."""
    if REDIRECT_FIELD_NAME not in request.GET and REDIRECT_FIELD_NAME not in request.POST:
        context[REDIRECT_FIELD_NAME] = reverse("admin:index")
    step = PasswordStep.as_view(extra_context=context)
    if request.method != "POST":
        return step(request)
    typed, by = request.POST.get("username", ""), nobody(request)
    attempt = brake.attempt(account=typed, network=by.ip_prefix)
    if attempt.is_held:
        name = unicodedata.normalize("NFKC", typed).replace("\0", "").strip()
        brake.note_held(attempt, user=User.objects.filter(username__iexact=name, api_keys=None).first(), by=by)
        return held(request)
    response = step(request)
    is_right = response.status_code == 302
    if is_right:
        attempt.succeeded()
    waiting = known(request) if is_right else None
    with transaction.atomic():
        if waiting is not None:
            record(by=by, action="user.factor_asked", object=waiting.user)
        elif is_right:
            record(by=actor_of(request), action="user.logged_in", object=reader_of(request))
        else:
            record(by=by, action="user.login_refused")
    return response


def known(request: HttpRequest) -> Known | None:
    """Who waits to show a second factor in this window; None once that took too long or the password changed."""
    said = request.session.get(WAITING)
    if not said or timezone.now() - datetime.fromisoformat(said["since"]) > PATIENCE:
        return None
    user = User.objects.filter(pk=said["user"], is_active=True).first()
    if user is None or not constant_time_compare(said["password"], user.get_session_auth_hash()):
        return None
    return Known(user=user, backend=said["backend"], next=said["next"])


@never_cache
@csrf_protect
def factor_view(request: HttpRequest) -> HttpResponse:
    """The second step: a code, or a passkey."""
    who = known(request)
    if who is None:
        return redirect("admin:login")
    if request.method != "POST":
        return _ask(request, who)
    by = nobody(request)
    attempt = brake.attempt_factor(user=who.user, network=by.ip_prefix)
    if attempt.is_held:
        brake.note_held(attempt, user=who.user, by=by)
        return held(request)
    try:
        factor = _shown(request, who.user)
    except DomainError as error:
        return _ask(request, who, error.message)
    if factor is None:
        with transaction.atomic():
            record(by=by, action="user.factor_refused", object=who.user)
        return _ask(request, who, "That was not right. Try again with the next code.")
    attempt.succeeded()
    begin_session(request, who.user, backend=who.backend)
    request.session.pop(WAITING, None)
    sessions.note_factor(request, factor)
    with transaction.atomic():
        record(by=actor_of(request), action="user.logged_in", object=who.user, detail={"factor": factor})
    return redirect(who.next)


def _shown(request: HttpRequest, user: User) -> str | None:
    """Which factor was shown; None when it was wrong."""
    if answer := request.POST.get("passkey", ""):
        return factors.check_passkey(request, user, answer)
    return factors.check_code(user, request.POST.get("code", ""))


def _ask(request: HttpRequest, who: Known, error: str = "") -> HttpResponse:
    has = factors.held_by(who.user)
    context = {
        "has": has,
        "error": error,
        "options": factors.challenge(request, who.user) if has.passkeys else None,
    }
    return TemplateResponse(request, "log_in/second_factor.html", context, status=422 if error else 200)


def held(request: HttpRequest) -> HttpResponse:
    """When the next try will be looked at."""
    seconds = brake.seconds_left()
    until = timezone.localtime(timezone.now() + timedelta(seconds=seconds + 59))
    context = {"minutes": math.ceil(seconds / 60), "until": until}
    headers = {"Retry-After": str(seconds)}
    return TemplateResponse(request, "admin/login_held.html", context, status=429, headers=headers)
