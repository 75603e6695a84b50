"""What can be told apart about people: each feature with its words, its unit and what it means.

How each is counted is in `segments.features.counting`; which of them there are in this database, beyond those that there
always are, is found by `segments.features.discovery`. Pure.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from segments.features.channels import CHANNELS, DEVICES


class FeatureKind(StrEnum):
    """What its figures are."""

    COUNT = "count"
    RATE = "rate"
    AMOUNT = "amount"  # in the reporting currency
    DAYS = "days"
    MINUTES = "minutes"
    SHARE = "share"  # 0 to 1
    NUMBER = "number"
    FLAG = "flag"  # 0 or 1


class Family(StrEnum):
    """Under which heading it is offered."""

    BUYING = "Buying"
    TASTE = "What they buy"
    VISITS = "Visits"
    CHANNELS = "How they come"
    DEVICES = "Devices"
    PERSON = "About the person"


NONE: Final = "none"
LOG: Final = "log1p"


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One figure of a person.

    Attributes:
        unit: of its figures, as it stands behind them; empty where there is none.
        meaning: a sentence, for who has to choose.
        missing: of whom there is no such figure; empty where everybody has one.
        high, low: words for people who have much of it, and little.
        transform: what takes its skew out, by default: "none" or "log1p".
    """

    key: str
    label: str
    unit: str
    meaning: str
    missing: str
    high: str
    low: str
    transform: str
    kind: FeatureKind
    family: Family


_NO_ORDERS: Final = "People without an order in the window have none."
_NO_VISITS: Final = "People without a visit in the window have none."

FIXED: Final[tuple[Feature, ...]] = (
    Feature(
        key="orders_per_month",
        label="Purchase frequency",
        unit="orders a month",
        meaning="Orders in the window by month of it; of who came within the window, by month since they came, at least one.",
        missing="",
        high="frequent",
        low="seldom",
        transform=LOG,
        kind=FeatureKind.RATE,
        family=Family.BUYING,
    ),
    Feature(
        key="average_order_value",
        label="Average order value",
        unit="",
        meaning="What an order in the window came to on average, before refunds, in the reporting currency.",
        missing=_NO_ORDERS,
        high="large baskets",
        low="small baskets",
        transform=LOG,
        kind=FeatureKind.AMOUNT,
        family=Family.BUYING,
    ),
    Feature(
        key="net_revenue",
        label="Net revenue",
        unit="",
        meaning="What orders in the window brought less what refunds in it took back, in the reporting currency. May be below zero.",
        missing="",
        high="big spenders",
        low="small spenders",
        transform=LOG,
        kind=FeatureKind.AMOUNT,
        family=Family.BUYING,
    ),
    Feature(
        key="recency_days",
        label="Days since the last order",
        unit="days",
        meaning="Days from the last order in the window to its end.",
        missing=_NO_ORDERS,
        high="bought long ago",
        low="bought recently",
        transform=LOG,
        kind=FeatureKind.DAYS,
        family=Family.BUYING,
    ),
    Feature(
        key="order_gap_days",
        label="Days between orders",
        unit="days",
        meaning="Mean days from one order in the window to the next.",
        missing="People with fewer than two orders in the window have none.",
        high="long pauses between orders",
        low="short pauses between orders",
        transform=LOG,
        kind=FeatureKind.DAYS,
        family=Family.BUYING,
    ),
    Feature(
        key="order_gap_trend",
        label="Trend of days between orders",
        unit="days from pause to pause",
        meaning="By how many days each pause between orders is longer than the one before, on average; below zero, they buy ever sooner.",
        missing="People with fewer than three orders in the window have none.",
        high="slowing down",
        low="speeding up",
        transform=NONE,
        kind=FeatureKind.DAYS,
        family=Family.BUYING,
    ),
    Feature(
        key="discount_share",
        label="Orders with a discount",
        unit="of orders",
        meaning="Share of orders in the window with a discount or a coupon.",
        missing=_NO_ORDERS,
        high="discount-led",
        low="full-price",
        transform=NONE,
        kind=FeatureKind.SHARE,
        family=Family.BUYING,
    ),
    Feature(
        key="refund_share",
        label="Revenue refunded",
        unit="of what orders brought",
        meaning="What refunds in the window took back, as a share of what orders in it brought. Above 100 % where older orders went back.",
        missing="People whose orders in the window brought nothing have none.",
        high="send much back",
        low="keep what they buy",
        transform=NONE,
        kind=FeatureKind.SHARE,
        family=Family.BUYING,
    ),
    Feature(
        key="tenure_days",
        label="Days since first seen",
        unit="days",
        meaning="Days since we first heard of the person.",
        missing="",
        high="long known",
        low="new",
        transform=NONE,
        kind=FeatureKind.DAYS,
        family=Family.PERSON,
    ),
    Feature(
        key="sessions",
        label="Visits",
        unit="visits",
        meaning="Visits to the site or the app that began in the window.",
        missing="",
        high="visit often",
        low="visit seldom",
        transform=LOG,
        kind=FeatureKind.COUNT,
        family=Family.VISITS,
    ),
    Feature(
        key="session_minutes",
        label="Length of visits",
        unit="minutes",
        meaning="Mean minutes from the first to the last event of a visit in the window.",
        missing=_NO_VISITS,
        high="long visits",
        low="short visits",
        transform=LOG,
        kind=FeatureKind.MINUTES,
        family=Family.VISITS,
    ),
    Feature(
        key="days_since_visit",
        label="Days since the last visit",
        unit="days",
        meaning="Days from when the last visit in the window began to the window's end.",
        missing=_NO_VISITS,
        high="stayed away for long",
        low="visited recently",
        transform=LOG,
        kind=FeatureKind.DAYS,
        family=Family.VISITS,
    ),
    Feature(
        key="page_views",
        label="Page views",
        unit="pages",
        meaning="Pages and screens that were viewed in the window.",
        missing="",
        high="many page views",
        low="few page views",
        transform=LOG,
        kind=FeatureKind.COUNT,
        family=Family.VISITS,
    ),
    Feature(
        key="product_views",
        label="Product views",
        unit="products",
        meaning="Products that were looked at in the window, each time counted.",
        missing="",
        high="browse much",
        low="browse little",
        transform=LOG,
        kind=FeatureKind.COUNT,
        family=Family.VISITS,
    ),
)

CHANNEL_LABELS: Final = {
    "email": "Visits from email",
    "paid": "Visits from ads",
    "social": "Visits from social networks",
    "organic": "Visits from search",
    "referral": "Visits from other sites",
    "direct": "Direct visits",
    "other": "Visits from elsewhere",
}
_CHANNEL_WORDS: Final = {
    "email": "come by email",
    "paid": "come by ads",
    "social": "come by social networks",
    "organic": "come by search",
    "referral": "come from other sites",
    "direct": "come directly",
    "other": "come from elsewhere",
}
_CHANNEL_TAGS: Final = {
    "direct": "that named no campaign",
    "other": "whose campaign tags say none of the usual channels",
    "organic": "whose campaign tags say organic search",
}

CATEGORY, CHANNEL, DEVICE, TRAIT, VALUE = "category", "channel", "device", "trait", "value"


def channel_feature(channel: str) -> Feature:
    tags = _CHANNEL_TAGS.get(channel, f"whose campaign tags say {channel}")
    return Feature(
        key=f"{CHANNEL}:{channel}",
        label=CHANNEL_LABELS[channel],
        unit="of visits",
        meaning=f"Share of the visits in the window {tags}.",
        missing=_NO_VISITS,
        high=_CHANNEL_WORDS[channel],
        low=f"don't {_CHANNEL_WORDS[channel]}",
        transform=NONE,
        kind=FeatureKind.SHARE,
        family=Family.CHANNELS,
    )


def device_feature(device: str) -> Feature:
    return Feature(
        key=f"{DEVICE}:{device}",
        label=f"On {device}",
        unit="of page views",
        meaning=f"Share of the page views in the window on {device} devices, of those whose device is known.",
        missing="People without a page view in the window on a known device have none.",
        high=f"on {device}",
        low=f"not on {device}",
        transform=NONE,
        kind=FeatureKind.SHARE,
        family=Family.DEVICES,
    )


def category_feature(folded: str, label: str) -> Feature:
    """A category of what is bought; ``folded`` is its name in lower case."""
    return Feature(
        key=f"{CATEGORY}:{folded}",
        label=f"Bought: {label}",
        unit="of items bought",
        meaning=f"Share of the lines of orders in the window that are of the category {label}.",
        missing="People who bought nothing with a category in the window have none.",
        high=f"buy {label}",
        low=f"don't buy {label}",
        transform=NONE,
        kind=FeatureKind.SHARE,
        family=Family.TASTE,
    )


def value_feature(trait: str, trait_label: str, folded: str, label: str) -> Feature:
    """Whether a text, country or list trait says this; ``folded`` without case and accents."""
    return Feature(
        key=f"{VALUE}:{quoted(trait)}={folded}",
        label=f"{trait_label}: {label}",
        unit="",
        meaning=f"1 for people whose trait {trait_label} is {label}, or has it among its items; 0 for others who have the trait.",
        missing=f"People without the trait {trait_label} have none.",
        high=f"{trait_label.lower()} {label}",
        low=f"{trait_label.lower()} other than {label}",
        transform=NONE,
        kind=FeatureKind.FLAG,
        family=Family.PERSON,
    )


def number_feature(trait: str, label: str) -> Feature:
    return _trait_feature(trait, label, "The number that the trait says.", FeatureKind.NUMBER, "high {}", "low {}")


def flag_feature(trait: str, label: str) -> Feature:
    return _trait_feature(trait, label, "1 for yes, 0 for no.", FeatureKind.FLAG, "{}", "not {}")


def age_feature(trait: str, label: str) -> Feature:
    told = "Years from the date that the trait says to the end of the window."
    return _trait_feature(trait, f"Age by {label}", told, FeatureKind.NUMBER, "older", "younger", unit="years")


def since_feature(trait: str, label: str) -> Feature:
    told = "Days from the date that the trait says to the end of the window; below zero where it lies ahead."
    words = "{} long ago", "{} recently"
    return _trait_feature(trait, f"Days since {label}", told, FeatureKind.DAYS, *words, unit="days", named=label)


def _trait_feature(
    trait: str, label: str, meaning: str, kind: FeatureKind, high: str, low: str, *, unit: str = "", named: str = ""
) -> Feature:
    name = (named or label).lower()
    return Feature(
        key=f"{TRAIT}:{trait}",
        label=label,
        unit=unit,
        meaning=meaning,
        missing="People without the trait have none.",
        high=high.format(name),
        low=low.format(name),
        transform=NONE,
        kind=kind,
        family=Family.PERSON,
    )


ALWAYS: Final = (*FIXED, *map(channel_feature, CHANNELS), *map(device_feature, DEVICES))
"""The features there are in any database."""


def quoted(trait: str) -> str:
    """A trait's key as it stands before the equals sign of a feature's."""
    return trait.replace("%", "%25").replace("=", "%3D")


def unquoted(text: str) -> str:
    return text.replace("%3D", "=").replace("%25", "%")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a feature's key is made of: which kind of figure, of what, and which value of it."""

    kind: str
    name: str = ""
    value: str = ""


def parts_of(key: str) -> Parts | None:
    """None for what can't be a feature's key."""
    kind, colon, rest = key.partition(":")
    if not colon:
        return Parts(key) if any(one.key == key for one in FIXED) else None
    if kind == VALUE:
        trait, equals, value = rest.partition("=")
        return Parts(VALUE, unquoted(trait), value) if equals and trait else None
    known = {CHANNEL: rest in CHANNELS, DEVICE: rest in DEVICES, CATEGORY: bool(rest), TRAIT: bool(rest)}
    return Parts(kind, rest) if known.get(kind) else None
