"""Structured log lines: time, level, event, and named values that are ids, codes and counts.

Nothing a person typed or was called belongs in a log line; pass ids. `drop_personal` is the net under that rule.
"""

import logging
import re
import sys
import traceback

import structlog
from structlog.contextvars import merge_contextvars
from structlog.types import EventDict, Processor, WrappedLogger

# Names under which personal data would travel. A line that carries one is mended, not refused: logging must not raise.
PERSONAL = frozenset(
    {
        "email",
        "phone",
        "name",
        "first_name",
        "last_name",
        "address",
        "traits",
        "properties",
        "body",
        "value",
        "ip",
        "identifier",
    }
)


def drop_personal(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """The same line with values under personal names replaced."""
    for key in PERSONAL & event_dict.keys():
        event_dict[key] = "[personal]"
    return event_dict


# A person's identifier; or a signed link, which opens their own pages to whoever has it.
IDENTIFIER_IN_PATH = re.compile(
    r"((?:/(?:profiles|why|consents/(?:current|history|consent-mode)|privacy|prove|confirm|unsubscribe)|(?<!/v1)/exports)/)[^/].*"
)


class PathsWithoutPeople(logging.Filter):
    """Takes the identifier out of the address of a failed look-up, which Django writes into its line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                IDENTIFIER_IN_PATH.sub(r"\1[personal]", value) if isinstance(value, str) else value
                for value in record.args
            )
        return True


SHARED: list[Processor] = [
    merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    drop_personal,
]


def frames_without_values(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """A traceback by its frames and classes. Its messages are left out: a database's may repeat what a person typed."""
    error = event_dict.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, BaseException):
        error = (type(error), error, error.__traceback__)
    if isinstance(error, tuple) and error[0] is not None:
        summary = traceback.TracebackException(*error, capture_locals=False)
        lines: list[str] = []
        cause: traceback.TracebackException | None = summary
        while cause is not None:
            lines += [f"{cause.exc_type.__qualname__ if cause.exc_type else 'an error'}\n", *cause.stack.format()]
            cause = cause.__cause__ or cause.__context__
        event_dict["traceback"] = "".join(lines)
    return event_dict


def formatter(*, as_json: bool) -> logging.Formatter:
    renderer: Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, frames_without_values, renderer],
    )


structlog.configure(
    processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)


class TasksWithoutPeople(logging.Filter):
    """Takes the text of an error out of what Celery says of a task that failed; a database's may repeat what a person typed."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, dict) and "exc" in record.args:
            record.args = {**record.args, "exc": str(record.args["exc"]).partition("(")[0], "traceback": ""}
        return True


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    return structlog.get_logger(name)
