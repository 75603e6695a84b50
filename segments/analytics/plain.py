"""Results as plain JSON and back: numbers, texts, lists and objects, so that no run of code is ever stored.

What the results say stands with each of them; here is only how they travel.
"""

from typing import Any, Self

import msgspec


class CannotAnalyse(Exception):
    """These people or figures can't be analysed as asked; the message says why to whoever asked.

    Args:
        code: stable, snake_case.
        message: names the thing, what was expected and what came; never a person's figures.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Plain:
    """A frozen dataclass of plain values, which JSON holds to the last digit. NaN and infinity have no place in it."""

    def as_json(self) -> dict[str, Any]:
        """What `from_json` makes the same of again."""
        told = msgspec.to_builtins(self)
        assert isinstance(told, dict)
        return told

    @classmethod
    def from_json(cls, told: Any) -> Self:
        """Raises msgspec.ValidationError, with the place, where something else stands than the fields say."""
        return msgspec.convert(told, type=cls)
