"""What tests of audiences share: making one, the people in it, and whoever follows its changes."""

from cdp.activation.keeping import keep_all
from cdp.activation.models import Audience, AudienceChange, AudienceMember
from cdp.activation.services import create_audience
from cdp.audit.actors import SYSTEM
from consent.models import Purpose
from segments.feed import number_changes
from segments.models import Segment


def audience_of(segment: Segment, purpose: str = "marketing_email", **more: object) -> Audience:
    """An audience, filled."""
    made = create_audience(
        name=f"{segment.name} for {purpose}",
        segment=segment,
        purpose=Purpose.objects.get(key=purpose),
        by=SYSTEM,
        **more,
    )  # type: ignore[arg-type]
    keep()
    return Audience.objects.get(pk=made.pk)


def keep() -> None:
    """Numbers what segments have to tell, and brings all audiences in line."""
    number_changes(wait=True)
    keep_all()


def inside(audience: Audience) -> set[object]:
    """Public ids of the members."""
    return set(AudienceMember.objects.filter(audience=audience).values_list("profile_uuid", flat=True))


def told(audience: Audience) -> list[tuple[str, str]]:
    """The changes in order: kind and why."""
    return list(AudienceChange.objects.filter(audience=audience).order_by("position").values_list("kind", "why"))
