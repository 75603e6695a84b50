"""The breach helper on the command line: the same answer as on its screen, as text or JSON; counts and names of staff only."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.accountability.breach import Question, ask
from cdp.accountability.facts import facts
from cdp.accountability.models import Controller
from cdp.audit.actors import Actor, ActorKind
from cdp.errors import DomainError


def moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a moment needs its time zone, such as 2026-03-01T10:00+01:00")
    return at


class Command(BaseCommand):
    help = (
        "Says who was read, what of them, by whom and since when, from the audit log; and what a notification of a breach can"
        " say by now. Whom to notify is taken away from the screen. Asking is on record."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=moment, required=True, help="As 2026-03-01T10:00+01:00.")
        parser.add_argument("--until", type=moment, required=True)
        parser.add_argument("--by", required=True, help="Name of the user who asks.")
        parser.add_argument("--key", type=int, help="Number of an API key.")
        parser.add_argument("--user", help="Name of a user whose reads are looked for.")
        parser.add_argument("--source", type=int, help="Number of a source: of whom it sent something.")
        parser.add_argument("--purpose", default="")
        parser.add_argument("--segment", type=UUID)
        parser.add_argument("--exports", action="store_true", help="Only what takes many people away at once.")
        parser.add_argument("--field", action="append", default=[], help="Only reads that showed it; may be repeated.")
        parser.add_argument("--aware-at", type=moment, help="When you became aware of it: starts the 72 hours.")
        parser.add_argument("--json", action="store_true")

    def handle(self, *, by: str, user: str | None, **given: Any) -> None:
        question = Question(
            since=given["since"],
            until=given["until"],
            key=given["key"],
            user=_user(user).pk if user else None,
            source=given["source"],
            purpose=given["purpose"],
            segment=given["segment"],
            exports=given["exports"],
            fields=frozenset(given["field"]),
        )
        asking = _user(by)
        actor = Actor(kind=ActorKind.USER, id=str(asking.pk), label=asking.get_username())
        try:
            answer = ask(question=question, by=actor)
        except DomainError as error:
            raise CommandError(str(error)) from error
        told = facts(answer, controller=Controller.current(), aware_at=given["aware_at"])
        if given["json"]:
            said = [{"point": fact.point, "label": fact.label, "text": fact.text or None} for fact in told]
            reads = [
                {"action": one.action, "reader": one.reader, "kind": one.kind, "entries": one.entries, "rows": one.rows,
                 "first": one.first.isoformat(), "last": one.last.isoformat(), "fields": sorted(one.fields)}
                for one in answer.reads
            ]  # fmt: skip
            self.stdout.write(json.dumps({"facts": said, "reads": reads}, indent=2, ensure_ascii=False))
            return
        for fact in told:
            self.stdout.write(f"{fact.point:7} {fact.label}: {fact.text or 'MISSING'}")
        for one in answer.reads:
            span = f"{one.first:%Y-%m-%d %H:%M:%S} to {one.last:%Y-%m-%d %H:%M:%S} UTC"
            self.stdout.write(f"{one.who} {one.reader}: {one.label}; reads: {one.entries}, rows: {one.rows}; {span}")


def _user(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"there is no user {name!r}")
    return user
