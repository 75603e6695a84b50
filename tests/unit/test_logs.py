"""Log lines: what they may carry, and what is taken out of them whoever wrote it."""

import logging
import re
import sys

from cdp.logs import PathsWithoutPeople, TasksWithoutPeople, formatter
from cdp.pages.urls import urlpatterns as own_pages


def line(*, exc_info: object = None, **named: object) -> str:
    record = logging.LogRecord("cdp", logging.ERROR, __file__, 1, "failed", None, exc_info)  # type: ignore[arg-type]
    record.__dict__.update(named)
    return formatter(as_json=True).format(record)


ADDRESS = "@".join(["ann", "example.com"])  # not as it would stand in a line of source, which a traceback may show


def failure() -> object:
    try:
        try:
            raise ValueError(f"Key (email)=({ADDRESS}) already exists")
        except ValueError as cause:
            raise RuntimeError(f"could not store {ADDRESS}") from cause
    except RuntimeError:
        return sys.exc_info()


def test_a_traceback_keeps_its_frames_and_classes_and_drops_its_messages() -> None:
    said = line(exc_info=failure())

    assert ADDRESS not in said
    assert "RuntimeError" in said
    assert "ValueError" in said
    assert "in failure" in said


def test_a_failed_request_leaves_no_link_and_no_identifier_in_the_log() -> None:
    links = ["/" + re.sub("<str:token>.*", "SECRET/", str(page.pattern)) for page in own_pages]
    looked_up = ("profiles/", "segments/vip/why/", "consents/current/", "consents/history/", "consents/consent-mode/")
    for path in (*links, "/exports/SECRET", *(f"/api/v1/{one}email:SECRET/" for one in looked_up)):
        record = logging.LogRecord(
            "django.request", logging.ERROR, __file__, 1, "%s: %s", ("Internal Server Error", path), None
        )
        PathsWithoutPeople().filter(record)
        assert "SECRET" not in record.getMessage() and "[personal]" in record.getMessage()


def test_a_task_that_failed_leaves_its_kind_of_error_and_not_its_words() -> None:
    said = {"name": "jobs.x", "id": "7", "description": "raised unexpected", "exc": "DataError('Key (value)=(ann@example.com)')",
            "traceback": "ann@example.com", "args": "()"}  # fmt: skip
    text = "Task %(name)s[%(id)s] %(description)s: %(exc)s %(traceback)s"
    record = logging.LogRecord("celery.app.trace", logging.ERROR, __file__, 1, text, (said,), None)
    assert TasksWithoutPeople().filter(record)
    assert record.getMessage().strip() == "Task jobs.x[7] raised unexpected: DataError"
