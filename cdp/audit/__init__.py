"""The append-only record of who did what to what. Import `Actor` and `record` from here."""

from cdp.audit.actors import SYSTEM, Actor

__all__ = ["SYSTEM", "Actor"]
