"""Two who proved to be one and had answered differently: both answers side by side, what holds, and settling it.

The stricter answer holds already when a conflict is raised (`consent.merging`); settling one permits nothing.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of
from cdp.audit.services import record as audit
from cdp.errors import Conflict
from cdp.identity.merging import survivor_of
from cdp.identity.models import Merge
from cdp.profiles.models import Profile
from consent.merging import settle_conflict
from consent.models import ConsentConflict, ConsentRecord, ConsentState, Decision, Method, Reach

PAGE = 25


class NoteForm(forms.Form):
    note = forms.CharField(
        label="What you found",
        max_length=500,
        help_text="No names and no addresses: it stays for good.",
        widget=forms.Textarea(attrs={"class": "in", "rows": 3}),
    )


def open_conflicts() -> QuerySet[ConsentConflict]:
    return ConsentConflict.objects.filter(settled_at__isnull=True)


@admin.register(ConsentConflict)
class ConflictAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap, name = self.admin_site.admin_view, "consent_consentconflict"
        return [path("<int:pk>/", wrap(self.conflict_view), name=f"{name}_detail"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Open ones, the oldest first; or the settled, the newest first."""
        self._refuse_unless_allowed(request)
        is_settled = request.GET.get("show") == "settled"
        found = ConsentConflict.objects.select_related("purpose")
        found = (
            found.filter(settled_at__isnull=False).order_by("-settled_at")
            if is_settled
            else found.filter(settled_at__isnull=True).order_by("raised_at")
        )
        page = Paginator(found, PAGE).get_page(request.GET.get("page"))
        context = {
            "page": page,
            "rows": page.object_list,
            "is_settled": is_settled,
            "open_count": open_conflicts().count(),
        }
        with transaction.atomic():
            audit(
                by=actor_of(request),
                action="consent.conflicts_listed",
                detail={"count": len(page.object_list), "page": page.number},
            )
        return render(request, "consent/conflicts.html", context)

    def conflict_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._refuse_unless_allowed(request)
        one = get_object_or_404(ConsentConflict.objects.select_related("purpose"), pk=pk)
        may_settle = request.user.has_perm("consent.change_consentconflict")
        form = NoteForm(request.POST or None)
        if request.method == "POST":
            if not may_settle:
                raise PermissionDenied
            if form.is_valid():
                try:
                    settle_conflict(conflict=one, note=form.cleaned_data["note"], by=actor_of(request))
                except Conflict as error:
                    messages.error(request, error.message)
                else:
                    messages.success(request, "Settled. What holds stays as it is until the person says otherwise.")
                return redirect("admin:consent_consentconflict_changelist")
        with transaction.atomic():
            audit(by=actor_of(request), action="consent.conflict_viewed", object=one, purpose=one.purpose.key)
        merge = Merge.objects.filter(absorbed_id=one.absorbed_id).order_by("-merged_at").first()
        holder = self._holder(one, merge)
        context = {
            "one": one,
            "form": form,
            "may_settle": may_settle,
            "answers": [
                ("The profile that survived", one.profile_id, one.get_theirs_display(), self._answer(one, one.profile_id, one.theirs)),
                ("The profile that was merged into it", one.absorbed_id, one.get_absorbed_display(),
                 self._answer(one, one.absorbed_id, one.absorbed)),
            ],
            "merge": merge,
            "person": holder,
            "state": ConsentState.objects.filter(profile=holder, purpose=one.purpose).first() if holder else None,
        }  # fmt: skip
        return render(request, "consent/conflict.html", context, status=422 if form.errors else 200)

    @staticmethod
    def _answer(one: ConsentConflict, profile_id: int, decision: str) -> ConsentRecord | None:
        """The record by which this profile had answered, before they were merged."""
        records = ConsentRecord.objects.filter(
            profile_id=profile_id,
            purpose=one.purpose,
            reach=Reach.PERSON,
            decision=decision,
            recorded_at__lte=one.raised_at,
        )
        own = records.exclude(method__in=[Method.MERGE, Method.REPEATED]).exclude(decision=Decision.PENDING)
        return own.select_related("notice_version__notice").order_by("-collected_at", "-pk").first()

    @staticmethod
    def _holder(one: ConsentConflict, merge: Merge | None) -> Profile | None:
        """Whoever the survivor is now; None if they were erased."""
        found = Profile.objects.filter(pk=one.profile_id).first()
        if found is not None or merge is None:
            return found
        later = Merge.objects.filter(absorbed_id=one.profile_id, undone_at__isnull=True).first()
        return survivor_of(later.absorbed_uuid) if later else None

    def _refuse_unless_allowed(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
