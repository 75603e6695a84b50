"""The screens for people: finding one by any identifier, and everything known of them on one page.

They are read for a purpose, like all people: for analysis, so that who objected to it is neither listed nor found; or,
by who may see personal data, for answering people about their own data, which leaves nobody out. Each read is audited.
Personal data is masked. Revealing it asks for the permission, holds for a quarter of an hour and is audited.
"""

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Case, When
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.audit.admin_base import ReadOnlyAdmin, actor_of, reader_of
from cdp.audit.services import record
from cdp.console import consent_at, page_link, person_parts, person_segments
from cdp.console.timeline import timeline
from cdp.console.timeline_filters import Asked
from cdp.errors import DomainError, NotFound
from cdp.identity.merging import survivor_of, undo_merge
from cdp.identity.models import Merge
from cdp.ingestion.models import Source
from cdp.key_pages import Key, key_page, moment, number
from cdp.profiles.masking import display_name, masked_identifier, masked_properties
from cdp.profiles.models import Event, EventTotal, EventType, Profile, Trait, TraitValue, Workspace
from cdp.profiles.orders import ORDER_COMPLETED, REVENUE_BOOKED
from cdp.small_charts import day_chart
from consent.models import ConsentStopped, Purpose
from consent.querysets import INTERNAL_ANALYSIS, PRIVACY_RIGHTS, permitted
from segments.models import READABLE
from segments.querysets import segments_of
from segments.sharing import visible_segments

PAGE = 25
REVEAL_SECONDS = 15 * 60
ACTIVITY_DAYS = 90
NAMES_AS_FILTERS = 7
LAST_SEEN = (
    Key(name="last_seen_at", read=moment, descends=True),
    Key(name="id", read=number, descends=True),
)


def is_revealed(request: HttpRequest, profile: Profile) -> bool:
    """Whether this reader asked, within the last quarter of an hour, to see this person unmasked, and still may."""
    until = request.session.get("revealed", {}).get(str(profile.uuid), 0)
    return until > time.time() and request.user.has_perm("profiles.reveal_pii")


def purpose_of(request: HttpRequest) -> Purpose:
    """What this reader reads people for."""
    may_reveal = request.user.has_perm("profiles.reveal_pii")
    return Purpose.objects.get(key=PRIVACY_RIGHTS if may_reveal else INTERNAL_ANALYSIS)


def named(profile: Profile, *, is_masked: bool) -> str:
    identifiers = {i.namespace: i.value for i in profile.identifiers.all()}
    namespace = next((n for n in ("user_id", "email", "anonymous_id") if n in identifiers), next(iter(identifiers), ""))
    value = identifiers.get(namespace, str(profile.uuid))
    fallback = masked_identifier(namespace, value) if is_masked else value
    return display_name(profile.traits, fallback=fallback, is_masked=is_masked)


@admin.register(Profile)
class PeopleAdmin(ReadOnlyAdmin):
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:uuid>/", wrap(self.person_view), name="profiles_profile_detail"),
            path("<uuid:uuid>/why/<uuid:segment>/", wrap(self.why_view), name="profiles_profile_why"),
            path("<uuid:uuid>/segments/", wrap(self.segments_view), name="profiles_profile_segments"),
            path("<uuid:uuid>/traits/<int:pk>/", wrap(self.trait_view), name="profiles_profile_trait"),
            path("<uuid:uuid>/timeline/", wrap(self.timeline_view), name="profiles_profile_timeline"),
            path("<uuid:uuid>/consent/", wrap(self.consent_view), name="profiles_profile_consent"),
            path("<uuid:uuid>/link/", wrap(self.link_view), name="profiles_profile_link"),
            path("<uuid:uuid>/reveal/", wrap(require_POST(self.reveal_view)), name="profiles_profile_reveal"),
            path("<uuid:uuid>/mask/", wrap(require_POST(self.mask_view)), name="profiles_profile_mask"),
            path(
                "<uuid:uuid>/merges/<int:pk>/undo/",
                wrap(require_POST(self.undo_view)),
                name="profiles_profile_undo_merge",
            ),
            *super().get_urls(),
        ]

    def _person(self, request: HttpRequest, uuid: UUID) -> tuple[Profile, Purpose]:
        """The person, or the one who absorbed them, and what they are read for. Who objects can't be told from nobody."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            person = survivor_of(uuid)
        except NotFound:
            raise Http404 from None
        purpose = purpose_of(request)
        if not permitted(Profile.objects.filter(pk=person.pk), purpose).exists():
            raise Http404
        return person, purpose

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        query = request.GET.get("q", "").strip()
        purpose = purpose_of(request)
        wanted = Profile.objects.found_by(query) if query else Profile.objects.all()
        people = permitted(wanted.prefetch_related("identifiers"), purpose)
        if query:
            found = list(people[:2])
            if len(found) == 1:
                return redirect("admin:profiles_profile_detail", uuid=found[0].uuid)
        hides_country = Trait.objects.filter(key="country", is_pii=True).exists()
        page = key_page(people, request.GET, keys=LAST_SEEN, size=PAGE)
        rows = []
        for person in page.rows:
            shown = [masked_identifier(i.namespace, i.value) for i in person.identifiers.all()][:3]
            country = "" if hides_country else person.traits.get("country", "")
            rows.append((person, named(person, is_masked=True), shown, country))
        with transaction.atomic():
            record(
                by=actor_of(request),
                action="profiles.listed",
                purpose=purpose.key,
                detail={"count": len(rows), "further": bool(page.newer), "searched": bool(query)},
            )
        return render(request, "people/list.html", {"page": page, "rows": rows, "query": query, "purpose": purpose})

    def person_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        person, purpose = self._person(request, uuid)
        if person.uuid != uuid:
            messages.info(request, "The profile you asked for was merged into this one.")
            return redirect("admin:profiles_profile_detail", uuid=person.uuid)
        is_masked = not is_revealed(request, person)
        with transaction.atomic():
            record(
                by=actor_of(request),
                action="profile.viewed",
                object=person,
                purpose=purpose.key,
                detail={"masked": is_masked},
            )
        totals = list(EventTotal.objects.filter(profile=person).select_related("name").order_by("-count"))
        kinds = self._kinds(totals)
        context = {
            "person": person,
            "purpose": purpose,
            "name": named(person, is_masked=is_masked),
            "is_masked": is_masked,
            "may_reveal": request.user.has_perm("profiles.reveal_pii"),
            "identifiers": self._identifiers(person, is_masked),
            "traits": self._traits(person, is_masked),
            "totals": totals,
            "kinds": kinds,
            "facts": self._facts(totals),
            "chart": self._activity(person),
            "merges": Merge.objects.filter(survivor_id=person.pk).order_by("-merged_at"),
            "may_undo": request.user.has_perm("identity.undo_merge"),
            "may_see_records": request.user.has_perm("consent.view_consentrecord"),
            **person_parts.judged(person),
            "may_ask_history": sum(total.count for total in totals if total.name.type == EventType.IDENTIFY) > 1,
            "sources": Source.objects.order_by("name"),
            "types": EventType.choices,
            "neighbours": person_parts.neighbours(person, permitted(Profile.objects.all(), purpose)),
            **self._standing(request, person),
            **self._timeline(request, person, is_masked),
        }
        return render(request, "people/person.html", context)

    def why_view(self, request: HttpRequest, uuid: UUID, segment: UUID) -> HttpResponse:
        """Why they are in a segment, or aren't, and when that changes if nothing happens."""
        person, purpose = self._person(request, uuid)
        is_masked = not is_revealed(request, person)
        return person_segments.why_view(request, person, purpose, segment, is_masked=is_masked)

    def segments_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """Live segments that they are not in."""
        person, purpose = self._person(request, uuid)
        return person_segments.others_view(request, person, purpose)

    def trait_view(self, request: HttpRequest, uuid: UUID, pk: int) -> HttpResponse:
        """What was said of one trait of theirs, newest first."""
        person, purpose = self._person(request, uuid)
        trait = get_object_or_404(Trait, pk=pk)
        is_masked = not is_revealed(request, person)
        with transaction.atomic():
            record(
                by=actor_of(request),
                action="profile.trait_viewed",
                object=person,
                purpose=purpose.key,
                detail={"trait": trait.key, "masked": is_masked},
            )
        rows = person_parts.said_of(person, trait, is_masked=is_masked)
        return render(request, "people/trait.html", {"person": person, "trait": trait, "rows": rows})

    def timeline_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        person, purpose = self._person(request, uuid)
        is_masked = not is_revealed(request, person)
        with transaction.atomic():
            record(
                by=actor_of(request),
                action="profile.timeline_viewed",
                object=person,
                purpose=purpose.key,
                detail={"masked": is_masked, "older": "before" in request.GET},
            )
        context = self._timeline(request, person, is_masked)
        return render(request, "people/_timeline.html", {"person": person, **context})

    def consent_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """What they permitted at a moment: now, if none is named."""
        if not request.user.has_perm("consent.view_consentrecord"):
            raise PermissionDenied
        person, purpose = self._person(request, uuid)
        form = consent_at.Asked(request.GET if "at" in request.GET else None, initial={"at": timezone.localtime()})
        context: dict[str, Any] = {"person": person, "form": form, "rows": []}
        if not form.is_bound or form.is_valid():
            asked: dict[str, Any] = form.cleaned_data if form.is_bound else {"at": timezone.now(), "known_at": None}
            context |= {
                **asked,
                "rows": consent_at.told(person, **asked),
                "steps": consent_at.steps(person, at=asked["at"]),
            }
            moments = {name: moment.isoformat() for name, moment in asked.items() if moment}
            with transaction.atomic():
                record(
                    by=actor_of(request),
                    action="profile.consent_viewed",
                    object=person,
                    purpose=purpose.key,
                    detail=moments,
                )
        context["name"] = named(person, is_masked=not is_revealed(request, person))
        context["gpc_at"] = consent_at.opted_out_by_browser(person)
        return render(request, "people/consent_at.html", context, status=400 if form.errors else 200)

    def link_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        """A link to their own page, for somebody who helps them."""
        if not request.user.has_perm("privacy.issue_link"):
            raise PermissionDenied
        person, _ = self._person(request, uuid)
        return page_link.view(request, person, name=named(person, is_masked=not is_revealed(request, person)))

    def reveal_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        if not request.user.has_perm("profiles.reveal_pii"):
            raise PermissionDenied
        person, purpose = self._person(request, uuid)
        with transaction.atomic():
            record(
                by=actor_of(request),
                action="profile.revealed",
                object=person,
                purpose=purpose.key,
                detail={"seconds": REVEAL_SECONDS},
            )
        now = time.time()
        still = {key: until for key, until in request.session.get("revealed", {}).items() if until > now}
        request.session["revealed"] = {**still, str(person.uuid): now + REVEAL_SECONDS}
        return redirect("admin:profiles_profile_detail", uuid=person.uuid)

    def mask_view(self, request: HttpRequest, uuid: UUID) -> HttpResponse:
        still = dict(request.session.get("revealed", {}))
        still.pop(str(uuid), None)
        request.session["revealed"] = still
        return redirect("admin:profiles_profile_detail", uuid=uuid)

    def undo_view(self, request: HttpRequest, uuid: UUID, pk: int) -> HttpResponse:
        if not request.user.has_perm("identity.undo_merge"):
            raise PermissionDenied
        person, _ = self._person(request, uuid)
        merge = get_object_or_404(Merge, pk=pk, survivor_id=person.pk)
        try:
            restored = undo_merge(merge=merge, by=actor_of(request))
        except DomainError as error:
            messages.error(request, error.message)
            return redirect("admin:profiles_profile_detail", uuid=person.uuid)
        messages.success(request, f"The merge is undone. Profile {restored.uuid} has its identifiers and events back.")
        return redirect("admin:profiles_profile_detail", uuid=person.uuid)

    @staticmethod
    def _identifiers(person: Profile, is_masked: bool) -> list[dict[str, Any]]:
        rows = list(person.identifiers.order_by("namespace", "first_seen_at"))
        sources = Source.objects.in_bulk({row.source_id for row in rows if row.source_id})
        return [
            {
                "namespace": row.namespace.replace("_", " ").capitalize(),
                "value": masked_identifier(row.namespace, row.value) if is_masked else row.value,
                "is_hidden": is_masked and masked_identifier(row.namespace, row.value) != row.value,
                "source": sources[row.source_id].name if row.source_id in sources else "",
                "first_seen_at": row.first_seen_at,
                "last_seen_at": row.last_seen_at,
            }
            for row in rows
        ]

    @staticmethod
    def _traits(person: Profile, is_masked: bool) -> list[dict[str, Any]]:
        rows = list(TraitValue.objects.filter(profile=person).select_related("trait").order_by("trait__label"))
        sources = Source.objects.in_bulk({row.source_id for row in rows if row.source_id})
        values = {row.trait.key: row.raw for row in rows}
        personal = {row.trait.key for row in rows if row.trait.is_pii}
        shown = masked_properties(values, personal=personal) if is_masked else values
        return [
            {
                "pk": row.trait_id,
                "label": row.trait.label,
                "value": shown[row.trait.key],
                "is_hidden": shown[row.trait.key] != row.raw,
                "source": sources[row.source_id].name if row.source_id in sources else "",
                "occurred_at": row.occurred_at,
            }
            for row in rows
        ]

    @staticmethod
    def _kinds(totals: list[EventTotal]) -> list[tuple[str, str, int]]:
        return [(str(total.name_id), total.name.label, total.count) for total in totals[:NAMES_AS_FILTERS]]

    @staticmethod
    def _facts(totals: list[EventTotal]) -> dict[str, Any]:
        sent = [total for total in totals if total.name.type != EventType.DERIVED]
        booked = sum(total.value_sum for total in totals if total.name.name == REVENUE_BOOKED)
        orders = next((total for total in totals if total.name.name == ORDER_COMPLETED), None)
        average = orders.value_sum / orders.count if orders and orders.value_sum else None
        return {"events": sum(total.count for total in sent), "value": booked, "orders": orders, "average": average}

    @staticmethod
    def _activity(person: Profile) -> Any:
        """Events per day over the 90 days up to their last event: an old customer's chart isn't an empty one."""
        workspace = Workspace.current()
        until = timezone.localtime(person.last_seen_at)
        since = until - timedelta(days=ACTIVITY_DAYS)
        counts = (
            Event.objects.sent()
            .filter(profile_id=person.pk)
            .per_day(since=since, until=until + timedelta(days=1), time_zone=workspace.time_zone)
        )
        return day_chart(counts, last=until.date(), days=ACTIVITY_DAYS)

    @staticmethod
    def _standing(request: HttpRequest, person: Profile) -> dict[str, Any]:
        """Live segments they are in, of those the reader may see, and their answer for each purpose, and what is
        halted for them whatever they answered; no record is an answer too."""
        has_ended = Case(When(expires_at__lte=Now(), then=True), default=False)
        known = person.consent_states.select_related("record").annotate(has_ended=has_ended)
        states = {state.purpose_id: state for state in known}
        visible = visible_segments(reader_of(request)).filter(status__in=READABLE)
        return {
            "segments": list(segments_of(person, visible).order_by("name")),
            "segment_count": visible.count(),
            "purposes": [(purpose, states.get(purpose.pk)) for purpose in Purpose.objects.all()],
            "stopped": set(ConsentStopped.objects.filter(profile_id=person.pk).values_list("purpose_id", flat=True)),
        }

    @staticmethod
    def _timeline(request: HttpRequest, person: Profile, is_masked: bool) -> dict[str, Any]:
        asked = Asked.of(request.GET, is_masked=is_masked)
        return {
            "kind": asked.kind,
            "asked": asked,
            "is_masked": is_masked,
            "page": timeline(
                person,
                asked=asked,
                before=request.GET.get("before", ""),
                is_masked=is_masked,
                segments=visible_segments(reader_of(request)),
            ),
        }
