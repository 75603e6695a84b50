"""The demo's segments: what a marketer of the shop would keep, made and published through the usual services.

How rules are evaluated is no business of this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.contrib.auth.models import AbstractBaseUser, User

from cdp.errors import DomainError
from cdp.jobs.models import Job, JobState
from demo import cdnow
from demo.loading import LOADER
from segments.models import Segment, SegmentStatus
from segments.services import create_segment, publish
from segments.sharing import may, share_segment
from segments.tasks import refresh

Rule = dict[str, Any]


class ShopSegment(NamedTuple):
    """One segment to make."""

    key: str
    name: str
    description: str
    rule: Rule


def did(event: str, at_least: int = 1, *, days: int | None = None, where: tuple[Rule, ...] = ()) -> Rule:
    """At least so many events, ever or in the last so many days."""
    rule: Rule = {"performed": event, "op": "gte", "value": at_least}
    if where:
        rule["where"] = list(where)
    return rule | _within(days)


def spent(op: str, amount: float, *, days: int | None = None) -> Rule:
    """What the orders of a person add up to, less what went back."""
    return {"performed": "Revenue Booked", "measure": "sum", "op": op, "value": amount} | _within(days)


def _within(days: int | None) -> Rule:
    return {"within": {"days": days}} if days else {}


def every(*rules: Rule) -> Rule:
    return {"all": list(rules)}


def no(rule: Rule) -> Rule:
    return {"not": rule}


def is_(trait: str, value: object, op: str = "equals") -> Rule:
    return {"trait": trait, "op": op, "value": value}


# A segment stands behind those that its rule reads.
SEGMENTS: Final = (
    ShopSegment(
        "loyal-customers",
        "Loyal customers",
        "Three orders or more, the last within four months.",
        every(did("Order Completed", 3), did("Order Completed", days=120)),
    ),
    ShopSegment(
        "lapsed-customers",
        "Lapsed customers",
        "Bought once, and nothing for half a year.",
        every(did("Order Completed"), no(did("Order Completed", days=180))),
    ),
    ShopSegment(
        "cart-abandoners",
        "Cart abandoners",
        "Got as far as the checkout in the last 30 days and bought nothing in them.",
        every(did("Checkout Started", days=30), no(did("Order Completed", days=30))),
    ),
    ShopSegment(
        "big-spenders-30-days",
        "Big spenders, 30 days",
        "Spent 250 or more in the last 30 days, refunds taken off.",
        spent("gte", 250, days=30),
    ),
    ShopSegment(
        "german-newsletter-readers",
        "German newsletter readers",
        "Live in Germany and opened a newsletter in the last 60 days.",
        every(is_("country", "DE"), did("Newsletter Opened", days=60)),
    ),
    ShopSegment(
        "bargain-hunters",
        "Bargain hunters",
        "Two orders or more with a sale's coupon.",
        did("Order Completed", 2, where=({"property": "coupon", "op": "exists"},)),
    ),
    ShopSegment(
        "new-customers",
        "New customers",
        "Opened their account in the last 30 days.",
        is_("customer_since", {"days": 30}, "within_last"),
    ),
    ShopSegment(
        "window-shoppers",
        "Window shoppers",
        "Looked at six products or more in the last 90 days, and never bought.",
        every(did("Product Viewed", 6, days=90), no(did("Order Completed"))),
    ),
    ShopSegment(
        "outdoor-people",
        "Outdoor people",
        "Say that they like it, or looked at four outdoor products in the last 90 days.",
        {
            "any": [
                is_("interests", ["outdoor"], "contains_any"),
                did(
                    "Product Viewed", 4, days=90, where=({"property": "category", "op": "equals", "value": "Outdoor"},)
                ),
            ]
        },
    ),
    ShopSegment(
        "regular-visitors",
        "Regular visitors",
        "Came to the site on four visits or more in the last 60 days.",
        did("Session Started", 4, days=60),
    ),
    ShopSegment(
        "buys-premium-shoes",
        "Buys premium shoes",
        "Bought shoes at 120 or more a pair in the last year.",
        did(
            "Product Purchased",
            days=365,
            where=(
                {"property": "category", "op": "equals", "value": "Shoes"},
                {"property": "price", "op": "gte", "value": 120},
            ),
        ),
    ),
    ShopSegment("gold-tier", "Gold tier", "Everybody in the highest loyalty tier.", is_("loyalty_tier", "gold")),
    ShopSegment(
        "unhappy-with-support",
        "Unhappy with support",
        "Gave a support ticket two points or fewer in the last half year.",
        did("Support Ticket Closed", days=180, where=({"property": "satisfaction", "op": "lte", "value": 2},)),
    ),
    ShopSegment(
        "sends-goods-back",
        "Sends goods back",
        "Two refunds or more.",
        did("Order Refunded", 2),
    ),
    ShopSegment(
        "win-back-candidates",
        "Win-back candidates",
        "Lapsed, not unhappy with support, and still worth it: spent 100 or more.",
        every({"in_segment": "lapsed-customers"}, no({"in_segment": "unhappy-with-support"}), spent("gte", 100)),
    ),
)

# The ones of the CDNOW log, whose members are also counted straight from the file.
OF_CDNOW: Final = (
    ShopSegment(cdnow.RECENT, "Bought in the last 90 days", "", did(cdnow.EVENT, days=90)),
    ShopSegment(
        cdnow.LAPSED,
        "Spent more than 100, silent for 180 days",
        "More than 100 dollars ever, and nothing in the last 180 days.",
        every(spent("gt", 100), no(did(cdnow.EVENT, days=180))),
    ),
    ShopSegment(cdnow.ONCE, "Exactly one purchase", "", {"performed": cdnow.EVENT, "op": "equals", "value": 1}),
)


def make_segments(wanted: Iterable[ShopSegment] = SEGMENTS, *, owner: User | None = None) -> list[Segment]:
    """The segments, live and refreshed. One that is there already stays as somebody may have changed it."""
    made = []
    for one in wanted:
        segment = Segment.objects.filter(key=one.key).first()
        if segment is None:
            segment = create_segment(
                key=one.key,
                name=one.name,
                description=one.description,
                rule={"version": 1, **one.rule},
                owner=owner,
                by=LOADER,
            )
        if segment.status == SegmentStatus.DRAFT:
            run_here(publish(segment=segment, version=segment.versions.latest("number"), by=LOADER, user=owner))
            segment.refresh_from_db()
        made.append(segment)
    return made


def run_here(job: Job) -> Job:
    """The refresh, done at once: no worker runs during a load, and the message in the queue will find its job done.

    Raises:
        DomainError: it failed.
    """
    refresh.run(job.pk)
    job.refresh_from_db()
    if job.state == JobState.FAILED:
        raise DomainError(job.error_code, job.error_message)
    return job


def let_see(segments: Iterable[Segment], *, user: AbstractBaseUser) -> None:
    """Shares with the user those of the segments whose members he can't read yet."""
    for segment in segments:
        if not may(user, "view_members", segment):
            share_segment(segment=segment, user=user, by=LOADER, permissions=("view_segment", "view_members"))
