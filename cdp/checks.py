"""Start-up checks about the database: its version, its roles, and the keys that go with it. They speak loudly; they change nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections

from cdp.vault.ring import VaultUnusable, load_ring

OLDEST_SERVER, NEW_ENOUGH_FOR_LIMITS = 15, 17


@register(Tags.database)
def server_is_new_enough(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """An error when the server is too old; a warning when it can't hold transactions to a limit, on which sweeps rely."""
    if not databases or "default" not in databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int")
        version = cursor.fetchone()[0]
    if version >= NEW_ENOUGH_FOR_LIMITS * 10_000:
        return []
    if version < OLDEST_SERVER * 10_000:
        message = f"PostgreSQL {OLDEST_SERVER} or newer is needed; this server is {version // 10_000}."
        return [Error(message, hint="Name a newer server in DATABASE_URL.", id="cdp.E002")]
    return [
        Warning(
            f"PostgreSQL {version // 10_000} can't end a whole transaction that takes too long.",
            hint=f"A batch that takes over CDP_BATCH_SECONDS in all could be missed by a sweep until the nightly comparison. "
            f"PostgreSQL {NEW_ENOUGH_FOR_LIMITS} or newer holds it to the limit.",
            id="cdp.W002",
        )
    ]


@register(Tags.database)
def app_runs_as_the_app_role(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warnings when the app could do what only migrations may."""
    if not databases or "default" not in databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, current_user, pg_has_role(current_user, pg_get_userbyid(d.datdba), 'MEMBER')"
            "  FROM pg_roles, pg_database d WHERE rolname = current_user AND d.datname = current_database()"
        )
        is_superuser, role, is_owner = cursor.fetchone()
    found: list[CheckMessage] = []
    if is_superuser or is_owner:
        found.append(
            Error(
                f"The app is connected as {role!r}, which owns the database or is a superuser: "
                "append-only tables are not protected from it.",
                hint="Set DATABASE_URL to the app's login and DATABASE_OWNER_URL to the owner's.",
                id="cdp.E001",
            )
        )
    elif settings.ONE_LOGIN_FOR_BOTH_ROLES:
        found.append(
            Warning(
                f"One login serves both roles; the app steps down to {role!r} after log-in but could step back up.",
                hint="Set DATABASE_OWNER_URL too, so that the app's login cannot change append-only tables.",
                id="cdp.W001",
            )
        )
    return found


@register(Tags.database)
def audit_log_is_signed(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warnings when the audit log proves less than it could."""
    if not databases or "default" not in databases:
        return []
    found: list[CheckMessage] = []
    if not settings.AUDIT_KEY:
        found.append(
            Warning(
                "Nothing signs the audit log: entries wait, and a change of them can't be proved.",
                hint="Make a key with `manage.py audit_key --new FILE`, name it in CDP_AUDIT_KEY, run `manage.py sequence_audit`.",
                id="cdp.W003",
            )
        )
    elif not (settings.AUDIT_ANCHOR_DIR or settings.AUDIT_ANCHOR_EMAILS or settings.AUDIT_TSA_URL):
        found.append(
            Warning(
                "Checkpoints of the audit log are kept in the database alone: its owner could put back an old copy.",
                hint="Name a directory on another mount in CDP_AUDIT_ANCHORS, or mailboxes in CDP_AUDIT_ANCHOR_EMAILS.",
                id="cdp.W004",
            )
        )
    if settings.AUDIT_TSA_URL and not Path(settings.AUDIT_TSA_CERTS or ".").is_file():
        found.append(
            Error(
                "Time stamps can't be checked: there is no file of the authority's certificates.",
                hint="Name a PEM file in CDP_AUDIT_TSA_CERTS: its root, and intermediates it doesn't send along.",
                id="cdp.E003",
            )
        )
    return found


@register(Tags.database)
def vault_has_its_keys(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Says so when nothing about a person can be sealed, nor anybody be erased for good."""
    if not databases or "default" not in databases:
        return []
    hint = "Make keys with `manage.py vault_key --new FILE`, keep a copy, and name the file in CDP_VAULT_KEY_FILE."
    if not settings.VAULT_KEY_FILE:
        message = "The vault has no keys: what is to be sealed for a person is refused, and so is erasing somebody."
        return [Warning(message, hint=hint, id="cdp.W005")]
    try:
        load_ring(Path(settings.VAULT_KEY_FILE))
    except VaultUnusable as error:
        return [Error(str(error), hint=hint, id="cdp.E003")]
    return []
