"""Second factors: which somebody has, adding, checking and removing them; each is on record. Screens are in `cdp.log_in.screens`.

The arithmetic of codes and passkeys is django-allauth's; its own log-in, sign-up and screens aren't used.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any, Final

from allauth.core.context import request_context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret, validate_totp_code
from allauth.mfa.webauthn.internal import auth as webauthn
from cryptography.exceptions import InvalidSignature
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from fido2.attestation.base import InvalidAttestation
from redis.exceptions import ConnectionError, TimeoutError

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError

Type = Authenticator.Type
SECRET = "log_in.totp_secret"  # noqa: S105  (the name of a place in the session)
NAME_LENGTH = 60
# What reading a browser's answer can come to when it isn't one, and what a signature does that isn't theirs.
UNREADABLE: Final = (
    ValidationError, ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, InvalidSignature,
    InvalidAttestation,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Held:
    """What somebody can show besides their password."""

    totp: Authenticator | None
    passkeys: tuple[Authenticator, ...]
    codes: Authenticator | None
    codes_left: int

    @property
    def is_any(self) -> bool:
        return self.totp is not None or bool(self.passkeys)


def has_factor(user: Any) -> bool:
    """Whether a second factor is asked for at their log-in. Recovery codes alone are none: they come with a factor."""
    return Authenticator.objects.filter(user_id=user.pk, type__in=[Type.TOTP, Type.WEBAUTHN]).exists()


def held_by(user: User) -> Held:
    rows = list(Authenticator.objects.filter(user=user).order_by("created_at", "pk"))
    codes = next((one for one in rows if one.type == Type.RECOVERY_CODES), None)
    return Held(
        totp=next((one for one in rows if one.type == Type.TOTP), None),
        passkeys=tuple(one for one in rows if one.type == Type.WEBAUTHN),
        codes=codes,
        codes_left=len(RecoveryCodes(codes).get_unused_codes()) if codes else 0,
    )


# ---- Adding ----------------------------------------------------------------------------------------------------


def totp_secret(request: HttpRequest) -> str:
    """The secret that waits in the session until a first code shows that it arrived."""
    if not request.session.get(SECRET):
        request.session[SECRET] = get_adapter().encrypt(generate_totp_secret())
    return get_adapter().decrypt(request.session[SECRET])


def totp_picture(user: User, secret: str) -> str:
    """The address that the app reads from the picture, as SVG."""
    adapter = get_adapter()
    return adapter.build_totp_svg(adapter.build_totp_url(user, secret))


@transaction.atomic
def add_totp(*, request: HttpRequest, user: User, code: str, by: Actor) -> None:
    """
    Raises:
        DomainError: the code isn't the one of this moment.
        Conflict: they have one already.
    """
    if not validate_totp_code(totp_secret(request), code.strip()):
        raise DomainError("code_wrong", "This isn't the code of this moment. Does your phone's clock run right?")
    try:
        with transaction.atomic():
            made = TOTP.activate(user, totp_secret(request))
    except IntegrityError:
        raise Conflict("totp_exists", "There is an app already. Remove it first.") from None
    made.validate_code(code.strip())  # it is used up by this
    del request.session[SECRET]
    record(by=by, action="user.factor_added", object=user, detail={"factor": str(Type.TOTP)})


def passkey_options(request: HttpRequest, user: User) -> dict[str, Any]:
    """What the browser is to make a passkey for; the challenge waits in the session."""
    with request_context(request):
        return webauthn.begin_registration(user, passwordless=False)


@transaction.atomic
def add_passkey(*, request: HttpRequest, user: User, name: str, answer: str, by: Actor) -> None:
    """
    Raises:
        DomainError: what the browser sent isn't the answer to what it was asked.
    """
    credential = _answer(answer)
    try:
        with request_context(request):
            webauthn.complete_registration(webauthn.parse_registration_response(credential))
    except UNREADABLE:
        raise DomainError("passkey_wrong", "The passkey could not be checked. Try again.") from None
    webauthn.WebAuthn.add(user, name.strip()[:NAME_LENGTH] or "Passkey", credential)
    record(by=by, action="user.factor_added", object=user, detail={"factor": str(Type.WEBAUTHN)})


@transaction.atomic
def new_codes(*, user: User, by: Actor) -> list[str]:
    """Ten fresh recovery codes; the ones before are worth nothing any more.

    Raises:
        Conflict: there is no factor that they would stand in for.
    """
    if not has_factor(user):
        raise Conflict("no_factor", "Set up an app or a passkey first: recovery codes stand in for it.")
    Authenticator.objects.filter(user=user, type=Type.RECOVERY_CODES).delete()
    codes = RecoveryCodes.activate(user).generate_codes()
    record(by=by, action="user.factor_added", object=user, detail={"factor": str(Type.RECOVERY_CODES)})
    return codes


# ---- Removing --------------------------------------------------------------------------------------------------


@transaction.atomic
def remove(*, user: User, pk: int, by: Actor) -> None:
    """Takes one factor away, and with the last one the recovery codes."""
    found = Authenticator.objects.filter(user=user, pk=pk).first()
    if found is None:
        raise Conflict("factor_gone", "It was removed already.")
    found.delete()
    if not has_factor(user):
        Authenticator.objects.filter(user=user).delete()
    record(by=by, action="user.factor_removed", object=user, detail={"factor": found.type})


@transaction.atomic
def remove_all(*, user: User, by: Actor) -> int:
    """How many factors somebody else's hand took away, because whoever had them lost them."""
    kinds = sorted(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    if not kinds:
        raise Conflict("no_factor", "There is no second factor to remove.")
    Authenticator.objects.filter(user=user).delete()
    record(by=by, action="user.factors_reset", object=user, detail={"factors": kinds})
    return len(kinds)


# ---- Checking --------------------------------------------------------------------------------------------------


def check_code(user: User, code: str) -> str | None:
    """Which kind of factor the code is of: the app's of this moment, or a recovery code that is used up by it.

    Raises:
        DomainError: it can't be told whether the code was used before.
    """
    said = "".join(code.split())
    for row in Authenticator.objects.filter(user=user, type__in=[Type.TOTP, Type.RECOVERY_CODES]).order_by("-type"):
        try:
            is_right = row.wrap().validate_code(said)
        except (ConnectionError, TimeoutError):  # where it is noted that a code was used
            raise DomainError("codes_unreachable", "Codes can't be checked at the moment. Use a passkey.") from None
        if is_right:
            row.record_usage()
            return str(row.type)
    return None


def challenge(request: HttpRequest, user: User) -> dict[str, Any]:
    """What the browser is to sign with one of the user's passkeys; it waits in the session."""
    with request_context(request):
        return webauthn.begin_authentication(user)


def check_passkey(request: HttpRequest, user: User, answer: str) -> str | None:
    """The kind of factor, if the browser signed what it was asked to."""
    try:
        credential = _answer(answer)
        with request_context(request):
            found = webauthn.complete_authentication(user, webauthn.parse_authentication_response(credential))
    except (DomainError, *UNREADABLE):
        return None
    found.record_usage()
    return str(Type.WEBAUTHN)


def _answer(answer: str) -> dict[str, Any]:
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise DomainError("passkey_wrong", "The browser sent no passkey. Try again.")
    return said
