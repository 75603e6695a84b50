"""Making, changing and deleting audiences. Who is in one is the keeper's to say (`cdp.activation.keeping`)."""

from typing import Final

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from cdp.activation.keeping import wait_for_the_keeper
from cdp.activation.models import Audience, Channel
from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError
from consent.models import Purpose
from consent.querysets import PRIVACY_RIGHTS
from segments.models import Segment
from segments.services import KEY, key_for

# Parts of the API's addresses beside the keys of audiences.
TAKEN_KEYS: Final = frozenset({"changes"})


@transaction.atomic
def create_audience(
    *,
    name: str,
    segment: Segment,
    purpose: Purpose,
    by: Actor,
    channel: str = Channel.ANY,
    key: str = "",
    description: str = "",
    user: User | None = None,
) -> Audience:
    """A new audience; the keeper fills it within moments.

    Raises:
        DomainError: its key or channel can't be one.
        Conflict: there is one by this key, or of this segment for this purpose and channel.
    """
    name = name.strip()
    if not name:
        raise DomainError("name_missing", "An audience needs a name.", "/name")
    key = key or key_for(name, among=Audience.objects.all(), otherwise="audience")
    if not KEY.fullmatch(key) or len(key) > 64:
        raise DomainError("key_malformed", "A key has small letters, digits and single hyphens, 64 at most.", "/key")
    if channel not in Channel.values:
        expected = ", ".join(repr(one) for one in Channel.values)
        raise DomainError("channel_unknown", f"channel must be one of {expected}.", "/channel")
    if purpose.key == PRIVACY_RIGHTS:
        raise DomainError(
            "purpose_not_open", f"{PRIVACY_RIGHTS} is for single people, never for an audience.", "/purpose"
        )
    if key in TAKEN_KEYS or Audience.objects.filter(key=key).exists():
        raise Conflict("audience_exists", "There is an audience with this key already.", "/key")
    try:
        with transaction.atomic():
            audience = Audience.objects.create(
                key=key, name=name, description=description, segment=segment, purpose=purpose, channel=channel, created_by=user,
            )  # fmt: skip
    except IntegrityError:
        raise Conflict(
            "audience_exists", "There is an audience of this segment for this purpose and channel already.", "/segment"
        ) from None
    detail = {"key": key, "segment": segment.key, "channel": channel}
    record(by=by, action="audience.created", object=audience, purpose=purpose.key, detail=detail)
    return audience


@transaction.atomic
def change_audience(
    *, audience: Audience, by: Actor, name: str | None = None, description: str | None = None
) -> Audience:
    """The audience, called otherwise. Whom it takes in can't change: that would be another one to whoever follows it."""
    audience = Audience.objects.select_for_update().get(pk=audience.pk)
    before = {"name": audience.name, "description": audience.description}
    if name is not None:
        if not name.strip():
            raise DomainError("name_missing", "An audience needs a name.", "/name")
        audience.name = name.strip()
    if description is not None:
        audience.description = description
    after = {"name": audience.name, "description": audience.description}
    if after != before:
        audience.save(update_fields=["name", "description"])
        changed = {name: [before[name], after[name]] for name in after if after[name] != before[name]}
        record(by=by, action="audience.changed", object=audience, purpose=audience.purpose.key, detail=changed)
    return audience


@transaction.atomic
def delete_audience(*, audience: Audience, by: Actor) -> None:
    """Takes the audience away with its members and changes. Whoever follows it finds it gone."""
    wait_for_the_keeper()
    detail = {"key": audience.key, "name": audience.name, "size": audience.size}
    record(by=by, action="audience.deleted", object=audience, purpose=audience.purpose.key, detail=detail)
    # Not through the ORM, which would read all of them first.
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM activation_audiencemember WHERE audience_id = %s", [audience.pk])
        cursor.execute("DELETE FROM activation_audiencechange WHERE audience_id = %s", [audience.pk])
    audience.delete()
