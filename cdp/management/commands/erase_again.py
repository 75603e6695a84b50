"""After a restore to an earlier moment: whoever was erased since is erased once more."""

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.audit.actors import Actor, ActorKind
from cdp.restoring import erase_again, erased_in


class Command(BaseCommand):
    help = (
        "Erases whoever an export of the audit log (`manage.py export_audit`) says was erased, and who is back from a backup."
        " It can't be undone; run again it does nothing more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("export", type=Path, help="The newest export of the log, from after the backup.")
        parser.add_argument("--by", required=True, help="Name of the user who answers for it.")

    def handle(self, *, export: Path, by: str, **_: Any) -> None:
        user = User.objects.filter(username=by).first()
        if user is None:
            raise CommandError(f"there is no user {by!r}")
        try:
            uuids = erased_in(export)
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from None
        actor = Actor(kind=ActorKind.USER, id=str(user.pk), label=user.get_username())
        done = erase_again(uuids, by=actor)
        self.stdout.write(
            f"{len(uuids)} erasures stand in the log; {done} of these people were back, and are erased again."
        )
