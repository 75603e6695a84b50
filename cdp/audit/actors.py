"""Who acts: a user, an API key, or the platform itself. Pure values; nothing here reads the database."""

from dataclasses import dataclass
from enum import StrEnum


class ActorKind(StrEnum):
    USER = "user"
    API_KEY = "api_key"
    SYSTEM = "system"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who is answerable for a write; every service that writes asks for one as ``by``."""

    kind: ActorKind
    id: str
    label: str
    ip_prefix: str = ""

    @classmethod
    def system(cls, label: str) -> "Actor":
        return cls(kind=ActorKind.SYSTEM, id="", label=label)


SYSTEM = Actor.system("platform")
