"""One of everything, so that every address leads somewhere; and what stands for each part of an address.

Whoever adds an address whose parts aren't found here is told so by the walks.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.apps import apps
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from cdp.accountability import record
from cdp.accountability.models import Kind, RetentionRun
from cdp.accountability.rules import set_rule
from cdp.activation.keeping import keep_all
from cdp.activation.models import Audience
from cdp.activation.services import create_audience
from cdp.collecting import files
from cdp.collecting.models import ConsentImport
from cdp.content.models import Slot
from cdp.content.services import create_slot
from cdp.exports.models import Destination, Export, Place, Schedule
from cdp.exports.services import Spec, create_schedule, request_export
from cdp.identity.merging import merge_profiles
from cdp.identity.models import Merge
from cdp.ingestion.models import Quarantined, WriteKey
from cdp.jobs.models import Job
from cdp.log_in.models import Lockout
from cdp.privacy.admin import ACTS
from cdp.privacy.models import CameBy, PrivacyExport, PrivacyRequest, PrivacyTarget, RequestKind
from cdp.privacy.services import open_request
from cdp.profiles.models import EventName, ExchangeRate, Profile, Trait
from cdp.rest.models import ApiKey
from cdp.webhooks.admin import ACTS as WEBHOOK_ACTS
from cdp.webhooks.models import Delivery, Webhook
from cdp.webhooks.services import create_webhook, send_test
from consent.links import Kind as LinkKind
from consent.links import token
from consent.models import Confirmation, ConsentConflict, ConsentRecord, Decision, Method, NoticeVersion, Purpose
from consent.receipts.issuing import Form
from consent.services import record_decision
from segments.by_hand import put_by_hand
from segments.clustering.models import Clustering
from segments.lists import add_people, create_list
from segments.models import ByHand, Segment
from segments.personas.services import create_persona
from segments.personas.sources import group_of_segment
from segments.rfm.models import RfmRun
from segments.services import save_version
from segments.sharing import share_segment
from segments.uploads import services as uploading
from segments.uploads.models import UploadMode
from tests.factories import BY, identify, live, person, process_all, rule, track, tracker
from tests.integration.callers import Caller, decide, key
from tests.integration.clusterings import made_clustering
from tests.integration.notices import publish_notice
from tests.integration.rfm_runs import complete_run

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).isoformat()
CSV_HEADING = "namespace,value,purpose,decision,collected_at,evidence_form"


@dataclass(frozen=True, kw_only=True)
class World:
    """Whoever walks: somebody who may do everything, at screens and over REST; and whose pages are opened."""

    master: User
    caller: Caller
    ann: Profile
    write_key: str

    def client(self) -> Client:
        client = Client(raise_request_exception=False)
        client.force_login(self.master)
        return client


def make_world() -> World:
    shop = tracker()
    for user in ("ann", "bob", "cleo"):
        traits = {"email": f"{user}@example.com", "points": 7, "country": "CH"}
        shop.send(identify(user, traits=traits), track("Order Completed", user, properties={"revenue": 10}))
    shop.send({"type": "unheard", "messageId": "quarantined"})
    process_all()
    Purpose.objects.filter(key="sms").update(needs_double_opt_in=True)
    ann = person("ann")
    for purpose in ("marketing_email", "personalisation"):
        decide("ann", purpose, Decision.GRANTED)
    now = datetime.now(UTC)
    record_decision(
        profile=ann,
        purpose=Purpose.objects.get(key="sms"),
        decision=Decision.GRANTED,
        method=Method.FORM,
        at=now,
        by=BY,
    )
    merge_profiles(survivor=person("bob"), absorbed=person("cleo"), by=BY, reason="tests")
    ConsentConflict.objects.create(
        profile_id=ann.pk, absorbed_id=ann.pk + 1, purpose_id=_pk(Purpose), theirs="granted", absorbed="denied"
    )
    segment = live("everybody", {"everyone": True})
    save_version(segment=segment, rule=rule({"trait": "points", "op": "gt", "value": 1}), by=BY)
    news = Purpose.objects.get(key="marketing_email")
    create_audience(name="News", key="news", segment=segment, purpose=news, by=BY)
    keep_all()
    create_persona(name="Regulars", group=group_of_segment(segment), by=BY)
    friends = create_list(name="Friends", key="friends", by=BY)
    add_people(static_list=friends, profile_ids=[ann.pk], by=BY)
    put_by_hand(segment=segment, profile=person("bob"), kind=ByHand.EXCLUDE, reason="staff", by=BY)
    people = io.BytesIO(b"user_id,note\nann,x\n")
    uploading.upload(static_list=friends, mode=UploadMode.APPEND, name="friends.csv", content=people, by=BY)
    for _ in range(2):
        publish_notice("newsletter", locale="de-CH", title=f"Titel {uuid4()}")
    rows = "\n".join([CSV_HEADING, f"user_id,ann,sms,denied,{YESTERDAY},"])
    files.upload(name="crm.csv", content=io.BytesIO(rows.encode()), creates_people=False, by=BY)
    asked = open_request(kind=RequestKind.ACCESS, came_by=CameBy.STAFF, by=BY, profile=ann)
    PrivacyTarget.objects.create(request=asked, position=1, key="profile", label="Profile")
    PrivacyExport.objects.create(
        request=asked, profile_uuid=ann.uuid, bytes=1, sha256="0" * 64, expires_at=now + timedelta(days=1)
    )
    set_rule(kind=Kind.EVENTS, by=BY, days=900, confirmation="delete")
    RetentionRun.objects.create(job_uuid=uuid4(), as_of=now)
    record.publish(by=BY)
    ExchangeRate.objects.create(currency="CHF", day=date(2026, 11, 1), rate=1, changed_at=now)
    made_clustering()
    Job.objects.create(kind="segments.refresh", params={"segment": segment.pk})
    complete_run()
    master = User.objects.create_superuser("master", "master@example.com", "not used")
    share_segment(segment=segment, user=master, by=BY)
    empty = {"variants": [{"name": "All", "when": None, "content": {"title": "Hello"}}], "default": None}
    create_slot(key="hero", name="Hero", document=empty, is_live=True, is_public=True, by=BY, user=master)
    key("segments:read")  # one that may be revoked
    User.objects.create_user("clerk", is_staff=True)
    Lockout.objects.create(kind="network", counter="tests", began_at=now, until=now + timedelta(minutes=5))
    caller = key(sees=[segment])
    _webhooks(news, master, caller.user)
    _exports(master)
    return World(master=master, caller=caller, ann=ann, write_key=shop.key)


def _webhooks(purpose: Purpose, *owners: User) -> None:
    """One of each owner's, which has sent something."""
    for owner in owners:
        hears = {"events": ["audience.entered"], "audiences": [Audience.objects.get(key="news")]}
        url = "https://hooks.example.com/cdp"
        made = create_webhook(url=url, purpose=purpose, user=owner, by=BY, **hears).webhook  # type: ignore[arg-type]
        send_test(webhook=made, by=BY)


def _exports(user: User) -> None:
    """One that waits, planned too, and where it goes."""
    # Nothing is connected to when it is tried: the operator allows no folders.
    place = Destination.objects.create(name="Files", place=Place.FOLDER, address={"path": "crm"}, created_by=user)
    wanted: dict[str, Any] = {
        "audience": Audience.objects.get(key="news"),
        "spec": Spec(destination=place),
        "by": BY,
        "user": user,
    }
    request_export(**wanted)
    create_schedule(name="Nightly", **wanted)


def _pk(model: type[Model]) -> Any:
    return model._default_manager.order_by("pk").values_list("pk", flat=True)[0]


# ---- What stands for each part of an address -------------------------------------------------------------------------

Parts = dict[str, Any]


class Unknown(LookupError):
    """Nobody has said what stands for a part of this address: say it in `tests.integration.hostile_world`."""


def _segment() -> Segment:
    return Segment.objects.get(key="everybody")


ADMIN_PARTS: dict[str, Callable[[World], list[Parts]]] = {
    "segments_segment_unshare": lambda world: [{"uuid": _segment().uuid, "pk": world.master.pk}],
    "segments_segment_unshare_group": lambda _: [{"uuid": _segment().uuid, "pk": Group.objects.get(name="admin").pk}],
    "segments_segment_publish": lambda _: [{"uuid": _segment().uuid, "number": 2}],
    "segments_segment_member": lambda world: [{"uuid": _segment().uuid, "person": world.ann.uuid}],
    "segments_segment_member_by_hand": lambda world: [{"uuid": _segment().uuid, "person": world.ann.uuid}],
    "segments_segment_members_upload": lambda _: [{"uuid": _segment().uuid, "kind": kind} for kind in ByHand],
    "webhooks_webhook_act": lambda _: [{"uuid": _one(Webhook).uuid, "act": act} for act in WEBHOOK_ACTS],
    "webhooks_webhook_replay": lambda _: [{"uuid": _one(Webhook).uuid, "event_id": _one(Delivery).event_id}],
    "exports_export_act": lambda _: [
        {"uuid": _one(Export).uuid, "act": act} for act in ("link", "cancel", "delete-file")
    ],
    "exports_schedule_act": lambda _: [{"uuid": _one(Schedule).uuid, "act": act} for act in ("on", "off", "delete")],
    "exports_destination_new": lambda _: [{"place": place} for place in Place],
    "exports_destination_act": lambda _: [{"uuid": _one(Destination).uuid, "act": act} for act in ("try", "delete")],
    "activation_audience_detail": lambda _: [{"key": "news"}],
    "activation_audience_settings": lambda _: [{"key": "news"}],
    "activation_audience_delete_one": lambda _: [{"key": "news"}],
    "segments_staticlist_detail": lambda _: [{"key": "friends"}],
    "segments_staticlist_settings": lambda _: [{"key": "friends"}],
    "segments_staticlist_delete_one": lambda _: [{"key": "friends"}],
    "segments_staticlist_remove": lambda world: [{"key": "friends", "person": world.ann.uuid}],
    "segments_listupload_new": lambda _: [{"key": "friends"}],
    "segments_clustering_accept": lambda _: [{"uuid": _one(Clustering).uuid, "number": 2}],
    "segments_clustering_decline": lambda _: [{"uuid": _one(Clustering).uuid, "number": 2}],
    "segments_clustering_rename": lambda _: [{"uuid": _one(Clustering).uuid, "run": 1, "number": 1}],
    "segments_clustering_segment": lambda _: [{"uuid": _one(Clustering).uuid, "number": 1}],
    "privacy_privacyrequest_file": lambda _: [{"uuid": _one(PrivacyRequest).uuid, "file": _one(PrivacyExport).file}],
    "privacy_privacyrequest_target": lambda _: [{"uuid": _one(PrivacyRequest).uuid, "position": 1}],
    "privacy_privacyrequest_act": lambda _: [{"uuid": _one(PrivacyRequest).uuid, "act": act} for act in ACTS],
    "profiles_profile_why": lambda world: [{"uuid": world.ann.uuid, "segment": _segment().uuid}],
    "profiles_profile_trait": lambda world: [{"uuid": world.ann.uuid, "pk": Trait.objects.get(key="points").pk}],
    "profiles_profile_undo_merge": lambda _: [{"uuid": person("bob").uuid, "pk": _pk(Merge)}],
    "consent_notice_version": lambda _: [
        {"key": "newsletter", "pk": NoticeVersion.objects.filter(notice__key="newsletter")[0].pk}
    ],
    "consent_notice_bytes": lambda _: [
        {"key": "newsletter", "pk": NoticeVersion.objects.filter(notice__key="newsletter")[0].pk}
    ],
    "accountability_retentionrule_purpose": lambda _: [{"pk": _pk(Purpose)}],
    "accountability_retentionrule_run": lambda _: [{"pk": _pk(RetentionRun)}],
    "accountability_publishedrecord_entry": lambda _: [{"pk": _pk(Purpose)}],
    "accountability_publishedrecord_now": lambda _: [{"form": "csv"}],
    "accountability_publishedrecord_version": lambda _: [{"number": 1}],
    "accountability_publishedrecord_taken": lambda _: [{"number": 1, "form": "csv"}],
    "consent_consentrecord_receipt": lambda _: [{"uuid": _one(ConsentRecord).uuid, "form": form} for form in Form],
    "consent_consentrecord_proof_at": lambda world: [{"profile_id": world.ann.pk, "purpose": "marketing_email"}],
    "auth_user_factors": lambda _: [{"pk": User.objects.get(username="clerk").pk}],
    "tracking_plan_file": lambda _: [{"form": "csv"}],
    "account_remove": lambda _: [{"pk": 1}],
    "lockout_lift": lambda _: [{"pk": _pk(Lockout)}],
    "auth_user_password_change": lambda world: [{"id": world.master.pk}],
    "ingestion_source_revoke_key": lambda _: [{"pk": _one(WriteKey).source_id, "key_pk": _pk(WriteKey)}],
    "content_slot_detail": lambda _: [{"uuid": _one(Slot).uuid}],
    "content_slot_preview": lambda _: [{"uuid": _one(Slot).uuid}],
    "content_slot_delete_one": lambda _: [{"uuid": _one(Slot).uuid}],
    "app_list": lambda _: [{"app_label": "consent"}],
}
API_PARTS: dict[str, Callable[[World], Any]] = {
    "segments/{key}": lambda _: "everybody",
    "audiences/{key}": lambda _: "news",
    "webhooks/{uuid}": lambda world: Webhook.objects.get(owner=world.caller.user).uuid,
    "traits/{key}": lambda _: "points",
    "events/{number}": lambda _: _pk(EventName),
    "exports/{uuid}": lambda _: _one(Export).uuid,
    "export-schedules/{uuid}": lambda _: _one(Schedule).uuid,
    "export-destinations/{uuid}": lambda _: _one(Destination).uuid,
    "hooks/{uuid}": lambda world: Webhook.objects.get(owner=world.caller.user).uuid,
    "deliveries/{event_id}": lambda world: Delivery.objects.get(webhook__owner=world.caller.user).event_id,
    "lists/{key}": lambda _: "friends",
    "slots/{key}": lambda _: "hero",
    "runs/{uuid}": lambda _: _one(RfmRun).uuid,
    "clusterings/{key}": lambda _: _one(Clustering).key,
    "runs/{number}": lambda _: 1,
    "clusters/{number}": lambda _: 1,
    "personas/{key}": lambda _: "regulars",
    "notices/{key}": lambda _: "banner",
    "{identifier}": lambda _: "user_id:ann",
    "members/{uuid}": lambda world: world.ann.uuid,
    "preview/{token}": lambda _: uuid4(),
    "versions/{before}": lambda _: 1,
    "diff/{after}": lambda _: 2,
    "versions/{number}": lambda _: 1,
    "privacy-requests/{uuid}": lambda _: _one(PrivacyRequest).uuid,
    "targets/{position}": lambda _: 1,
    "consents/{uuid}": lambda _: _one(ConsentRecord).uuid,
    "imports/{uuid}": lambda _: _one(ConsentImport).uuid,
    "jobs/{uuid}": lambda _: _one(Job).uuid,
    "keys/{prefix}": lambda world: ApiKey.objects.exclude(user=world.caller.user)[0].prefix,
    "access/{kind}": lambda _: "users",
    "{kind}/{name}": lambda world: world.master.username,
    "quarantine/{id}": lambda _: _pk(Quarantined),
}
"""By the end of the part before it and its own name."""

OWN_PARTS: dict[str, Callable[[World], Parts]] = {
    "preferences": lambda world: {"token": token(LinkKind.PREFERENCES, world.ann.uuid)},
    "ask": lambda world: {"token": token(LinkKind.PREFERENCES, world.ann.uuid)},
    "prove": lambda _: {"token": token(LinkKind.IDENTITY, _one(PrivacyRequest).uuid)},
    "confirm": lambda _: {"token": token(LinkKind.CONFIRMATION, _one(Confirmation).pk)},
    "unsubscribe": lambda world: {"token": token(LinkKind.UNSUBSCRIBE, world.ann.uuid, "marketing_email")},
}


def _one(model: type[Any]) -> Any:
    return model._default_manager.order_by("pk")[0]


def admin_parts(world: World, name: str, wanted: set[str]) -> list[Parts]:
    """What an address of the console with this name is opened with: once, or once for each of what it may be."""
    if not wanted:
        return [{}]
    if name in ADMIN_PARTS:
        return ADMIN_PARTS[name](world)
    label, _, rest = name.partition("_")
    models = [
        model
        for model in apps.get_models()
        if model._meta.app_label == label and rest.startswith(f"{model._meta.model_name}_")
    ]
    if len(models) != 1 or len(wanted) != 1:
        raise Unknown(f"{name} with {sorted(wanted)}")
    (part,) = wanted
    first = models[0]._default_manager.order_by("pk").first()
    if first is None:
        raise Unknown(f"{name}: there is no {models[0]._meta.verbose_name}")
    if part == "key":
        return [{"key": "newsletter"}]
    return [{part: quote(first.pk) if part == "object_id" else getattr(first, part)}]


def api_part(world: World, template: str, name: str) -> str:
    """What stands for a part of a template such as /api/v1/segments/{key}/."""
    before = template.partition("{" + name + "}")[0].rstrip("/").rpartition("/")[2]
    made = API_PARTS.get(f"{before}/{{{name}}}") or API_PARTS.get(f"{{{name}}}")
    if made is None:
        raise Unknown(f"{{{name}}} in {template}")
    return str(made(world))


def addresses(prefix: str = "") -> Iterator[tuple[str, str, set[str]]]:
    """(Path as declared, name, names of its parts) of every address."""

    def walk(resolver: URLResolver, path: str) -> Iterator[tuple[str, str, set[str]]]:
        for one in resolver.url_patterns:
            longer = path + str(one.pattern)
            if isinstance(one, URLResolver):
                yield from walk(one, longer)
            elif isinstance(one, URLPattern):
                yield longer, one.name or "", set(one.pattern.converters) or set(one.pattern.regex.groupindex)

    return (one for one in walk(get_resolver(), "") if one[0].startswith(prefix))
