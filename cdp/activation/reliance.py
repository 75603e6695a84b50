"""Who relies on what, for the apps below that can't know audiences."""

from cdp.activation.models import Audience
from segments.models import Segment


def names_reading_purpose(key: str) -> list[str]:
    """The audiences that are for this purpose, as people know them."""
    return [
        f"the audience “{name}”" for name in Audience.objects.filter(purpose__key=key).values_list("name", flat=True)
    ]


def names_handing_on(segment: Segment) -> list[str]:
    """The audiences of this segment, as people know them."""
    return [
        f"the audience “{name}”" for name in Audience.objects.filter(segment=segment).values_list("name", flat=True)
    ]
