"""Slows guessing: after so many refused tries at one account, at one second factor or from one network, none is looked at for a while.

Counted in Valkey; while that is away nobody is held back. That somebody is held is a row (`Lockout`) and an entry in the audit log.
"""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import time
from typing import Final

from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from redis.exceptions import ConnectionError, TimeoutError

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict
from cdp.log_in.models import Lockout
from cdp.logs import get_logger

log = get_logger(__name__)

SPAN_SECONDS: Final = 300
# Enough for somebody who mistypes; a guesser gets 2,880 tries a day.
PER_ACCOUNT: Final = 10
# Six digits are quicker to guess than a password, and whoever is asked for them has the password already.
PER_FACTOR: Final = 5
# A network (/24 or /48) may be a whole office behind one address.
PER_NETWORK: Final = 50


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try, counted before anything is looked at: so many at once can't slip past together."""

    names: tuple[str, ...]
    is_held: bool
    # What this very try made too many: a row and one entry in the audit log are enough for a span.
    newly_held: tuple[tuple[Lockout.Kind, str], ...]

    def succeeded(self) -> None:
        """Takes the try back, and forgets the account's refused ones."""
        account, network = self.names
        try:
            cache.delete(account)
            cache.decr(network)
        except (ConnectionError, TimeoutError) as error:
            log.warning("log_ins_not_counted", reason=type(error).__name__)
        except ValueError:
            pass  # the span ended meanwhile


def attempt(*, account: str, network: str) -> Attempt:
    """A try at a password, on its way to it unless it is held."""
    # As the log-in form itself reads it, or a full-width “ａdmin” would be another count for the same account.
    meant = unicodedata.normalize("NFKC", account).strip().casefold()
    # What was typed as an account may be a mistyped password, so it is kept as little as in the audit log.
    hidden = salted_hmac("log-in", meant.encode(errors="replace"), algorithm="sha256").hexdigest()[:32]
    return _attempt(Lockout.Kind.ACCOUNT, hidden, PER_ACCOUNT, network)


def attempt_factor(*, user: User, network: str) -> Attempt:
    """A try at the second factor of somebody whose password was right."""
    return _attempt(Lockout.Kind.FACTOR, str(user.pk), PER_FACTOR, network)


def _attempt(kind: Lockout.Kind, whose: str, limit: int, network: str) -> Attempt:
    span = int(time() // SPAN_SECONDS)
    counted = (
        (kind, f"log-in:{kind}:{whose}:{span}", limit),
        (Lockout.Kind.NETWORK, f"log-in:network:{network}:{span}", PER_NETWORK),
    )
    names = tuple(name for _, name, _ in counted)
    try:
        over = [(one, name, _counted(name) - most) for one, name, most in counted]
    except (ConnectionError, TimeoutError) as error:
        log.warning("log_ins_not_counted", reason=type(error).__name__)
        over = []
    return Attempt(
        names=names,
        is_held=any(by > 0 for _, _, by in over),
        newly_held=tuple((one, name) for one, name, by in over if by == 1),
    )


def _counted(name: str) -> int:
    cache.add(name, 0, timeout=SPAN_SECONDS)
    try:
        return cache.incr(name)
    except ValueError:  # the span ended between the two calls
        return 1


@transaction.atomic
def note_held(attempt: Attempt, *, user: User | None, by: Actor) -> None:
    """Puts on record what the try made too many. ``user`` is whose account it is, if it is anybody's."""
    for kind, name in attempt.newly_held:
        lockout = Lockout.objects.create(
            kind=kind,
            counter=name,
            user=None if kind == Lockout.Kind.NETWORK else user,
            ip_prefix=by.ip_prefix,
            began_at=timezone.now(),
            until=datetime.fromtimestamp((time() // SPAN_SECONDS + 1) * SPAN_SECONDS, UTC),
        )
        record(by=by, action="user.logins_held", object=lockout, detail={"kind": str(kind)})


@transaction.atomic
def lift(*, lockout: Lockout, by: Actor, user: User) -> Lockout:
    """The lockout, ended: the next try is looked at, and counting begins anew.

    Raises:
        Conflict: it is over or was lifted before; or the counts can't be reached, so that nothing would come of it.
    """
    lockout = Lockout.objects.select_for_update().get(pk=lockout.pk)
    if lockout.lifted_at is not None or lockout.until <= timezone.now():
        raise Conflict("lockout_over", "This lockout is over already.")
    try:
        cache.delete(lockout.counter)
    except (ConnectionError, TimeoutError):
        raise Conflict(
            "counts_unreachable", "The cache is away, and with it the counts: nobody is held back now."
        ) from None
    lockout.lifted_at, lockout.lifted_by = timezone.now(), user
    lockout.save(update_fields=["lifted_at", "lifted_by"])
    record(by=by, action="user.lockout_lifted", object=lockout, detail={"kind": lockout.kind})
    return lockout


def seconds_left() -> int:
    """Until the next try is looked at again."""
    return int(SPAN_SECONDS - time() % SPAN_SECONDS) + 1


def purge() -> int:
    """How many lockouts of more than 90 days ago were forgotten; the audit log still has them."""
    return Lockout.objects.filter(began_at__lt=timezone.now() - timedelta(days=90)).delete()[0]
