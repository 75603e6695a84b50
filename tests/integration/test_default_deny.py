"""Every door there is, walked: nobody comes out of any of them for a purpose that they don't permit.

Each address, command and task is either a reader of people, with how it is asked, or it is said why it gives nobody. What
is in neither list fails here: whoever adds a door says which it is.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.core.management import get_commands
from django.http import HttpResponse
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from cdp.activation.keeping import keep_all
from cdp.activation.services import create_audience
from cdp.content.counting import counter
from cdp.content.models import Slot
from cdp.profiles.models import Profile, Trait
from consent.models import Decision, Purpose
from segments.lists import add_people, create_list
from segments.models import Segment
from segments.services import save_version
from tests.factories import BY, identify, live, performed, person, process_all, rule, track, tracker
from tests.integration.callers import Caller, decide, key, logged_in

pytestmark = pytest.mark.django_db

EVERYBODY: dict[str, Any] = {"everyone": True}
BOUGHT = performed("Order Completed")


@dataclass(frozen=True, kw_only=True)
class World:
    """Ann permits everything that is asked for here, Bob nothing: he never said yes to email, and objects to analysis."""

    ann: Profile
    bob: Profile
    caller: Caller
    marketer: Caller
    segment: Segment


@pytest.fixture
def world() -> World:
    shop = tracker()
    for user in ("ann", "bob"):
        shop.send(
            identify(user, traits={"email": f"{user}-canary@example.com", "nickname": f"canary-{user}", "points": 7}),
            track("Order Completed", user, properties={"note": f"canary-{user}"}),
        )
    process_all()
    decide("ann", "marketing_email", Decision.GRANTED)
    decide("bob", "internal_analysis", Decision.DENIED)
    segment = live("everybody", BOUGHT)
    add_people(static_list=create_list(name="VIP", by=BY), profile_ids=[person("ann").pk, person("bob").pk], by=BY)
    save_version(segment=segment, rule=rule({"trait": "points", "op": "gt", "value": 1}), by=BY)
    for purpose in PURPOSES:
        named = Purpose.objects.get(key=purpose)
        create_audience(name=purpose, key=AUDIENCES[purpose], segment=segment, purpose=named, by=BY)
    keep_all()
    marketer = logged_in("marketer")
    User.objects.filter(pk=marketer.user.pk).update(is_staff=True)
    return World(ann=person("ann"), bob=person("bob"), caller=key(sees=[segment]), marketer=marketer, segment=segment)


def canaries(profile: Profile, user: str) -> set[str]:
    return {str(profile.uuid), profile.uuid.hex, f"{user}-canary", f"canary-{user}"}


# ---- REST ----------------------------------------------------------------------------------------------------------

EMPTY_SLOT = {"variants": [], "default": None}
PURPOSES = ("marketing_email", "internal_analysis")
AUDIENCES = {purpose: purpose.replace("_", "-") for purpose in PURPOSES}
Ask = Callable[[World, str, Profile], HttpResponse]
"""Asks for a purpose, and where somebody is named, for this person."""

READERS: dict[str, Ask] = {
    "preview": lambda world, purpose, _: world.caller.post(
        "segments/preview/", {"rule": rule(EVERYBODY), "purpose": purpose}
    ),
    "members": lambda world, purpose, _: world.caller.get("segments/everybody/members/", purpose=purpose),
    "member": lambda world, purpose, one: world.caller.get(f"segments/everybody/members/{one.uuid}/", purpose=purpose),
    "why": lambda world, purpose, one: world.caller.get(f"segments/everybody/why/uuid:{one.uuid}/", purpose=purpose),
    "versions-diff": lambda world, purpose, _: world.caller.get(
        "segments/everybody/versions/1/diff/2/", purpose=purpose
    ),
    "audience-members": lambda world, purpose, _: world.caller.get(
        f"audiences/{AUDIENCES.get(purpose, 'marketing-email')}/members/", purpose=purpose
    ),
    "profile": lambda world, purpose, one: world.caller.get(f"profiles/uuid:{one.uuid}/", purpose=purpose),
    "profile-segments": lambda world, purpose, one: _looked_up(world, purpose, one),
    "profiles-lookup": lambda world, purpose, one: _looked_up_among_many(world, purpose, one),
}
NOBODY = {
    # What came and went has the purpose of its audience, whoever asks; `test_rest_audiences` holds them to it.
    "audience-changes": "whom that purpose permits, and that others left",
    "all-changes": "the same",
    "audiences": "definitions and counts",
    "audience": "one definition",
    "audience-checksum": "a count, and one number of all members together",
    "segments": "definitions and counts",
    "segment": "one definition",
    "preview-cancel": "says whether it was running",
    "overlap": "counts",
    "flows": "counts",
    "flow": "counts",
    "history": "counts",
    "templates": "ready rules",
    "segment-access": "whom it is shared with, of who works here",
    "segment-share": "what one of them may",
    "keys": "keys and their limits",
    "audit": "acts, without data of people",
    "versions": "wordings of a rule",
    "key": "one key",
    "key-rotate": "one key",
    "key-revoke": "one key",
    "refresh": "a job",
    "pause": "one definition",
    "resume": "a job",
    "lists": "definitions and counts",
    "list": "one definition",
    "list-people": "counts, and of what the caller sent that which leads to nobody",
    "list-people-remove": "the same",
    "by-hand-add": "the same",
    "by-hand-remove": "the same",
    "by-hand-undo": "the same",
    "webhooks": "definitions",
    "webhook": "one definition",
    "webhook-test": "an id of an event about nobody",
    "webhook-rotate-secret": "a secret",
    "webhook-enable": "one definition",
    "webhook-disable": "one definition",
    "webhook-replay": "counts",
    "webhook-deliveries": "positions and outcomes, never of whom",
    "webhook-delivery-replay": "counts",
    # Read over a connection of its own, which sees nothing of a test's transaction; `test_exports` holds it to consent.
    "catalogue-traits": "names of fields, and figures that stand for five people at least",
    "catalogue-trait": "the same of one",
    "catalogue-events": "the same of events",
    "catalogue-event": "the same of one",
    "exports": "what files hold, and how many, never of whom",
    "export-fields": "names of fields",
    "export": "the same of one",
    "export-cancel": "the same",
    "export-file": "whom its purpose permitted when it was made",
    "export-manifest": "counts, a hash and positions",
    "export-link": "a link",
    "export-schedules": "definitions",
    "export-schedule": "one definition",
    "export-destinations": "addresses, without their secrets",
    "export-destination": "one address",
    "export-destination-try": "whether it was reached",
    "hooks": "an id and a secret",
    "hook": "nothing",
    "hook-samples": "bodies of nobody",
    "rfm": "counts of groups of five people or more, and thresholds",
    "rfm-runs": "a job, or counts",
    "rfm-run": "counts",
    "rfm-settings": "a definition",
    "clusterings": "definitions and counts",
    "clustering": "one definition",
    "cluster-runs": "a job, or counts",
    "cluster-run": "figures that stand for five people at least",
    "cluster-run-accept": "the same",
    "cluster-run-decline": "the same",
    "cluster": "a name",
    "personas": "figures of groups of five people or more",
    "persona": "the same, and how many of it permit a purpose",
    "portraits": "a job",
    "slots": "definitions",
    "slot": "one definition",
    "sources": "definitions and counts",
    "quarantine": "what could not be used and so is nobody's yet; bodies by a scope of their own, each on record",
    "quarantine-replay": "the same, without the body",
    "tracking-plan": "names of fields, and figures that stand for five people at least",
    "purposes": "definitions",
    "privacy-requests": "requests, with the ids of those who asked, for who handles them",
    "privacy-request": "one request, with the id of who asked",
    "privacy-targets": "states and counts",
    "privacy-target-retry": "the state of a target",
    "notices": "texts",
    "notice": "a text",
    "notice-versions": "texts",
    "notice-version": "a text",
    # Whoever must honour a no has to read it: who may do that is said by a scope of its own, and each look is on record.
    "consents": "of people whom the caller names, ids and what was recorded",
    "consent-current": "what one person decided, and an id",
    "consent-history": "the same",
    "consent-mode": "the same, in Google's words",
    "consent-imports": "counts",
    "consent-import": "counts, and numbers of rows",
    "consent-import-apply": "a job",
    "consent-receipt": "one record by its own id, for who may see personal data: answering people about their own data",
    "links": "links to the pages of people whom the caller names, for who may report what they decided",
    "jobs": "jobs",
    "job": "one job",
    "job-cancel": "one job",
    "rules-schema": "a schema",
    "schema": "a schema",
    "docs": "documentation",
}


def _looked_up(world: World, purpose: str, one: Profile) -> HttpResponse:
    """With what its count says of it, which is written when the minute is over."""
    given = world.caller.get(f"profiles/uuid:{one.uuid}/segments/", purpose=purpose)
    counter.flush()
    return given


def _looked_up_among_many(world: World, purpose: str, one: Profile) -> HttpResponse:
    given = world.caller.post("profiles/lookup/", {"purpose": purpose, "identifiers": [f"uuid:{one.uuid}"]})
    counter.flush()
    return given


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("name", READERS)
def test_no_reader_of_the_api_gives_who_does_not_permit_the_purpose(world: World, name: str, purpose: str) -> None:
    given = READERS[name](world, purpose, world.ann)
    assert given.status_code == 200, given.content
    assert str(world.ann.uuid) in given.content.decode(), "who permits it must come, or nothing is proved"
    assert not _found(given, world.bob, "bob")
    # Named, he is as unknown as somebody who never was; that he was named is all that the answer repeats.
    refused = READERS[name](world, purpose, world.bob)
    assert not _found(refused, world.bob, "bob", named=True)


@pytest.mark.parametrize("name", READERS)
def test_no_reader_of_the_api_reads_for_nothing(world: World, name: str) -> None:
    """An unknown purpose is refused, and one that isn't for lists doesn't open them."""
    for purpose in ("made_up", "privacy_rights" if name not in ("why", "profile") else "made_up_too"):
        refused = READERS[name](world, purpose, world.ann)
        assert refused.status_code in (400, 403), (purpose, refused.content)
        assert not _found(refused, world.ann, "ann", named=True)


def test_who_withdraws_is_gone_from_the_next_read_on(world: World) -> None:
    assert _found(READERS["members"](world, "marketing_email", world.ann), world.ann, "ann")
    decide("ann", "marketing_email", Decision.WITHDRAWN)
    for name, ask in READERS.items():
        assert not _found(ask(world, "marketing_email", world.ann), world.ann, "ann", named=True), name


def _found(response: HttpResponse, profile: Profile, user: str, *, named: bool = False) -> set[str]:
    text = response.content.decode()
    if named:  # an address that the caller wrote may be repeated
        for place in re.findall(r'"instance":\s*"[^"]*"', text):
            text = text.replace(place, "")
    return {one for one in canaries(profile, user) if one in text}


# ---- The console ---------------------------------------------------------------------------------------------------


def _browse(world: World, view: str, *arguments: Any, **query: Any) -> HttpResponse:
    return world.marketer.client.get(reverse(f"admin:{view}", args=arguments), query or None)


def _preview(world: World) -> HttpResponse:
    page = world.marketer.client.get(reverse("admin:segments_segment_new"))
    sent = {"rule": json.dumps(rule(EVERYBODY)), "purpose": "marketing_email", "accuracy": "exact",
            "csrfmiddlewaretoken": str(page.context["csrf_token"])}  # fmt: skip
    return world.marketer.client.post(reverse("admin:segments_segment_preview"), sent)


def _ask(world: World, view: str, *arguments: Any, condition: dict[str, Any] = EVERYBODY, **more: Any) -> HttpResponse:
    """What a page asks of its server about the draft in it."""
    page = world.marketer.client.get(reverse("admin:segments_segment_new"))
    sent = {"rule": json.dumps(rule(condition)), "purpose": "internal_analysis", "base": 2,
            "csrfmiddlewaretoken": str(page.context["csrf_token"])}  # fmt: skip
    return world.marketer.client.post(reverse(f"admin:{view}", args=arguments), sent | more)


def _review_people(world: World) -> HttpResponse:
    """Everybody would leave."""
    nobody = {"not": {"everyone": True}}
    return _ask(world, "segments_segment_review_people", world.segment.uuid, condition=nobody, accuracy="exact")


def _slot_preview(world: World) -> HttpResponse:
    slot = Slot.objects.get_or_create(key="hero", defaults={"name": "Hero", "document": EMPTY_SLOT})[0]
    return _browse(world, "content_slot_preview", slot.uuid, who=f"uuid:{world.bob.uuid}")


def _export(world: World) -> HttpResponse:
    page = world.marketer.client.get(reverse("admin:segments_segment_members", args=[world.segment.uuid]))
    sent = {"purpose": "internal_analysis", "csrfmiddlewaretoken": str(page.context["csrf_token"])}
    answer = world.marketer.client.post(
        reverse("admin:segments_segment_members_export", args=[world.segment.uuid]), sent
    )
    return HttpResponse(b"".join(answer.streaming_content), status=answer.status_code)  # type: ignore[attr-defined]


def _people_difference(world: World) -> HttpResponse:
    """Everybody would leave."""
    save_version(segment=world.segment, rule=rule({"not": {"everyone": True}}), by=BY)
    return _browse(world, "segments_segment_people_difference", world.segment.uuid, before=1, after=3)


CONSOLE: dict[str, Callable[[World], list[HttpResponse]]] = {
    "profiles_profile_changelist": lambda world: [
        _browse(world, "profiles_profile_changelist"),
        _browse(world, "profiles_profile_changelist", q="bob"),
        _browse(world, "profiles_profile_changelist", q=str(world.bob.uuid)),
    ],
    "profiles_profile_detail": lambda world: [_browse(world, "profiles_profile_detail", world.bob.uuid)],
    "profiles_profile_timeline": lambda world: [_browse(world, "profiles_profile_timeline", world.bob.uuid)],
    "profiles_profile_why": lambda world: [_browse(world, "profiles_profile_why", world.bob.uuid, world.segment.uuid)],
    "profiles_profile_segments": lambda world: [_browse(world, "profiles_profile_segments", world.bob.uuid)],
    "profiles_profile_trait": lambda world: [
        _browse(world, "profiles_profile_trait", world.bob.uuid, Trait.objects.get(key="nickname").pk)
    ],
    "profiles_profile_consent": lambda world: [_browse(world, "profiles_profile_consent", world.bob.uuid)],
    "profiles_profile_link": lambda world: [_browse(world, "profiles_profile_link", world.bob.uuid)],
    "profiles_profile_reveal": lambda world: [_browse(world, "profiles_profile_reveal", world.bob.uuid)],
    "profiles_profile_mask": lambda world: [_browse(world, "profiles_profile_mask", world.bob.uuid)],
    "content_slot_preview": lambda world: [_slot_preview(world)],
    "segments_segment_preview": lambda world: [_preview(world)],
    "segments_segment_draft_why": lambda world: [_ask(world, "segments_segment_draft_why", person=world.bob.uuid)],
    "segments_segment_review_people": lambda world: [_review_people(world)],
    "segments_segment_new_people": lambda world: [_ask(world, "segments_segment_new_people", accuracy="exact")],
    "segments_segment_members": lambda world: [
        _browse(world, "segments_segment_members", world.segment.uuid),
        _browse(world, "segments_segment_members", world.segment.uuid, q="bob", order="id"),
        _browse(world, "segments_segment_members", world.segment.uuid, purpose="marketing_email"),
    ],
    "segments_segment_member": lambda world: [
        _browse(world, "segments_segment_member", world.segment.uuid, world.bob.uuid),
        _browse(world, "segments_segment_member", world.segment.uuid, world.bob.uuid, closed="1"),
    ],
    "segments_segment_member_find": lambda world: [
        _browse(world, "segments_segment_member_find", world.segment.uuid, who="bob")
    ],
    "segments_segment_members_export": lambda world: [_export(world)],
    "segments_staticlist_detail": lambda world: [
        _browse(world, "segments_staticlist_detail", "vip"),
        _browse(world, "segments_staticlist_detail", "vip", q="bob"),
    ],
    "segments_segment_people_difference": lambda world: [_people_difference(world)],
}
QUIET = {
    r"(index|login|logout|password_change(_done)?|autocomplete|jsi18n|view_on_site|app_list|home_(waiting|figures))": "no people",
    r"auth_.*": "staff and roles",
    r"account(_.*)?|second_factor|lockouts|lockout_lift": "staff, and how they log in",
    r"tracking_plan(_file)?": "names of fields, and figures that stand for five people at least",
    r"rest_apikey_.*": "keys",
    r"webhooks_webhook_.*": "definitions, positions and outcomes, never of whom; acts",
    r"health": "processes, lags and counts",
    r"activation_audience_.*": "definitions, counts and reasons",
    r"exports_(?!export_file)\w+": "definitions, counts and hashes, never of whom; acts",
    r"exports_export_file": "whom its purpose permitted when it was made; `test_exports` holds it to that",
    r"profiles_(trait|eventname|exchangerate|workspace)_.*": "definitions",
    r"profiles_profile_(add|history|delete|change|undo_merge)": "stock addresses of a model that services alone change; an act",
    r"consent_(purpose|notice)_.*": "definitions, and how often words were shown and what was chosen",
    r"consent_rates": "counts",
    r"collecting_consentimport_.*": "counts, and numbers of rows",
    r"content_slot_(?!preview).*": "definitions",
    r"ingestion_source_.*": "definitions",
    r"jobs_job_.*": "jobs",
    r"accountability_retentionrule_.*": "rules, and counts of rows",
    r"accountability_publishedrecord_.*": "what is processed, and why; nobody's data",
    # Whoever's data was read without right is told so, also who objects to everything else (GDPR Art. 34).
    r"breach|breach_people": "counts; and whom to notify, for compliance staff who may see personal data",
    r"segments_segment_(?!preview|member|people_difference|draft_why|review_people|new_people).*": "definitions, counts and acts",
    r"segments_segment_(member_figures|member_columns|members_reveal|member_by_hand|members_upload)": "counts and acts",
    r"segments_staticlist_(?!detail).*": "definitions, counts and acts",
    r"segments_persona_.*": "figures of groups of five people or more, and acts",
    r"segments_rfmrun_.*": "figures of groups and cells, settings and acts",
    r"segments_clustering_.*": "definitions, counts, figures that stand for five people at least, points without a person; acts",
    r"segments_listupload_.*": "what somebody uploaded themselves, masked; counts, and numbers of lines",
    # Whoever handles rights must see what is on record, also of those who object to everything else.
    r"(audit_auditentry|consent_consentrecord|consent_consentconflict)_.*": "records, by the id of a person, for compliance staff",
    r"privacy_privacyrequest_.*": "requests of people about their own data, for compliance staff, under privacy_rights",
    r"ingestion_quarantined_.*": "messages that belong to nobody yet, masked, for who runs the integration",
}


@pytest.mark.parametrize("name", CONSOLE)
def test_no_screen_of_a_marketer_shows_who_does_not_permit_it(world: World, name: str) -> None:
    for response in CONSOLE[name](world):
        text = response.content.decode()
        # What was looked for stands in the field again.
        text = re.sub(r'<input[^>]*name="(q|who)"[^>]*>', "", text)
        if response.status_code == 200:
            assert not {one for one in canaries(world.bob, "bob") - {str(world.bob.uuid)} if one in text}
            assert f"/{world.bob.uuid}/" not in text
        else:
            assert response.status_code in (302, 403, 404, 405)


def test_the_screens_show_who_permits_it(world: World) -> None:
    """Or the test above would prove nothing."""
    assert str(world.ann.uuid) in _browse(world, "profiles_profile_changelist").content.decode()
    assert _browse(world, "profiles_profile_detail", world.ann.uuid).status_code == 200
    assert f"/{world.ann.uuid}/" in _people_difference(world).content.decode()
    assert "Order Completed" in _browse(world, "profiles_profile_timeline", world.ann.uuid).content.decode()
    assert str(world.ann.uuid) in _preview(world).content.decode()
    assert str(world.ann.uuid) in _review_people(world).content.decode()
    assert str(world.ann.uuid) in CONSOLE["segments_segment_new_people"](world)[0].content.decode()
    assert "Met" in _ask(world, "segments_segment_draft_why", person=world.ann.uuid).content.decode()
    for name in ("segments_segment_members", "segments_segment_members_export", "segments_staticlist_detail"):
        assert str(world.ann.uuid) in CONSOLE[name](world)[0].content.decode(), name
    assert _browse(world, "segments_segment_member", world.segment.uuid, world.ann.uuid).status_code == 200


# ---- Nothing is forgotten ------------------------------------------------------------------------------------------

COMMANDS = {
    "consume": "processes what came in",
    "sweep": "keeps members in line with time; gives counts",
    "sequence_audit": "seals the audit log; gives a count",
    "keep_audiences": "keeps audiences in line with segments and decisions; gives counts",
    "deliver": "sends what webhooks hear, to whom each purpose permits it; gives nothing itself",
    "bi_login": "a password, of a log-in to views that hold who permits that purpose; `test_bi` holds them to it",
    "audit_key": "a public key",
    "vault_key": "ids of keys, and counts",
    "export_audit": "the audit log, which names people by ids alone, to who runs the platform",
    "check_restored": "whether what was restored is what it was; counts, and keys of segments",
    "erase_again": "counts",
    "erase_profile": "repeats the id it was given",
    "import_rates": "exchange rates",
    "breach_report": "counts, and the names of staff and keys",
    "load_demo": "simulated people",
    "load_cdnow": "a public log",
    "check_main_job": "simulated people",
}
TASKS = {
    "heartbeats.beat", "webhooks.purge", "exports.make", "exports.request_due",
    "activation.purge_changes", "jobs.send_stranded", "jobs.purge_finished", "rest.purge_done_requests", "log_in.purge",
    "profiles.maintain_partitions", "profiles.convert_again", "ingestion.purge_seen_messages", "ingestion.purge_quarantine",
    "ingestion.purge_figures", "ingestion.settle_quarantine", "segments.refresh", "audit.verify",
    "audit.request_verification", "privacy.carry_out", "privacy.purge", "retention.request", "retention.apply_retention",
    "pages.send_confirmations", "collecting.apply_import", "collecting.discard_forgotten",
    "segments.recompute_thresholds", "segments.request_recomputation", "fields.measure", "fields.request_measurement",
    "segments.apply_upload", "personas.portray", "personas.request_portraits",
    "content.tell_of_lost_counts", "segments.rfm", "rfm.request_run", "segments.cluster",
    "segments.request_cluster_runs", "clusters.assign_arrived",
}  # fmt: skip
"""Their results are counts; `cdp.jobs` shows them."""
TRACKING = re.compile(r"(healthz|readyz|metrics|v1/|analytics|banner\.js|slots\.js|\.well-known/gpc\.json)")
OWN_PAGES = {
    "export-by-link": "one file of an audience, to whoever has its signed link; `test_exports` holds it to consent",
    "preferences": "what one person chose themselves, to whoever has their signed link",
    "receipts": "the same person's decisions",
    "receipt": "one of them",
    "receipt-file": "one of them",
    "ask": "what can be asked for, to whoever has their signed link; nothing about anybody",
    "prove": "what was asked for, to whoever has the link that was sent to the address of who asked",
    "confirm": "the words of one purpose, to whoever has the link",
    "unsubscribe": "the words of one purpose, to whoever has the link",
    "demo-shop": "goods; there is none where the data is real",
}


def _addresses(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, str]]:
    for one in resolver.url_patterns:
        path = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _addresses(one, path)
        elif isinstance(one, URLPattern):
            yield path, one.name or ""


def test_every_address_is_a_reader_or_it_is_said_why_it_gives_nobody() -> None:
    said = []
    for path, name in _addresses(get_resolver()):
        if path.startswith("api/v1/"):
            assert (name in READERS) + (name in NOBODY) == 1, f"{path} ({name})"
        elif path.startswith("admin/"):
            if name:
                quiet = [pattern for pattern in QUIET if re.fullmatch(pattern, name)]
                assert (name in CONSOLE) + len(quiet) == 1, f"{path} ({name}): {quiet}"
        elif name not in OWN_PAGES:
            assert TRACKING.match(path), path
        said.append(name)
    assert (READERS.keys() | NOBODY.keys() | CONSOLE.keys()) <= set(said), "said of what isn't there"


def test_every_command_and_task_is_known() -> None:
    ours = {
        name for name, app in get_commands().items() if str(app).split(".")[0] in ("cdp", "consent", "segments", "demo")
    }
    assert ours == set(COMMANDS)
    current_app.loader.import_default_modules()
    assert {name for name in current_app.tasks if not name.startswith("celery.")} == TASKS
