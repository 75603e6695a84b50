"""The master keys of the vault: making them, showing what they wrap, going over to another, retiring the old."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.audit.actors import Actor
from cdp.errors import DomainError
from cdp.vault import rotation
from cdp.vault.ring import VaultUnusable, load_ring, make_ring
from cdp.vault.services import ring_of_settings

BY = Actor.system("vault_key")


class Command(BaseCommand):
    help = "Says which master keys there are, and how many people's keys each of them wraps."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--new",
            type=Path,
            metavar="FILE",
            help="Make keys in a new file; CDP_VAULT_KEY_FILE names it. Keep a copy of it.",
        )
        what.add_argument(
            "--if-missing", action="store_true", help="Make the file that CDP_VAULT_KEY_FILE names, unless it is there."
        )
        what.add_argument(
            "--rotate", action="store_true",
            help="Put a new master key into the file and wrap everybody's key by it. The old one stays in the file.",
        )  # fmt: skip
        what.add_argument(
            "--finish", action="store_true", help="Wrap by the current master key what a rotation that was killed left."
        )
        what.add_argument(
            "--retire", action="store_true",
            help="Take the master keys out of the file that wrap nothing any more: backups from before can't be opened then.",
        )  # fmt: skip

    def handle(self, *, new: Path | None, if_missing: bool, rotate: bool, finish: bool, retire: bool, **_: Any) -> None:
        try:
            if new is not None:
                self.stdout.write(f"Made the master key {make_ring(new).current}.")
                return
            path = self._path()
            if if_missing:
                if not path.exists():
                    make_ring(path)
            elif rotate:
                count = rotation.rotate(path, by=BY)
                self.stdout.write(f"{count} keys are wrapped by {load_ring(path).current} now. See --retire.")
            elif finish:
                self.stdout.write(f"{rotation.rewrap(load_ring(path))} keys had been left.")
            elif retire:
                self.stdout.write(f"Retired: {', '.join(rotation.retire(path, by=BY)) or 'none'}.")
            else:
                self._show()
        except FileExistsError:
            raise CommandError("The file is there already; keys are never written over.") from None
        except (VaultUnusable, DomainError) as error:
            raise CommandError(str(error)) from None

    def _path(self) -> Path:
        if not settings.VAULT_KEY_FILE:
            raise VaultUnusable("CDP_VAULT_KEY_FILE names no file; `manage.py vault_key --new FILE` makes one.")
        return Path(settings.VAULT_KEY_FILE)

    def _show(self) -> None:
        ring, wraps = ring_of_settings(), rotation.wrapped_by_each()
        for key_id in [*ring.masters, *sorted(wraps.keys() - ring.masters.keys())]:
            said = "current" if key_id == ring.current else "old" if key_id in ring.masters else "NOT IN THE FILE"
            self.stdout.write(f"{key_id}  {said}  wraps {wraps.get(key_id, 0)}")
