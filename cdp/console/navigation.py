"""The sidebar: which screens exist, in which order, and which of them this reader may open.

A screen appears here once its address exists; figures beside an entry are what waits for somebody.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from django.urls import reverse

from cdp.console import tracking_plan
from cdp.ingestion.models import Quarantined
from cdp.jobs.models import Job
from cdp.log_in import administering
from cdp.privacy.querysets import open_requests
from cdp.profiles.models import Workspace
from consent.models import ConsentConflict
from segments.sharing import sees_segments


@dataclass(frozen=True, kw_only=True)
class Screen:
    """An entry as declared: where it leads, and what opens it: a permission, or more than one permission can say."""

    label: str
    icon: str
    view: str
    permission: str = ""
    opens: Callable[[AbstractBaseUser], bool] | None = None
    waiting: Callable[[], int] | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry as shown to one reader."""

    label: str
    icon: str
    url: str
    is_current: bool
    waiting: int


@dataclass(frozen=True, kw_only=True)
class Group:
    label: str
    entries: list[Entry]


@dataclass(frozen=True, kw_only=True)
class Shell:
    """What the frame around every screen says: whose data, who is reading, where one can go."""

    name: str
    is_simulated: bool
    time_zone: str
    currency: str
    role: str
    nav: list[Group]
    people_url: str


SCREENS: dict[str, tuple[Screen, ...]] = {
    "": (Screen(label="Home", icon="home", view="admin:index"),),
    "Segments": (
        Screen(
            label="Segments",
            icon="segments",
            view="admin:segments_segment_changelist",
            opens=sees_segments,
        ),
        Screen(
            label="Lists",
            icon="users",
            view="admin:segments_staticlist_changelist",
            permission="segments.view_staticlist",
        ),
        Screen(
            label="Personas",
            icon="person",
            view="admin:segments_persona_changelist",
            permission="segments.view_persona",
        ),
    ),
    "Activation": (
        Screen(label="Content", icon="text", view="admin:content_slot_changelist", permission="content.view_slot"),
        Screen(
            label="Audiences",
            icon="target",
            view="admin:activation_audience_changelist",
            permission="activation.view_audience",
        ),
        Screen(
            label="Exports",
            icon="download",
            view="admin:exports_export_changelist",
            permission="exports.view_export",
        ),
        Screen(
            label="Webhooks",
            icon="bolt",
            view="admin:webhooks_webhook_changelist",
            permission="webhooks.view_webhook",
        ),
    ),
    "Analyses": (
        Screen(label="RFM", icon="grid", view="admin:segments_rfmrun_changelist", permission="segments.view_rfmrun"),
        Screen(
            label="Clusters",
            icon="group",
            view="admin:segments_clustering_changelist",
            permission="segments.view_clustering",
        ),
    ),
    "People": (
        Screen(
            label="People", icon="users", view="admin:profiles_profile_changelist", permission="profiles.view_profile"
        ),
    ),
    "Compliance": (
        Screen(
            label="Privacy requests",
            icon="shield",
            view="admin:privacy_privacyrequest_changelist",
            permission="privacy.view_privacyrequest",
            waiting=lambda: open_requests().count(),
        ),
        Screen(
            label="Consent trail",
            icon="shieldcheck",
            view="admin:consent_consentrecord_changelist",
            permission="consent.view_consentrecord",
        ),
        Screen(
            label="Imports",
            icon="file",
            view="admin:collecting_consentimport_changelist",
            permission="consent.view_consentrecord",
        ),
        Screen(
            label="Consent conflicts",
            icon="merge",
            view="admin:consent_consentconflict_changelist",
            permission="consent.view_consentconflict",
            waiting=lambda: ConsentConflict.objects.filter(settled_at__isnull=True).count(),
        ),
        Screen(label="Consent rates", icon="bars", view="admin:consent_rates", permission="consent.view_notice"),
        Screen(label="Notices", icon="text", view="admin:consent_notice_changelist", permission="consent.view_notice"),
        Screen(
            label="Purposes", icon="target", view="admin:consent_purpose_changelist", permission="consent.view_purpose"
        ),
        Screen(
            label="Retention",
            icon="clock",
            view="admin:accountability_retentionrule_changelist",
            permission="accountability.view_retentionrule",
        ),
        Screen(
            label="Record of processing",
            icon="file",
            view="admin:accountability_publishedrecord_changelist",
            permission="accountability.view_publishedrecord",
        ),
        Screen(label="Breach", icon="shield", view="admin:breach", permission="accountability.investigate_breach"),
        Screen(
            label="Audit", icon="audit", view="admin:audit_auditentry_changelist", permission="audit.view_auditentry"
        ),
    ),
    "Data": (
        Screen(
            label="Sources", icon="data", view="admin:ingestion_source_changelist", permission="ingestion.view_source"
        ),
        Screen(label="Health", icon="gauge", view="admin:health", permission="heartbeats.view_heartbeat"),
        Screen(label="Tracking plan", icon="list", view="admin:tracking_plan", permission=tracking_plan.PERMISSION),
        Screen(label="Traits", icon="tag", view="admin:profiles_trait_changelist", permission="profiles.view_trait"),
        Screen(
            label="Events",
            icon="bolt",
            view="admin:profiles_eventname_changelist",
            permission="profiles.view_eventname",
        ),
        Screen(
            label="Quarantine",
            icon="stop",
            view="admin:ingestion_quarantined_changelist",
            permission="ingestion.view_quarantined",
            waiting=lambda: Quarantined.objects.open().count(),
        ),
        Screen(
            label="Jobs",
            icon="jobs",
            view="admin:jobs_job_changelist",
            permission="jobs.view_job",
            waiting=lambda: Job.objects.unfinished().count(),
        ),
    ),
    "Settings": (
        Screen(
            label="Exchange rates",
            icon="data",
            view="admin:profiles_exchangerate_changelist",
            permission="profiles.view_exchangerate",
        ),
        Screen(label="API keys", icon="key", view="admin:rest_apikey_changelist", permission="rest.view_apikey"),
        Screen(label="Users", icon="person", view="admin:auth_user_changelist", permission="auth.view_user"),
        Screen(
            label="Lockouts",
            icon="lock",
            view="admin:lockouts",
            permission=administering.MAY,
            waiting=administering.held_now,
        ),
        Screen(label="Groups", icon="lock", view="admin:auth_group_changelist", permission="auth.view_group"),
        Screen(
            label="Workspace",
            icon="cog",
            view="admin:profiles_workspace_changelist",
            permission="profiles.view_workspace",
        ),
    ),
}


def _may_open(request: HttpRequest, screen: Screen) -> bool:
    user = request.user
    if not (user.is_active and user.is_staff):
        return False
    if screen.opens:
        return screen.opens(user)
    return not screen.permission or user.has_perm(screen.permission)


def _entry(request: HttpRequest, screen: Screen) -> Entry:
    url = reverse(screen.view)
    home = reverse("admin:index")
    is_current = request.path == url or (url != home and request.path.startswith(url))
    return Entry(
        label=screen.label,
        icon=screen.icon,
        url=url,
        is_current=is_current,
        waiting=screen.waiting() if screen.waiting else 0,
    )


def shell_for(request: HttpRequest | None) -> Shell:
    """The frame for this reader; without navigation for somebody who has not logged in."""
    workspace = Workspace.current()
    user = getattr(request, "user", None)
    nav: list[Group] = []
    people_url = ""
    role = ""
    if request is not None and user is not None and user.is_authenticated:
        for label, screens in SCREENS.items():
            entries = [_entry(request, screen) for screen in screens if _may_open(request, screen)]
            if entries:
                nav.append(Group(label=label, entries=entries))
        if user.is_staff and user.has_perm("profiles.view_profile"):
            people_url = reverse("admin:profiles_profile_changelist")
        role = (
            "Superuser" if user.is_superuser else ", ".join(g.name.capitalize() for g in user.groups.all()) or "No role"
        )
    return Shell(
        name=workspace.name,
        is_simulated=workspace.is_simulated,
        time_zone=workspace.time_zone,
        currency=workspace.reporting_currency,
        role=role,
        nav=nav,
        people_url=people_url,
    )
