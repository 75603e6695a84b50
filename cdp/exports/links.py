"""Links by which a file can be fetched without logging in: signed, for some hours, in the name of whoever made them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Final

from django.contrib.auth.models import User
from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from cdp.audit.actors import Actor, ActorKind
from cdp.audit.services import record
from cdp.errors import DomainError, NotFound
from cdp.exports.access import may_ask, may_have, visible_exports
from cdp.exports.keeping import open_file
from cdp.exports.models import Export

SALT: Final = "cdp.exports.link"
MOST_HOURS: Final = 7 * 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    path: str
    expires_at: datetime


@transaction.atomic
def make_link(*, export: Export, user: User, by: Actor, hours: int = 24) -> Link:
    """A link to the file, which opens until then or until the file goes.

    Raises:
        DomainError: it can't last so long, or there is no file.
    """
    if not 1 <= hours <= MOST_HOURS:
        raise DomainError("hours_out_of_range", f"hours must be from 1 to {MOST_HOURS}.", "/hours")
    if not export.is_kept:
        raise DomainError("export_gone", "There is no file to link to.", status=409)
    until = timezone.now() + timedelta(hours=hours)
    token = signing.dumps([str(export.uuid), user.pk, int(until.timestamp())], salt=SALT)
    detail = {"export": str(export.uuid), "until": until.isoformat()}
    purpose = export.audience.purpose.key
    record(by=by, action="export.link_made", object=export.audience, purpose=purpose, detail=detail)
    return Link(path=reverse("export-by-link", args=[token]), expires_at=until)


def open_link(token: str, *, ip_prefix: str) -> tuple[Export, BinaryIO]:
    """The file that a link is to, opened; the same refusal whatever is wrong with the link.

    Raises:
        NotFound: the link is none of ours, is over, or whoever made it may not have the file any more.
        DomainError: the file isn't kept any more.
    """
    gone = NotFound("link_over", "This link doesn't open anything, or not any more. Ask for another one.")
    try:
        uuid, user_id, until = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        raise gone from None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or until < timezone.now().timestamp() or not may_ask(user):
        raise gone
    export = visible_exports(user).filter(uuid=uuid).first()
    if export is None or not may_have(user, export):
        raise gone
    by = Actor(kind=ActorKind.USER, id=str(user.pk), label=user.get_username(), ip_prefix=ip_prefix)
    return export, open_file(export=export, by=by, is_by_link=True)
