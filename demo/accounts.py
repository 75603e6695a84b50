"""Who may come in to the demo: three people, a write key per source, an API key; and the file that says so.

Passwords and keys are random and kept nowhere else; a lost file is made anew, with new secrets.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction

from cdp.audit.services import record
from cdp.ingestion.keys import create_source, create_write_key, revoke_write_key, sender_of
from cdp.ingestion.models import Source, SourceKind
from cdp.rest.models import ApiKey, Scope, digest
from cdp.rest.services import create_api_key, revoke_api_key
from demo.catalogue import SHOP_NAME, SHOP_URL
from demo.loading import LOADER
from demo.world import BACKEND, BROWSER

ROLES: Final = ("marketer", "compliance", "admin")
API_KEY_NAME: Final = "Demo scripts"
SOURCES: Final = {
    BROWSER: (f"{SHOP_NAME} website", SourceKind.BROWSER),
    BACKEND: (f"{SHOP_NAME} backend", SourceKind.SERVER),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What `credentials.json` says, with the keys by source for the load itself."""

    credentials: dict[str, Any]
    write_keys: dict[str, str]
    api_key: ApiKey


def open_access(*, path: Path, url: str) -> Access:
    """The log-ins and keys of the file as far as they still work, others made anew; the file is written."""
    known = _read(path)
    with transaction.atomic():
        users = {role: _user(role, known.get("users", {}).get(role, {})) for role in ROLES}
        browser_key = _browser_key(url)
        server_key = _server_key(known.get("write_key", ""))
        api_key, secret = _api_key(known.get("api_key", ""))
    credentials = {"url": url, "users": users, "write_key": server_key, "api_key": secret}
    _write(path, credentials)
    return Access(credentials=credentials, write_keys={BROWSER: browser_key, BACKEND: server_key}, api_key=api_key)


def _user(role: str, known: dict[str, str]) -> dict[str, str]:
    users = get_user_model().objects
    user = users.filter(username=role).first()
    if user is not None and user.check_password(known.get("password", "")):
        return {"username": role, "password": known["password"]}
    password = secrets.token_urlsafe(12)
    if user is None:
        user = users.create_user(username=role, email=f"{role}@shop.example.com", is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        record(by=LOADER, action="user.created", object=user, detail={"groups": [role]})
    user.set_password(password)
    user.save(update_fields=["password"])
    record(by=LOADER, action="user.password_set", object=user)
    return {"username": role, "password": password}


def _source(which: str) -> Source:
    name, kind = SOURCES[which]
    return Source.objects.filter(name=name).first() or create_source(
        name=name, kind=kind, by=LOADER, allowed_origins=(SHOP_URL,) if kind == SourceKind.BROWSER else ()
    )


def _browser_key(url: str) -> str:
    source = _source(BROWSER)
    if url not in source.allowed_origins:
        source.allowed_origins = [SHOP_URL, url]
        source.save(update_fields=["allowed_origins"])
    key = source.write_keys.filter(revoked_at__isnull=True).first()
    return key.public_value if key else create_write_key(source=source, by=LOADER)[1]


def _server_key(known: str) -> str:
    source = _source(BACKEND)
    sender = sender_of(known) if known else None
    if sender is not None and sender.source_id == source.pk:
        return known
    for lost in source.write_keys.filter(revoked_at__isnull=True):
        revoke_write_key(key=lost, by=LOADER)
    return create_write_key(source=source, by=LOADER)[1]


def _api_key(known: str) -> tuple[ApiKey, str]:
    key = ApiKey.objects.filter(digest=digest(known)).first() if known else None
    if key is not None and key.is_usable and set(Scope.values) <= set(key.scopes):
        return key, known
    for lost in ApiKey.objects.filter(name=API_KEY_NAME, revoked_at__isnull=True):
        revoke_api_key(key=lost, by=LOADER)
    return create_api_key(name=API_KEY_NAME, scopes=Scope.values, all_purposes=True, by=LOADER)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, credentials: dict[str, Any]) -> None:
    """In one step, and never readable to others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(credentials, file, indent=2)
        file.write("\n")
    part.replace(path)
