"""Destinations: making, changing, trying and deleting them. Their secrets are sealed, and never shown again."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError, DomainErrors
from cdp.exports import models
from cdp.exports.models import Destination
from cdp.exports.places import FolderPlace, HttpPlace, Place, PlaceError, S3Place, SftpPlace
from cdp.exports.places.place import checked_prefix
from cdp.exports.places.s3 import BUCKET, REGION
from cdp.exports.places.sftp import SSH, checked_path, parsed_host_key, parsed_private_key
from cdp.outbound import Refused, check_host, checked_url
from cdp.vault.own import open_own, seal_own

METHODS: Final = ("PUT", "POST")
LONGEST: Final = 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Something that a kind of place asks for: how it is called, what it is, and whether it can be left out or must stay secret."""

    name: str
    label: str
    help: str = ""
    is_needed: bool = True
    is_secret: bool = False
    usual: str = ""


PARTS: Final[dict[str, tuple[Part, ...]]] = {
    models.Place.S3: (
        Part(name="endpoint", label="Address of the store", help="Empty for Amazon's own.", is_needed=False),
        Part(name="region", label="Region", usual="us-east-1"),
        Part(name="bucket", label="Bucket"),
        Part(name="prefix", label="Path within the bucket", is_needed=False),
        Part(name="access_key", label="Access key"),
        Part(name="secret_key", label="Secret key", is_secret=True),
    ),
    models.Place.SFTP: (
        Part(name="host", label="Server", help="A name as files.example.com"),
        Part(name="port", label="Port", usual="22"),
        Part(name="username", label="User name"),
        Part(name="path", label="Folder", help="As its user sees it. Empty: where a log-in leads.", is_needed=False),
        Part(name="host_key", label="Host key", help="As “ssh-ed25519 AAAA…”. With another key nothing is sent."),
        Part(name="password", label="Password", is_needed=False, is_secret=True, help="Or a private key."),
        Part(name="private_key", label="Private key", is_needed=False, is_secret=True, help="Ed25519, ECDSA or RSA, without a passphrase."),
    ),
    models.Place.HTTP: (
        Part(name="url", label="Address", help="https, and on the internet. With PUT the file's name is put at its end."),
        Part(name="method", label="Method", usual="PUT", help="PUT or POST."),
        Part(name="token", label="Bearer token", is_needed=False, is_secret=True),
    ),
    models.Place.FOLDER: (
        Part(name="path", label="Folder", help="Below the one that the platform's operator set for exports."),
    ),
}  # fmt: skip


@transaction.atomic
def create_destination(
    *, name: str, place: str, values: Mapping[str, str], by: Actor, user: User | None = None
) -> Destination:
    """A destination, which nobody has tried yet.

    Args:
        values: by the names of the `PARTS` of this kind of place, secrets among them.

    Raises:
        DomainErrors: each thing that can't be so.
        Conflict: there is one of this name.
        cdp.vault.ring.VaultUnusable: no secret can be sealed.
    """
    if place not in PARTS:
        raise DomainError("place_unknown", f"place must be one of {', '.join(PARTS)}.", "/place")
    destination = Destination(name=_named(name), place=place, created_by=user)
    _set(destination, values)
    try:
        with transaction.atomic():
            destination.save(force_insert=True)
    except IntegrityError:
        raise Conflict("destination_exists", "There is a destination of this name.", "/name") from None
    record(by=by, action="export_destination.created", object=destination, detail=_told(destination))
    return destination


@transaction.atomic
def change_destination(
    *, destination: Destination, by: Actor, name: str | None = None, values: Mapping[str, str] | None = None
) -> Destination:
    """The destination, changed. What isn't named stays; a secret must be given anew where it leads
    elsewhere: it was given for that address.

    Raises:
        DomainErrors: each thing that can't be so.
        Conflict: there is one of this name.
        cdp.vault.ring.VaultUnusable: no secret can be opened or sealed.
    """
    destination = Destination.objects.select_for_update().get(pk=destination.pk)
    before = _told(destination)
    if name is not None:
        destination.name = _named(name)
    has_new_secret = False
    if values is not None:
        secrets = _secrets(destination)
        merged = {
            **destination.address,
            **secrets,
            **{key: value for key, value in values.items() if value or key not in secrets},
        }
        has_new_secret = any(values.get(key) for key in _secret_names(destination.place))
        if _leads_elsewhere(destination.address, merged) and secrets and not has_new_secret:
            raise DomainError(
                "secret_missing", "Give the secret anew: the one there is was for another address.", "/values"
            )
        _set(destination, merged)
        destination.tried_at, destination.failure = None, ""
    try:
        with transaction.atomic():
            destination.save()
    except IntegrityError:
        raise Conflict("destination_exists", "There is a destination of this name.", "/name") from None
    after = _told(destination)
    changed = {key: [before.get(key), after.get(key)] for key in after if before.get(key) != after.get(key)}
    if changed or has_new_secret:
        detail = {**changed, "new_secret": has_new_secret}
        record(by=by, action="export_destination.changed", object=destination, detail=detail)
    return destination


@transaction.atomic
def delete_destination(*, destination: Destination, by: Actor) -> None:
    """
    Raises:
        Conflict: schedules or exports go there.
    """
    record(by=by, action="export_destination.deleted", object=destination, detail=_told(destination))
    try:
        with transaction.atomic():
            models.Export.objects.filter(destination=destination, finished_at__isnull=False).update(destination=None)
            destination.delete()
    except ProtectedError:
        raise Conflict(
            "destination_in_use", "Schedules or exports that aren't finished go there; see to them first."
        ) from None


def try_destination(*, destination: Destination, by: Actor) -> str:
    """What went wrong when a small file was put there, in a sentence; empty if nothing did."""
    failure = ""
    try:
        place_of(destination).check()
    except PlaceError as error:
        failure = error.detail
    except Refused as error:
        failure = error.message
    with transaction.atomic():
        Destination.objects.filter(pk=destination.pk).update(tried_at=timezone.now(), failure=failure[:200])
        record(by=by, action="export_destination.tried", object=destination, detail={"failure": failure})
    return failure


def place_of(destination: Destination) -> Place:
    """Where it leads, with its secrets.

    Raises:
        cdp.vault.ring.VaultUnusable: they can't be opened.
        PlaceError: the operator allows no folders any more.
    """
    values = {**destination.address, **_secrets(destination)}
    match destination.place:
        case models.Place.S3:
            return S3Place(**values)
        case models.Place.SFTP:
            return SftpPlace(**{**values, "port": int(values["port"])})
        case models.Place.HTTP:
            return HttpPlace(**values)
        case _:
            if not settings.EXPORT_FOLDERS:
                raise PlaceError("not_allowed", "The operator allows no folders on this machine (CDP_EXPORT_FOLDERS).")
            return FolderPlace(root=Path(settings.EXPORT_FOLDERS), path=values["path"])


def has_secret(destination: Destination) -> bool:
    return bool(destination.sealed)


# ---- What they are asked for ---------------------------------------------------------------------------------------


def _named(name: str) -> str:
    if not name.strip() or len(name) > 100:
        raise DomainError("name_missing", "A destination needs a name of 100 characters at most.", "/name")
    return name.strip()


def _secret_names(place: str) -> list[str]:
    return [part.name for part in PARTS[place] if part.is_secret]


def _secrets(destination: Destination) -> dict[str, str]:
    if not destination.sealed:
        return {}
    found: dict[str, str] = json.loads(open_own(bytes(destination.sealed), row=destination.uuid))
    return found


def _leads_elsewhere(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return any(
        before.get(one) != after.get(one) for one in ("endpoint", "host", "port", "url", "host_key") if one in after
    )


def _set(destination: Destination, values: Mapping[str, str]) -> None:
    parts = PARTS[destination.place]
    errors: list[DomainError] = [
        DomainError(
            "part_unknown",
            f"There is no such thing to say of a place like this; there is {', '.join(p.name for p in parts)}.",
            f"/values/{name}",
        )
        for name in values
        if name not in {one.name for one in parts}
    ]
    given = {one.name: str(values.get(one.name) or one.usual).strip() for one in parts}
    for one in parts:
        if one.is_needed and not given[one.name]:
            errors.append(DomainError("part_missing", f"{one.label} is missing.", f"/values/{one.name}"))
        elif len(given[one.name]) > LONGEST or (not one.is_secret and any(ord(c) < 32 for c in given[one.name])):
            errors.append(DomainError("part_malformed", f"{one.label} can't be this.", f"/values/{one.name}"))
    if not errors:
        try:
            CHECKS[destination.place](given)
        except DomainError as error:
            pointer = error.pointer if error.pointer.startswith("/values") else f"/values{error.pointer}"
            errors.append(DomainError(error.code, error.message, pointer))
    if errors:
        raise DomainErrors(errors)
    secret = {name: given.pop(name) for name in _secret_names(destination.place)}
    secret = {name: value for name, value in secret.items() if value}
    destination.address = given
    destination.sealed = seal_own(json.dumps(secret).encode(), row=destination.uuid) if secret else b""


def _check_s3(given: dict[str, str]) -> None:
    if given["endpoint"]:
        parts = checked_url(given["endpoint"], pointer="/endpoint")
        if parts.query or parts.path.strip("/"):
            raise DomainError(
                "endpoint_with_path",
                "The store's address ends with its name; the bucket has a field of its own.",
                "/endpoint",
            )
    if not REGION.fullmatch(given["region"]):
        raise DomainError("region_malformed", "A region is a word like eu-central-1.", "/region")
    if not BUCKET.fullmatch(given["bucket"]) or ".." in given["bucket"]:
        raise DomainError(
            "bucket_malformed", "A bucket's name has small letters, digits, hyphens and full stops.", "/bucket"
        )
    given["prefix"] = checked_prefix(given["prefix"], pointer="/prefix")


def _check_sftp(given: dict[str, str]) -> None:
    if not given["port"].isdigit() or not 0 < int(given["port"]) < 65536:
        raise DomainError("port_malformed", "A port is a number from 1 to 65535.", "/port")
    check_host(given["host"], int(given["port"]), own_port=SSH, pointer="/host")
    parsed_host_key(given["host_key"])
    given["path"] = checked_path(given["path"])
    if not given["password"] and not given["private_key"]:
        raise DomainError("secret_missing", "A password or a private key is needed.", "/password")
    if given["private_key"]:
        given["private_key"] += "\n"
        parsed_private_key(given["private_key"])


def _check_http(given: dict[str, str]) -> None:
    checked_url(given["url"], pointer="/url")
    given["method"] = given["method"].upper()
    if given["method"] not in METHODS:
        raise DomainError("method_unknown", "The method is PUT or POST.", "/method")
    if not given["token"].isascii() or any(ord(c) <= 32 for c in given["token"]):
        raise DomainError("token_malformed", "A token is ASCII, without spaces.", "/token")


def _check_folder(given: dict[str, str]) -> None:
    if not settings.EXPORT_FOLDERS:
        raise DomainError(
            "folders_off", "The platform's operator allows no folders on this machine (CDP_EXPORT_FOLDERS).", "/path"
        )
    given["path"] = checked_prefix(given["path"], pointer="/path")


CHECKS: Final[dict[str, Callable[[dict[str, str]], None]]] = {
    models.Place.S3: _check_s3,
    models.Place.SFTP: _check_sftp,
    models.Place.HTTP: _check_http,
    models.Place.FOLDER: _check_folder,
}


def _told(destination: Destination) -> dict[str, Any]:
    """For the audit log: where it leads, and no secret."""
    return {"name": destination.name, "place": destination.place, **destination.address}
