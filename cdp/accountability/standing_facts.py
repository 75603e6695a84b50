"""Facts of the platform that the record of processing states: read from settings and tables, never entered.

What only people can say is entered (`cdp.accountability.models.Controller`).
"""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db.models import Count, Q

from cdp.accountability.models import RetentionRule
from cdp.audit.anchors import configured
from cdp.audit.models import Head
from cdp.profiles.models import Trait
from cdp.rest.models import ApiKey


def fixed_periods() -> list[tuple[str, str]]:
    """What no rule is about, and how long it is kept: by its nature, or by a setting."""
    return [
        ("Sessions, order lines, net revenue, totals", "as long as the events they follow from"),
        ("Profiles and their identifiers", "until the person is erased"),
        (
            "Consent records, and which words were shown when",
            "for ever, as evidence: the database refuses to delete them",
        ),
        (
            "When processing was restricted or objected to",
            "for ever, as evidence; once the person is erased, by a number",
        ),
        ("What a device last said by a signal", "as long as the identifier that the device is known by"),
        ("Audit log", "for ever: the database refuses to delete entries"),
        ("Who came into and left segments", "for ever, or until the segment is deleted"),
        (
            "Figures of traits and events: counts, percentiles, values that five people have",
            "until they are taken anew, each night",
        ),
        ("Requests that wait to be processed", "until they are processed, usually for less than a second"),
        ("Uploaded files of decisions", f"until they are applied, for {settings.IMPORT_DAYS} days at most"),
        ("Uploaded files of people for lists", f"until they are applied, for {settings.IMPORT_DAYS} days at most"),
        ("Hashes by which repeated messages are known", f"{settings.SEEN_MESSAGE_DAYS} days"),
        ("Jobs that are finished", f"{settings.JOB_DAYS} days"),
        ("Rows of files with consent", "until they are applied or the file is discarded"),
        ("Files made for people who ask for their data", f"{settings.PRIVACY_EXPORT_DAYS} days"),
        ("Other exports", "not at all: they are given to whoever asks, and no copy is kept"),
    ]


def measures() -> list[dict[str, Any]]:
    """What the platform does by itself to protect data, and whether it does here."""
    personal, traits = Trait.objects.filter(is_pii=True).count(), Trait.objects.count()
    keys = ApiKey.objects.filter(revoked_at__isnull=True)
    endless = keys.filter(expires_at__isnull=True).count()
    anchors = [kind.label.lower() for kind in configured()]
    staff = Count("user", filter=Q(user__is_active=True, user__is_staff=True))
    roles = ", ".join(
        f"{group.name} ({group.people})"  # type: ignore[attr-defined]  # annotated
        for group in Group.objects.annotate(people=staff).order_by("name")
    )
    rules = RetentionRule.objects.count()
    supers = User.objects.filter(is_superuser=True, is_active=True).count()
    is_signed = bool(settings.AUDIT_KEY) and Head.objects.filter(signed_at__isnull=False).exists()
    return [
        _said("People are read for a named purpose only, and only who permits it", True),
        _said("Each read of people, and each change, is in an audit log that the platform can't change", True),
        _said("The audit log is sealed in a signed tree of hashes", is_signed),
        _said(
            f"Its checkpoints are anchored elsewhere{': by ' + ' and '.join(anchors) if anchors else ''}", bool(anchors)
        ),
        _said("Consent records can be neither changed nor deleted", True),
        _said(
            f"Personal data is masked until it is revealed: {personal} of {traits} traits are marked as personal",
            personal > 0,
        ),
        _said("The platform's database role may change no table, and append-only ones it can only add to", True),
        _said("Another log-in than the platform's owns the database", not settings.ONE_LOGIN_FOR_BOTH_ROLES),
        _said("Connections are encrypted (TLS), and cookies sent over nothing else", settings.BEHIND_TLS),
        _said("Passwords have at least 12 characters, and log-ins that fail are slowed down", True),
        _said(f"What staff may do follows from roles; people in each: {roles}", True),
        _said(f"Nobody is beyond roles; superusers: {supers}", supers == 0),
        _said("Keys of systems are kept as hashes, with scopes of their own", True),
        _said(f"Each key has an end; without one: {endless}", endless == 0),
        _said(f"Data that is over is deleted every night; rules that say what is: {rules}", rules > 0),
        _said("Logs of the platform hold no personal data", True),
    ]


def _said(text: str, holds: bool) -> dict[str, Any]:
    return {"measure": text, "in_place": holds}
