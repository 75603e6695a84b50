"""The demo's audiences: which of the shop's segments its other systems keep copies of, and what for."""

from typing import Final, NamedTuple

from django.contrib.auth.models import User

from cdp.activation.keeping import keep_all
from cdp.activation.models import Audience, Channel
from cdp.activation.services import create_audience
from consent.models import Purpose
from demo.loading import LOADER
from segments.models import Segment


class HandedOn(NamedTuple):
    """One audience to make."""

    key: str
    name: str
    description: str
    segment: str
    purpose: str
    channel: Channel


AUDIENCES: Final = (
    HandedOn(
        "newsletter-loyal",
        "Newsletter to loyal customers",
        "Followed by the shop's mailing tool.",
        "loyal-customers",
        "marketing_email",
        Channel.EMAIL,
    ),
    HandedOn(
        "home-page-carts",
        "Home page for cart abandoners",
        "Followed by the shop's site, which shows them what they left.",
        "cart-abandoners",
        "personalisation",
        Channel.ANY,
    ),
)


def make_handed_on(*, user: User) -> list[Audience]:
    """The audiences, filled. One that is there already stays as somebody may have changed it."""
    made = []
    for one in AUDIENCES:
        audience = Audience.objects.filter(key=one.key).first()
        if audience is None:
            audience = create_audience(
                key=one.key,
                name=one.name,
                description=one.description,
                segment=Segment.objects.get(key=one.segment),
                purpose=Purpose.objects.get(key=one.purpose),
                channel=one.channel,
                by=LOADER,
                user=user,
            )
        made.append(audience)
    keep_all()
    return made
