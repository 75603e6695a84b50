"""What tests of exports share: an audience with people in it, whoever may take them out, and a worker that makes what is asked for."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from django.contrib.auth.models import Group, User

from cdp.activation.models import Audience
from cdp.exports import tasks
from cdp.exports.keeping import path_of
from cdp.exports.models import Export
from cdp.exports.services import Spec, request_export
from consent.models import Decision
from tests.factories import BY, identify, live, performed, process_all, track, tracker
from tests.integration.audiences import audience_of, keep
from tests.integration.callers import decide

EMAIL = "marketing_email"


def people_of_a_shop(*users: str, traits: Callable[[str], dict[str, Any]] | None = None, channel: str = "") -> Audience:
    """An audience of whoever bought, for email: all of these, who permit it."""
    shop = tracker()
    shop.send(*(identify(one, traits=traits(one) if traits else {"city": "Bern"}) for one in users))
    shop.send(*(track("Bought", one) for one in users))
    process_all()
    for one in users:
        decide(one, EMAIL, Decision.GRANTED)
    return audience_of(live("buyers", performed("Bought")), EMAIL, channel=channel)


def exporter(name: str = "wanda", role: str = "admin") -> User:
    user = User.objects.create_user(name, password="not used")
    user.groups.add(Group.objects.get(name=role))
    return user


def work(export: Export) -> Export:
    """The export after a worker took its job."""
    assert export.job is not None
    tasks.make.run(export.job.pk)
    return Export.objects.select_related("audience", "job").get(pk=export.pk)


def made(audience: Audience, user: User, *, since: Export | None = None, **spec: Any) -> Export:
    asked = request_export(
        audience=Audience.objects.get(pk=audience.pk), spec=Spec(**spec), by=BY, user=user, since=since
    )
    done = work(asked)
    assert done.finished_at is not None, done.job and done.job.error_message
    return done


def content(export: Export, at: Path | None = None) -> bytes:
    raw = (at or path_of(export)).read_bytes()
    return gzip.decompress(raw) if export.is_gzipped else raw


def rows(export: Export, at: Path | None = None) -> list[dict[str, Any]]:
    """What is in the file, whatever its format."""
    raw = content(export, at)
    if export.format == "parquet":
        return pq.read_table(io.BytesIO(raw)).to_pylist()  # type: ignore[no-any-return]
    if export.format == "ndjson":
        return [json.loads(line) for line in raw.decode().splitlines()]
    return list(csv.DictReader(io.StringIO(raw.decode(), newline="")))


def buy(*users: str) -> None:
    tracker().send(*(track("Bought", one) for one in users))
    process_all()
    keep()
