"""The ready rules, on people made by hand: one who belongs, and those who just don't."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from segments.rules import (
    Catalog,
    EventInfo,
    Occurrence,
    RuleErrors,
    ScoreInfo,
    TraitInfo,
    Type,
    Value,
    compile_rule,
    describe,
    evaluate,
    load,
)
from segments.templates import ADDED, ORDER, PAGE, REFUND, REVENUE, TEMPLATES, VIEW, VISIT, Template, offer, usable
from tests.spec.world import AS_OF, CATALOG, event, person

EVENTS = [ORDER, VIEW, ADDED, VISIT, PAGE, REFUND, REVENUE, "Product Purchased"]
SHOP = Catalog(
    traits={"birthday": TraitInfo(id=1, key="birthday", label="Birthday", type=Type.DATE)},
    events={name: EventInfo(id=number, name=name, label=name) for number, name in enumerate(EVENTS, start=1)},
    thresholds=CATALOG.thresholds,  # the 90th percentile is 100
    scores={"rfm.group": ScoreInfo(kind="rfm", name="group", label="rfm group", has_numbers=False)},
)
Story = tuple[Occurrence, ...]


def days(name: str, *ago: float, value: str | None = None, **properties: object) -> Story:
    return tuple(event(name, ago=timedelta(days=one), value=value, properties=properties) for one in ago)


VISITS = days(VISIT, *(number * 2 for number in range(1, 15)))

CASES: dict[str, tuple[list[Story], list[Story]]] = {
    "high_value_loyal": (
        [days(ORDER, 3, 20, value="251") + VISITS],
        [days(ORDER, 3, 20, value="250") + VISITS, days(ORDER, 3, 20, value="251") + VISITS[:12], VISITS],
    ),
    "at_risk": (
        [days(ORDER, 61), days(ORDER, 61) + days(VISIT, 90)],
        [days(ORDER, 61) + days(VISIT, 59), days(ORDER, 59), days(VISIT, 90), ()],
    ),
    "engaged_browser": (
        [days(PAGE, *range(1, 12))],
        [days(PAGE, *range(1, 11)), days(PAGE, *range(1, 12)) + days(ORDER, 99), ()],
    ),
    "cart_abandoned": (
        [days(ADDED, 2), days(ADDED, 2) + days(ORDER, 3), days(ADDED, 2) + days(ORDER, 0.9)],
        [days(ADDED, 0.5), days(ADDED, 2) + days(ORDER, 1.5), days(ADDED, 8), ()],
    ),
    "recent_buyer": ([days(ORDER, 6.9)], [days(ORDER, 7.1), ()]),
    "premium_shopper": (
        [days(ORDER, 9, value="500.01") + days(VIEW, 1, 2, 29)],
        [days(ORDER, 9, value="500") + days(VIEW, 1, 2, 29), days(ORDER, 9, value="501") + days(VIEW, 1, 2, 31)],
    ),
    "inactive": ([days(VISIT, 31)], [days(VISIT, 31, 29), days(VISIT, 31) + days(ORDER, 2), ()]),
    "viewed_not_bought": (
        [days(VIEW, 5, product_id="a"), days(VIEW, 5, product_id="a") + days("Product Purchased", 4, product_id="b")],
        [
            days(VIEW, 5, product_id="a") + days("Product Purchased", 4, product_id="a"),
            days(VIEW, 2, product_id="a"),
            days(VIEW, 15, product_id="a"),
            (),
        ],
    ),
    "new": ([days(ORDER, 29), days(ORDER, 29, 1)], [days(ORDER, 31), days(ORDER, 31, 1), ()]),
    "discount_seeker": (
        [days(ORDER, 1, 2, coupon="TEN") + days(ORDER, 3)],
        [days(ORDER, 1, coupon="TEN") + days(ORDER, 3), days(ORDER, 1, coupon="TEN"), days(ORDER, 3, 4), ()],
    ),
    "one_time_buyer": ([days(ORDER, 31)], [days(ORDER, 29), days(ORDER, 31, 40), ()]),
    "top_spenders": (
        [days(REVENUE, 300, 5, value="50"), days(REVENUE, 1, value="100")],
        [
            days(REVENUE, 366, value="50") + days(REVENUE, 5, value="99"),
            days(REVENUE, 9, value="120") + days(REVENUE, 5, value="-20.01"),
            days(ORDER, 5, value="500"),
            (),
        ],
    ),
    "regular": (
        [days(VISIT, 1, 8, 15), days(VISIT, 6.9, 13.9, 27.9)],
        [days(VISIT, 1, 8, 9, 10, 13), days(VISIT, 1, 8, 29), ()],
    ),
    "frequent": (
        [days(VISIT, *(number / 10 for number in range(1, 14)))],
        [days(VISIT, *range(1, 13)), days(VISIT, *range(1, 13), 28.1), ()],
    ),
    "stopped": (
        [days(ORDER, 31), days(ORDER, 59.9, 400)],
        [days(ORDER, 31, 29), days(ORDER, 61), days(ORDER, 29), ()],
    ),
    "started_again": (
        [days(ORDER, 1, 68), days(ORDER, 6.9, 2, 400)],
        [days(ORDER, 1), days(ORDER, 1, 66), days(ORDER, 1, 8, 68), days(ORDER, 8, 80), days(ORDER, 80), ()],
    ),
    "refund_prone": (
        [days(ORDER, 9, 8, 7, 6, 5, 4) + days(REFUND, 3, 2), days(REFUND, 3, 2)],
        [days(ORDER, 9, 8, 7, 6, 5, 4, 3) + days(REFUND, 3, 2), days(ORDER, 9) + days(REFUND, 3), ()],
    ),
}
BIRTHDAYS = (["1990-06-01", "1990-06-07"], ["1990-06-08", "1990-05-31", "soon", None])


ON_SCORES = {"at_risk_browsing"}


@pytest.mark.parametrize(
    "template", [one for one in TEMPLATES if one.key not in ON_SCORES], ids=lambda template: template.key
)
def test_a_template_takes_in_whom_it_means_and_nobody_else(template: Any) -> None:
    rule = load(template.document, SHOP)
    if template.key == "birthday_soon":
        for born, expected in [(one, True) for one in BIRTHDAYS[0]] + [(one, False) for one in BIRTHDAYS[1]]:
            assert evaluate(rule, person(traits={"birthday": born}), AS_OF) is expected, born
        return
    belong, don_t = CASES[template.key]
    for story in belong:
        assert evaluate(rule, person(events=story), AS_OF), story
    for story in don_t:
        assert not evaluate(rule, person(events=story), AS_OF), story


def test_the_template_on_rfm_takes_in_who_is_at_risk_and_looked_without_buying() -> None:
    rule = load(by_key("at_risk_browsing").document, SHOP)
    looked = days(VIEW, 29)
    for group, story, expected in [
        ("At risk", looked, True),
        ("At risk", looked + days(ORDER, 31), True),
        ("At risk", looked + days(ORDER, 29), False),
        ("At risk", days(VIEW, 31), False),
        ("At risk", (), False),
        ("Champions", looked, False),
        ("at risk", looked, False),
        (None, looked, False),
    ]:
        someone = person(events=story, scores={"rfm.group": Value(text=group)} if group else {})
        assert evaluate(rule, someone, AS_OF) is expected, (group, story)


def test_the_template_on_rfm_is_offered_as_unusable_until_such_a_run_is_published() -> None:
    template = by_key("at_risk_browsing")
    errors = usable(template, replace(SHOP, scores={}))
    assert isinstance(errors, RuleErrors)
    assert [str(error) for error in errors.errors] == ['/all/0/score: no published run has a score "rfm.group"']
    assert not isinstance(usable(template, SHOP), RuleErrors)


def by_key(key: str) -> Template:
    return next(template for template in TEMPLATES if template.key == key)


def test_every_template_reads_as_a_sentence_and_compiles() -> None:
    assert len({template.key for template in TEMPLATES}) == len(TEMPLATES)
    for template in TEMPLATES:
        rule = usable(template, SHOP)
        assert not isinstance(rule, RuleErrors)
        assert describe(rule, SHOP).startswith("People who")
        assert compile_rule(rule, SHOP, scoped=True).sql("duckdb")


def test_a_template_that_mentions_what_was_never_seen_says_so() -> None:
    errors = usable(TEMPLATES[0], Catalog())
    assert isinstance(errors, RuleErrors)
    assert {error.pointer for error in errors.errors} == {"/all/0/performed", "/all/1/performed"}


def test_it_is_offered_with_its_sentence_and_each_reason_once() -> None:
    (loyal,) = (one for one in TEMPLATES if one.key == "at_risk")
    lacking = offer(loyal, Catalog())
    assert not lacking.is_usable
    assert lacking.said == [f'there is no event "{ORDER}"', f'there is no event "{VISIT}"']
    assert len(lacking.reasons) == 3, "one at each place"
    assert lacking.sentence == offer(loyal, SHOP).sentence
    assert offer(loyal, SHOP).is_usable


def test_every_template_fits_the_fields_of_a_segment() -> None:
    for template in TEMPLATES:
        assert 0 < len(template.name) <= 40 and 0 < len(template.purpose) <= 100


def test_a_leap_day_s_birthday_comes_round_every_year() -> None:
    rule = load({"version": 1, "trait": "birthday", "op": "anniversary", "value": {"days": 1}}, SHOP)
    leapling = person(traits={"birthday": "2000-02-29"})
    for moment, expected in [
        (datetime(2027, 2, 28, 9, tzinfo=UTC), True),
        (datetime(2027, 3, 1, 9, tzinfo=UTC), False),
        (datetime(2028, 2, 28, 9, tzinfo=UTC), False),
        (datetime(2028, 2, 29, 9, tzinfo=UTC), True),
    ]:
        assert evaluate(rule, leapling, moment) is expected, moment
