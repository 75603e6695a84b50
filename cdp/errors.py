"""The one kind of error that may reach a client: a stable code, a plain message, and the place it is about.

Presentation (HTTP status, problem+json) is decided by whoever answers, not here.
"""

from collections.abc import Sequence


class DomainError(Exception):
    """Something the caller can understand and mend.

    Args:
        code: stable, documented, snake_case.
        message: names the thing, what was expected and what came; never a person's data.
        pointer: JSON pointer (RFC 6901) to the place in the input, or "".
        status: the HTTP status that fits, for the doors that speak HTTP.
    """

    status = 400

    def __init__(self, code: str, message: str, pointer: str = "", *, status: int | None = None) -> None:
        super().__init__(f"{pointer}: {message}" if pointer else message)
        self.code, self.message, self.pointer = code, message, pointer
        if status is not None:
            self.status = status


class DomainErrors(DomainError):
    """Every error of one input at once."""

    def __init__(self, errors: Sequence[DomainError], *, code: str = "invalid", message: str = "") -> None:
        self.errors = tuple(errors)
        super().__init__(code, message or f"{len(self.errors)} things need mending")


class NotFound(DomainError):
    status = 404


class Forbidden(DomainError):
    status = 403


class Conflict(DomainError):
    """The state of the thing does not allow what was asked."""

    status = 409
