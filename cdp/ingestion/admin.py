"""The screens of ingestion: sources with their write keys, and quarantine with its reasons and the way back."""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import AuditedAdmin, ReadOnlyAdmin, actor_of, reader_of
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.ingestion import bulk, live, quarantine
from cdp.ingestion.counting import rates_of
from cdp.ingestion.keys import create_source, create_write_key, revoke_write_key
from cdp.ingestion.models import Quarantined, Source, SourceKind, WriteKey
from cdp.ingestion.origins import OriginsField
from cdp.ingestion.suppressed import dropped_lately
from cdp.profiles.masking import EMAIL, masked_email, masked_properties
from cdp.profiles.models import Trait
from cdp.small_charts import sparkline
from consent.jurisdictions import is_jurisdiction

PAGE = 25
DAYS = 30


# ---- Sources and their keys ----------------------------------------------------------------------------------


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]
    allowed_origins = OriginsField(
        required=False, help_text="Origins whose pages may send with its browser key, one on each line."
    )

    class Meta:
        model = Source
        fields = ("name", "kind", "allowed_origins", "place", "is_enabled")

    def clean_place(self) -> str:
        place: str = self.cleaned_data["place"].strip().upper()
        if place and not is_jurisdiction(place):
            raise forms.ValidationError("A country as in ISO 3166-1 (DE), a region of the US or Canada (US-CA), or EU.")
        return place


@admin.register(Source)
class SourceAdmin(AuditedAdmin):
    """Keys of a server are shown once; a browser's key is public by nature and stays readable."""

    form = SourceForm
    list_display = ("name", "kind", "is_enabled", "created_at")

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/", wrap(self.source_view), name="ingestion_source_detail"),
            path("<int:pk>/live/", wrap(live.live_view), name="ingestion_source_live"),
            path("<int:pk>/live/messages/", wrap(live.messages_view), name="ingestion_source_messages"),
            path("<int:pk>/live/watch/", wrap(require_POST(live.watch_view)), name="ingestion_source_watch"),
            path("<int:pk>/keys/add/", wrap(require_POST(self.add_key_view)), name="ingestion_source_add_key"),
            path(
                "<int:pk>/keys/<int:key_pk>/revoke/",
                wrap(require_POST(self.revoke_key_view)),
                name="ingestion_source_revoke_key",
            ),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        sources = Source.objects.annotate(
            key_count=Count("write_keys", filter=Q(write_keys__revoked_at__isnull=True))
        ).order_by("name")
        rates = rates_of([source.pk for source in sources])
        rows = [{"source": one, "rates": rates[one.pk], "points": sparkline(rates[one.pk].hours)} for one in sources]
        total = sum(one.day for one in rates.values())
        context = {"rows": rows, "total": total, "may_add": self.has_add_permission(request)}
        return render(request, "ingestion/sources.html", context)

    def source_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return render(request, "ingestion/source.html", self._context(request, get_object_or_404(Source, pk=pk)))

    def _context(self, request: HttpRequest, source: Source) -> dict[str, Any]:
        return {
            "source": source,
            "keys": source.write_keys.order_by("revoked_at", "-created_at"),
            "rates": rates_of([source.pk])[source.pk],
            "quarantined": Quarantined.objects.open().filter(source_id=source.pk).count(),
            "suppressed": dropped_lately(source.pk, days=DAYS),
            "may_change": self.has_change_permission(request),
            "may_add_key": request.user.has_perm("ingestion.add_writekey"),
            "may_revoke_key": request.user.has_perm("ingestion.change_writekey"),
        }

    def get_readonly_fields(self, request: HttpRequest, obj: Source | None = None) -> tuple[str, ...]:
        """Its kind stays: a browser's key stands in public pages, and must never come to be believed as a server's."""
        return ("kind",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        """Nobody: its requests may still wait in the inbox, and its events name it. It can be switched off."""
        return False

    def save_model(self, request: HttpRequest, obj: Source, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        created = create_source(
            name=obj.name,
            kind=SourceKind(obj.kind),
            allowed_origins=tuple(obj.allowed_origins),
            place=obj.place,
            by=actor_of(request),
        )
        obj.pk, obj._state.adding = created.pk, False

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The service that made the source has written its audit entry already."""
        return ModelAdmin.log_addition(self, request, obj, message)

    def response_add(self, request: HttpRequest, obj: Source, post_url_continue: str | None = None) -> HttpResponse:
        return redirect("admin:ingestion_source_detail", pk=obj.pk)

    def response_change(self, request: HttpRequest, obj: Source) -> HttpResponse:
        messages.success(request, "Saved.")
        return redirect("admin:ingestion_source_detail", pk=obj.pk)

    def add_key_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not request.user.has_perm("ingestion.add_writekey"):
            raise PermissionDenied
        source = get_object_or_404(Source, pk=pk)
        key, value = create_write_key(source=source, by=actor_of(request))
        # Answered in place: a redirect would have to carry the secret somewhere.
        context = {**self._context(request, source), "new_key": key, "new_value": value}
        response = render(request, "ingestion/source.html", context)
        add_never_cache_headers(response)
        return response

    def revoke_key_view(self, request: HttpRequest, pk: int, key_pk: int) -> HttpResponse:
        if not request.user.has_perm("ingestion.change_writekey"):
            raise PermissionDenied
        key = revoke_write_key(key=get_object_or_404(WriteKey, pk=key_pk, source_id=pk), by=actor_of(request))
        messages.success(request, f"Key {key.prefix}… is revoked. Requests with it are refused within seconds.")
        return redirect("admin:ingestion_source_detail", pk=pk)


# ---- Quarantine ----------------------------------------------------------------------------------------------


@admin.register(Quarantined)
class QuarantinedAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/", wrap(self.message_view), name="ingestion_quarantined_detail"),
            path("<int:pk>/replay/", wrap(require_POST(self.replay_view)), name="ingestion_quarantined_replay"),
            path("<int:pk>/discard/", wrap(require_POST(self.discard_view)), name="ingestion_quarantined_discard"),
            path("replay/", wrap(require_POST(self.replay_many_view)), name="ingestion_quarantined_replay_many"),
            path("settle/", wrap(require_POST(self.settle_all_view)), name="ingestion_quarantined_settle_all"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        waiting = Quarantined.objects.open()
        codes = list(
            waiting.order_by().values_list("code").annotate(Count("pk"), Max("quarantined_at")).order_by("-pk__count")
        )
        code = request.GET.get("code", "")
        source = _number(request.GET.get("source", ""))
        rows = bulk.chosen(code=code, source_id=source)
        page = Paginator(rows.order_by("-quarantined_at", "-pk"), PAGE).get_page(request.GET.get("page"))
        context = {
            "page": page,
            "codes": codes,
            "code": code,
            "source": Source.objects.filter(pk=source).first() if source is not None else None,
            "count": page.paginator.count,
            "total": sum(count for _, count, _ in codes),
            "sources": Source.objects.in_bulk({message.source_id for message in page}),
            "may_replay": request.user.has_perm("ingestion.replay_quarantined"),
        }
        return render(request, "ingestion/quarantine.html", context)

    def message_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A GET shows the message masked; a POST by somebody who may reveal shows it as it came, and is audited."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        message = get_object_or_404(Quarantined, pk=pk)
        may_reveal = request.user.has_perm("profiles.reveal_pii")
        is_masked = request.method != "POST"
        if not is_masked:
            if not may_reveal:
                raise PermissionDenied
            with transaction.atomic():
                record(by=actor_of(request), action="quarantined.revealed", object=message)
        context = {
            "message": message,
            "source": Source.objects.filter(pk=message.source_id).first(),
            "body": _readable(bytes(message.body), is_masked),
            "is_masked": is_masked,
            "may_reveal": may_reveal,
            "is_open": not (message.replayed_at or message.discarded_at),
            "may_replay": request.user.has_perm("ingestion.replay_quarantined"),
        }
        return render(request, "ingestion/message.html", context)

    def replay_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._settle(
            request,
            pk,
            quarantine.replay,
            "Put back into the inbox, as if it had just come. If it still can't be used, it comes back here.",
        )

    def discard_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._settle(
            request, pk, quarantine.discard, "Discarded. Its content is gone, its reason stays on record."
        )

    def _settle(self, request: HttpRequest, pk: int, settle: Any, said: str) -> HttpResponse:
        if not request.user.has_perm("ingestion.replay_quarantined"):
            raise PermissionDenied
        try:
            settle(message=get_object_or_404(Quarantined, pk=pk), by=actor_of(request))
        except DomainError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, said)
        return redirect("admin:ingestion_quarantined_changelist")

    def settle_all_view(self, request: HttpRequest) -> HttpResponse:
        """Replays or discards all that waits, of one reason or source where they are named: a job, with a bar."""
        if not request.user.has_perm("ingestion.replay_quarantined"):
            raise PermissionDenied
        try:
            job = bulk.request(
                what="discard" if request.POST.get("what") == "discard" else "replay",
                code=request.POST.get("code", "")[:40].replace("\0", ""),
                source_id=_number(request.POST.get("source", "")),
                by=actor_of(request),
                user=reader_of(request),
            )
        except DomainError as error:
            messages.error(request, error.message)
            return redirect("admin:ingestion_quarantined_changelist")
        return redirect("admin:jobs_job_detail", uuid=job.uuid)

    def replay_many_view(self, request: HttpRequest) -> HttpResponse:
        """Replays what was ticked; what somebody else settled meanwhile is counted, not an error."""
        if not request.user.has_perm("ingestion.replay_quarantined"):
            raise PermissionDenied
        chosen = [int(pk) for pk in request.POST.getlist("message") if pk.isdecimal() and len(pk) < 19][:PAGE]
        replayed = 0
        for message in Quarantined.objects.open().filter(pk__in=chosen):
            try:
                quarantine.replay(message=message, by=actor_of(request))
            except DomainError:
                continue
            replayed += 1
        if replayed:
            messages.success(request, f"{replayed} put back into the inbox. What still can't be used comes back here.")
        else:
            messages.warning(request, "Nothing was replayed: tick the messages to replay first.")
        return redirect("admin:ingestion_quarantined_changelist")


def _number(text: str) -> int | None:
    """A source's number, as far as the text is one."""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _readable(body: bytes, is_masked: bool) -> str:
    """The message as text, laid out when it is JSON. Masked by name and shape; what is no JSON only by shape."""
    text = body.decode("utf-8", errors="replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return EMAIL.sub(lambda found: masked_email(found[0]), text) if is_masked else text
    if is_masked and isinstance(said, dict):
        personal = set(Trait.objects.filter(is_pii=True).values_list("key", flat=True))
        said = masked_properties(said, personal=personal - {"name"})
    return json.dumps(said, indent=2, ensure_ascii=False)
