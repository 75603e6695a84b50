"""What people are told of a purpose: the words of a notice's version where it has some, else those of the purpose itself."""

from dataclasses import dataclass
from typing import Final

from consent.models import NoticeVersion, Purpose
from consent.notices import content_of

# The notice that the preference centre shows.
NOTICE: Final = "preference_centre"


@dataclass(frozen=True, kw_only=True, slots=True)
class Telling:
    """The words on one purpose.

    Args:
        locale: of which language they are; empty where nobody has said.
    """

    label: str
    text: str
    locale: str = ""
    is_of_version: bool = False


def told_of(purpose: Purpose, version: NoticeVersion | None) -> Telling:
    if version is not None:
        for one in content_of(version).purposes:
            if one.key == purpose.key:
                return Telling(label=one.label, text=one.text, locale=version.locale, is_of_version=True)
    return Telling(label=purpose.label, text=purpose.text)
