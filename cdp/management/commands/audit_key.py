"""The key that signs the audit log: making one, showing its public half, changing to another."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.audit.rotation import rotate
from cdp.audit.sequencing import LogBroken
from cdp.audit.signing import KeyUnusable, load_signer, make_key
from cdp.sequencer import signer_of_settings


class Command(BaseCommand):
    help = "Prints the public key of the audit log, which auditors verify with. Give it to them by another way than this system."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--new", type=Path, metavar="FILE", help="Make a key in a new file; CDP_AUDIT_KEY names it.")
        what.add_argument(
            "--if-missing", action="store_true", help="Make the key that CDP_AUDIT_KEY names, unless it is there."
        )
        what.add_argument(
            "--rotate", type=Path, metavar="FILE",
            help="Go over to the key in FILE, with the old key's word for it. Stop the sequencers first; afterwards start them"
            " with CDP_AUDIT_KEY=FILE.",
        )  # fmt: skip

    def handle(self, *, new: Path | None, if_missing: bool, rotate: Path | None, **_: Any) -> None:
        try:
            if new is not None:
                make_key(new)
                self.stdout.write(str(load_signer(new, name=settings.AUDIT_ORIGIN).key))
                return
            if if_missing:
                path = Path(settings.AUDIT_KEY)
                if not path.exists():
                    make_key(path)
                return
            if rotate is not None:
                self._rotate(rotate)
                return
            self.stdout.write(str(signer_of_settings().key))
        except FileExistsError:
            raise CommandError(f"{new} is there already; a key is never written over.") from None
        except (KeyUnusable, LogBroken) as error:
            raise CommandError(str(error)) from None

    def _rotate(self, path: Path) -> None:
        old, new = signer_of_settings(), load_signer(path, name=settings.AUDIT_ORIGIN)
        rotate(old=old, new=new)
        self.stdout.write(
            f"Signed over. Auditors need this key from now on, and the old one for what was before:\n{new.key}"
        )
