"""What administrators see of others' log-ins: who is held back, who has which factors; lifting the one, resetting the other."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import actor_of, reader_of
from cdp.errors import DomainError
from cdp.log_in import brake, factors, sessions
from cdp.log_in.models import Lockout, UserSession

PAGE = 50
# Whoever may change accounts decides who comes in.
MAY = "auth.change_user"


def held_now() -> int:
    """How many accounts, factors and networks are held back at this moment."""
    return Lockout.objects.filter(until__gt=timezone.now(), lifted_at__isnull=True).count()


def lockouts_view(request: HttpRequest) -> HttpResponse:
    _require(request)
    rows = Lockout.objects.select_related("user", "lifted_by")
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    return render(request, "log_in/lockouts.html", {"page": page, "now": timezone.now()})


@require_POST
def lift_view(request: HttpRequest, pk: int) -> HttpResponse:
    _require(request)
    try:
        brake.lift(lockout=get_object_or_404(Lockout, pk=pk), by=actor_of(request), user=reader_of(request))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "Lifted. The next try is looked at.")
    return redirect("admin:lockouts")


def user_factors_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Somebody's factors by kind; a POST takes all away, because they lost them, and ends their sessions."""
    _require(request)
    user = get_object_or_404(User, pk=pk, api_keys=None)
    if user.is_superuser and not reader_of(request).is_superuser:
        raise PermissionDenied  # or an administrator could make their way into an account that may more
    if request.method == "POST":
        return _reset(request, user)
    context: dict[str, Any] = {
        "whose": user,
        "has": factors.held_by(user),
        "sessions": UserSession.objects.filter(user=user).count(),
    }
    return render(request, "log_in/user_factors.html", context)


def _reset(request: HttpRequest, user: User) -> HttpResponse:
    by = actor_of(request)
    try:
        factors.remove_all(user=user, by=by)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        sessions.end_sessions(user=user, by=by, why="factors reset")
        messages.success(
            request, "Their second factors are removed, and their sessions ended. The password alone lets them in."
        )
    return redirect("admin:auth_user_factors", pk=user.pk)


def _require(request: HttpRequest) -> None:
    if not request.user.has_perm(MAY):
        raise PermissionDenied
