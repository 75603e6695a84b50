"""Who relies on what, for the apps below that can't know slots."""

from cdp.content.deciding import segments_asked
from cdp.content.models import Slot
from segments.models import Segment


def names_showing(segment: Segment) -> list[str]:
    """The live slots with a variant for this segment, as people know them: without it that variant would never show again."""
    live = Slot.objects.filter(is_live=True).order_by("name")
    return [f"the slot “{slot.name}”" for slot in live if segment.key in segments_asked([slot])]
