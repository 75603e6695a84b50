"""Ready rules for what marketers ask for most, to begin with and to change.

They speak of the public e-commerce events ("Order Completed", "Product Viewed", ...). One that mentions what a workspace
has never seen is offered as not yet usable, with the reason; see `usable`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from segments.rules import Catalog, Rule, RuleError, RuleErrors, describe, load, parse

Condition = dict[str, Any]

ORDER: Final = "Order Completed"
VIEW: Final = "Product Viewed"
ADDED: Final = "Product Added"
VISIT: Final = "Session Started"
PAGE: Final = "Page Viewed"
REFUND: Final = "Order Refunded"
REVENUE: Final = "Revenue Booked"


@dataclass(frozen=True, kw_only=True)
class Template:
    """A rule with a name and a sentence on when to use it."""

    key: str
    name: str
    purpose: str
    condition: Condition

    @property
    def document(self) -> dict[str, Any]:
        return {"version": 1, **self.condition}


def did(event: str, **more: Any) -> Condition:
    return {"performed": event, **more}


def never(event: str, **more: Any) -> Condition:
    return {"not": did(event, **more)}


TEMPLATES: Final = (
    Template(
        key="high_value_loyal",
        name="High-value and loyal",
        purpose="Spend much and come often: thank them, don't discount to them.",
        condition={
            "all": [
                did(ORDER, measure="sum", op="gt", value=500, within={"days": 30}),
                did(VISIT, per="week", op="gt", value=3, within={"days": 30}),
            ]
        },
    ),
    Template(
        key="at_risk",
        name="At risk",
        purpose="Customers who neither bought nor came by for 60 days.",
        condition={"all": [did(ORDER), never(ORDER, within={"days": 60}), never(VISIT, within={"days": 60})]},
    ),
    Template(
        key="engaged_browser",
        name="Engaged browser",
        purpose="Look around a lot and have never bought.",
        condition={"all": [did(PAGE, op="gt", value=10), never(ORDER)]},
    ),
    Template(
        key="cart_abandoned",
        name="Cart abandoned",
        purpose="Put something into the cart in the last week and did not order within a day.",
        condition={
            "sequence": [did(ADDED), {"not_performed": ORDER, "within": {"hours": 24}}],
            "within": {"days": 7},
        },
    ),
    Template(
        key="recent_buyer",
        name="Recent buyer",
        purpose="Ordered in the last 7 days.",
        condition=did(ORDER, within={"days": 7}),
    ),
    Template(
        key="premium_shopper",
        name="Premium shopper",
        purpose="Spend much and look at several products in the same 30 days.",
        condition={
            "all": [
                did(ORDER, measure="sum", op="gt", value=500, within={"days": 30}),
                did(VIEW, op="gte", value=3, within={"days": 30}),
            ]
        },
    ),
    Template(
        key="inactive",
        name="Inactive",
        purpose="Known for a while, and not seen for more than 30 days.",
        condition={"all": [did(VISIT), never(VISIT, within={"days": 30}), never(ORDER, within={"days": 30})]},
    ),
    Template(
        key="viewed_not_bought",
        name="Viewed, but didn't buy",
        purpose="Looked at a product in the last two weeks and did not buy that product within three days.",
        condition={
            "sequence": [did(VIEW), {"not_performed": "Product Purchased", "within": {"days": 3}}],
            "same": "product_id",
            "within": {"days": 14},
        },
    ),
    Template(
        key="new",
        name="New customer",
        purpose="Ordered for the first time in the last 30 days.",
        condition=did(ORDER, measure="first_at", op="within_last", value={"days": 30}),
    ),
    Template(
        key="birthday_soon",
        name="Birthday soon",
        purpose="Have their birthday in the coming week.",
        condition={"trait": "birthday", "op": "anniversary", "value": {"days": 7}},
    ),
    Template(
        key="discount_seeker",
        name="Discount seeker",
        purpose="Most orders of the last year were made with a coupon.",
        condition={
            "all": [
                did(ORDER, op="gte", value=2, within={"days": 365}),
                {
                    **did(ORDER, where=[{"property": "coupon", "op": "exists"}], within={"days": 365}),
                    "op": "gt",
                    "than": did(ORDER, within={"days": 365}),
                    "times": 0.5,
                },
            ]
        },
    ),
    Template(
        key="one_time_buyer",
        name="One-time buyer",
        purpose="Ordered exactly once, and not just now: the second order is the hard one.",
        condition={"all": [did(ORDER, op="equals", value=1), never(ORDER, within={"days": 30})]},
    ),
    Template(
        key="top_spenders",
        name="Top spenders",
        purpose="Brought more in the last year, less what was refunded, than nine customers in ten.",
        condition={**did(REVENUE, measure="sum", within={"days": 365}), "op": "gte", "than": {"percentile": 90}},
    ),
    Template(
        key="regular",
        name="Regular visitor",
        purpose="Came by in at least 3 of the last 4 weeks, however often in each.",
        condition=did(VISIT, measure="periods", each={"weeks": 1}, op="gte", value=3, within={"weeks": 4}),
    ),
    Template(
        key="frequent",
        name="Frequent visitor",
        purpose="More than 3 visits a week over the last four: a burst of visits counts as much as a habit.",
        condition=did(VISIT, per="week", op="gt", value=3, within={"weeks": 4}),
    ),
    Template(
        key="stopped",
        name="Stopped ordering",
        purpose="Ordered in the 30 days before the last 30, and not since: still warm enough to be won back.",
        condition={
            "all": [did(ORDER, within={"days": 30, "ago": {"days": 30}}), never(ORDER, within={"days": 30})],
        },
    ),
    Template(
        key="started_again",
        name="Started again",
        purpose="Customers who ordered in the last 7 days after at least 60 days without an order.",
        condition={
            "all": [
                did(ORDER, within={"days": 7}),
                never(ORDER, within={"days": 60, "ago": {"days": 7}}),
                did(ORDER, within={"days": 3650, "ago": {"days": 67}}),
            ],
        },
    ),
    Template(
        key="at_risk_browsing",
        name="At risk, but looking",
        purpose="Good customers about to be lost (by RFM) who viewed a product in the last 30 days and didn't buy.",
        condition={
            "all": [
                {"score": "rfm.group", "op": "equals", "value": "At risk"},
                did(VIEW, within={"days": 30}),
                never(ORDER, within={"days": 30}),
            ]
        },
    ),
    Template(
        key="refund_prone",
        name="Refund-prone",
        purpose="Sent back a third of their orders or more, with at least two refunds.",
        condition={
            "all": [
                did(REFUND, op="gte", value=2),
                {**did(REFUND), "op": "gt", "than": did(ORDER), "times": 0.3333},
            ]
        },
    ),
)


def usable(template: Template, catalog: Catalog) -> Rule | RuleErrors:
    """The template's rule, or what keeps this workspace from using it: what it mentions and has not been seen yet."""
    try:
        return load(template.document, catalog)
    except RuleErrors as missing:
        return missing


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A template as it is offered to somebody: its rule in English, and what keeps them from using it."""

    template: Template
    sentence: str
    reasons: tuple[RuleError, ...] = ()

    @property
    def is_usable(self) -> bool:
        return not self.reasons

    @property
    def said(self) -> list[str]:
        """The reasons, each once: several conditions may lack the same thing."""
        return list(dict.fromkeys(reason.message for reason in self.reasons))


def offer(template: Template, catalog: Catalog, refused: Collection[RuleError] = ()) -> Offer:
    """The template for a workspace with this catalogue.

    Args:
        refused: what else keeps somebody from using it, where the workspace has all it needs.
    """
    found = usable(template, catalog)
    reasons = found.errors if isinstance(found, RuleErrors) else refused
    return Offer(template=template, sentence=describe(parse(template.document), catalog), reasons=tuple(reasons))
