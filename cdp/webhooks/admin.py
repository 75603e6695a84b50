"""The screens of webhooks: which there are and how they fare; making and changing one; one with what it sent.

Of whom a delivery was isn't shown: people are looked at where their permission is asked.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.errors import DomainError
from cdp.key_pages import Key, key_page, number
from cdp.vault.ring import VaultUnusable
from cdp.webhooks import services
from cdp.webhooks.access import visible_webhooks
from cdp.webhooks.forms import NewWebhookForm, WebhookForm, initial_of
from cdp.webhooks.models import Delivery, DeliveryState, OffReason, SecretKind, Webhook
from cdp.webhooks.pictures import delivered_by_day, fared

PAGE = 25
DELIVERIES = 25
TRIES_SHOWN = 20
BY_NUMBER = (Key(name="id", read=number, descends=True),)
ADD, CHANGE, DELETE = (f"webhooks.{verb}_webhook" for verb in ("add", "change", "delete"))


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        name = "webhooks_webhook_{}".format
        return [
            path("new/", wrap(self.new_view), name=name("new")),
            path("<uuid:uuid>/", wrap(self.webhook_view), name=name("detail")),
            path("<uuid:uuid>/edit/", wrap(self.edit_view), name=name("edit")),
            path("<uuid:uuid>/secret/", wrap(require_POST(self.secret_view)), name=name("secret")),
            path("<uuid:uuid>/delete/", wrap(require_POST(self.delete_one_view)), name=name("delete_one")),
            path("<uuid:uuid>/replay/<uuid:event_id>/", wrap(require_POST(self.replay_view)), name=name("replay")),
            path("<uuid:uuid>/<slug:act>/", wrap(require_POST(self.act_view)), name=name("act")),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        page = Paginator(_seen(request), PAGE).get_page(request.GET.get("page"))
        how = fared(page.object_list, now=timezone.now())
        context = {
            "page": page,
            "rows": [(one, services.host_of(one), how[one.pk]) for one in page],
            "may_add": request.user.has_perm(ADD),
        }
        return render(request, "webhooks/list.html", context)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm(ADD):
            raise PermissionDenied
        user = reader_of(request)
        form = NewWebhookForm(request.POST or None, user=user)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            try:
                made = services.create_webhook(
                    url=given["url"],
                    description=given["description"],
                    events=given["events"],
                    audiences=[form.known[key] for key in given["audiences"]],
                    purpose=form.purposes[given["purpose"]],
                    kind=SecretKind(given["signs"]),
                    user=user,
                    by=actor_of(request),
                )
            except (DomainError, VaultUnusable) as error:
                _add(form, error)
            else:
                return render(request, "webhooks/secret.html", {"webhook": made.webhook, "secret": made.secret})
        context = {"form": form, "has_audiences": bool(form.known)}
        return render(request, "webhooks/form.html", context, status=422 if form.errors else 200)

    def edit_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        webhook = self._webhook(request, uuid, CHANGE)
        form = WebhookForm(request.POST or None, user=webhook.owner, initial=initial_of(webhook))
        if request.method == "POST" and form.is_valid():
            given = dict(form.cleaned_data)
            given["audiences"] = [form.known[key] for key in given["audiences"]]
            try:
                services.change_webhook(webhook=webhook, by=actor_of(request), **given)
            except DomainError as error:
                _add(form, error)
            else:
                messages.success(request, "The webhook is changed.")
                return redirect("admin:webhooks_webhook_detail", uuid=uuid)
        context = {"form": form, "webhook": webhook, "has_audiences": bool(form.known)}
        return render(request, "webhooks/form.html", context, status=422 if form.errors else 200)

    def webhook_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        webhook = self._webhook(request, uuid)
        state = request.GET.get("state", "")
        state = state if state in DeliveryState.values else ""
        found = webhook.deliveries.filter(state=state) if state else webhook.deliveries.all()
        page = key_page(found.prefetch_related("tries"), request.GET, keys=BY_NUMBER, size=DELIVERIES)
        current = webhook.secrets.filter(ends_at=None).first()
        context = {
            "webhook": webhook,
            "host": services.host_of(webhook),
            "heard": [one.audience for one in webhook.heard.all()],
            "fared": fared([webhook], now=timezone.now())[webhook.pk],
            "chart": delivered_by_day(webhook, today=timezone.localdate()),
            "current": current,
            "old": webhook.secrets.filter(ends_at__gt=timezone.now()).order_by("ends_at").last(),
            "page": page,
            "rows": [(one, list(one.tries.all())[-TRIES_SHOWN:]) for one in page.rows],
            "state": state,
            "states": DeliveryState.choices,
            "may_change": request.user.has_perm(CHANGE),
            "may_delete": request.user.has_perm(DELETE),
        }
        return render(request, "webhooks/webhook.html", context)

    def secret_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        webhook = self._webhook(request, uuid, CHANGE)
        try:
            made = services.rotate_secret(webhook=webhook, by=actor_of(request))
        except VaultUnusable as error:
            messages.error(request, str(error))
            return redirect("admin:webhooks_webhook_detail", uuid=uuid)
        old = webhook.secrets.filter(ends_at__gt=timezone.now()).order_by("ends_at").last()
        return render(request, "webhooks/secret.html", {"webhook": webhook, "secret": made.secret, "old": old})

    def act_view(self, request: HttpRequest, uuid: UUID, act: str) -> HttpResponse:
        webhook = self._webhook(request, uuid, CHANGE)
        if act not in ACTS:
            raise Http404
        try:
            messages.success(request, ACTS[act](request, webhook))
        except DomainError as error:
            messages.error(request, error.message)
        return redirect("admin:webhooks_webhook_detail", uuid=uuid)

    def replay_view(self, request: HttpRequest, uuid: UUID, event_id: UUID) -> HttpResponse:
        webhook = self._webhook(request, uuid, CHANGE)
        get_object_or_404(Delivery, webhook=webhook, event_id=event_id)
        one = webhook.deliveries.filter(event_id=event_id)
        messages.success(request, _replayed(services.replay(deliveries=one, webhook=webhook, by=actor_of(request))))
        return redirect("admin:webhooks_webhook_detail", uuid=uuid)

    def delete_one_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        services.delete_webhook(webhook=self._webhook(request, uuid, DELETE), by=actor_of(request))
        messages.success(request, "The webhook is deleted, with what waited.")
        return redirect("admin:webhooks_webhook_changelist")

    def _webhook(self, request: HttpRequest, uuid: UUID, permission: str = "webhooks.view_webhook") -> Webhook:
        if not request.user.has_perm(permission):
            raise PermissionDenied
        return get_object_or_404(_seen(request), uuid=uuid)


def _seen(request: HttpRequest) -> QuerySet[Webhook]:
    seen = visible_webhooks(reader_of(request)).select_related("purpose", "owner")
    return seen.prefetch_related("heard__audience").order_by("-created_at", "-id")


def _add(form: WebhookForm, error: DomainError | VaultUnusable) -> None:
    if isinstance(error, DomainError):
        field = error.pointer.strip("/").split("/")[0]
        form.add_error(field if field in form.fields else None, error.message)
    else:
        form.add_error(None, str(error))


# ---- What may be done with one -------------------------------------------------------------------------------------


def _test(request: HttpRequest, webhook: Webhook) -> str:
    services.send_test(webhook=webhook, by=actor_of(request))
    return "A test is on its way; what came of it appears below within seconds."


def _enable(request: HttpRequest, webhook: Webhook) -> str:
    services.enable(webhook=webhook, by=actor_of(request))
    return "The webhook is on, and goes on with the audiences where it stood."


def _disable(request: HttpRequest, webhook: Webhook) -> str:
    services.disable(webhook=webhook, reason=OffReason.ASKED, by=actor_of(request))
    return "The webhook is off. Changes of its audiences wait for it."


def _replay(request: HttpRequest, webhook: Webhook) -> str:
    dead = webhook.deliveries.filter(state=DeliveryState.DEAD)
    return _replayed(services.replay(deliveries=dead, webhook=webhook, by=actor_of(request)))


def _replayed(count: int) -> str:
    if not count:
        return "It waits to be sent already."
    return f"{count:,} {'delivery is' if count == 1 else 'deliveries are'} sent again."


ACTS: dict[str, Callable[[HttpRequest, Webhook], str]] = {
    "test": _test, "enable": _enable, "disable": _disable, "replay": _replay,
}  # fmt: skip
