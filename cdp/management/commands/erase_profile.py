"""The door for erasing a person on the command line; a privacy request does the same and more, and keeps count of it."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.audit.actors import Actor, ActorKind
from cdp.erasure import erase_profile
from cdp.profiles.models import Profile


class Command(BaseCommand):
    help = (
        "Erases all that is known of a person, whose id is on their page. Segments announce that they left; consent records"
        " and the audit log stay. It can't be undone. What is sent of them from now on is dropped, by the identifiers they had."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "uuid", type=UUID, help="The person's id; one that was merged away leads to who they are now."
        )
        parser.add_argument("--by", required=True, help="Name of the user who answers for it.")
        parser.add_argument(
            "--reason", default="asked for", help="For the audit log: a request's number, nobody's name."
        )

    def handle(self, *, uuid: UUID, by: str, reason: str, **_: Any) -> None:
        user = User.objects.filter(username=by).first()
        if user is None:
            raise CommandError(f"there is no user {by!r}")
        actor = Actor(kind=ActorKind.USER, id=str(user.pk), label=user.get_username())
        erased = erase_profile(profile=Profile(uuid=uuid), by=actor, reason=reason)
        if erased is None:
            self.stdout.write(f"{uuid}: nobody is known by this id")
            return
        self.stdout.write(
            f"{erased.uuid}: erased, with {erased.events} events, {erased.waiting} messages that waited and"
            f" {erased.quarantined} in quarantine"
        )
