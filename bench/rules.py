"""The rules that marketers write, each beside the best SQL that somebody who knows the tables would write by hand.

The SQL counts the same people, from the same tables, with nothing that only a compiler would need. What came first of two
events at one moment it tells by their message ids, as rules do. It may use what
holds of the benchmark's data alone: no event is dated ahead, and every record belongs to a profile. How they are timed
doesn't belong here.
"""

from dataclasses import dataclass
from typing import Any

from segments.templates import TEMPLATES


@dataclass(frozen=True, kw_only=True)
class Case:
    """One rule and its floor. Operands of `sql`: `as_of`, and by name the number of each trait and event."""

    name: str
    rule: dict[str, Any]
    sql: str


def ordered(**more: Any) -> dict[str, Any]:
    return {"performed": "Order Completed", **more}


def viewed(**more: Any) -> dict[str, Any]:
    return {"performed": "Product Viewed", **more}


def template(key: str, sql: str) -> Case:
    """A ready rule, as it is offered, beside its floor."""
    offered = next(one for one in TEMPLATES if one.key == key)
    return Case(name=offered.name, rule=offered.condition, sql=sql)


CASES = [
    template(
        "high_value_loyal",
        """
        SELECT count(*) FROM (
            SELECT FROM profiles_event
             WHERE name_id IN (%(Order Completed)s, %(Session Started)s)
               AND occurred_at >= %(as_of)s - interval '30 days' AND occurred_at < %(as_of)s
             GROUP BY profile_id
            HAVING sum(value) FILTER (WHERE name_id = %(Order Completed)s) > 500
               AND count(*) FILTER (WHERE name_id = %(Session Started)s) * 7 > 3 * 30) AS found
        """,
    ),
    template(
        "at_risk",
        """
        SELECT count(*) FROM profiles_eventtotal o
         WHERE o.name_id = %(Order Completed)s AND o.last_at < %(as_of)s - interval '60 days'
           AND NOT EXISTS (SELECT FROM profiles_eventtotal s
                            WHERE s.name_id = %(Session Started)s AND s.profile_id = o.profile_id
                              AND s.last_at >= %(as_of)s - interval '60 days')
        """,
    ),
    template(
        "engaged_browser",
        """
        SELECT count(*) FROM profiles_eventtotal v
         WHERE v.name_id = %(Page Viewed)s AND v.count > 10
           AND NOT EXISTS (SELECT FROM profiles_eventtotal o
                            WHERE o.name_id = %(Order Completed)s AND o.profile_id = v.profile_id)
        """,
    ),
    template(
        "cart_abandoned",
        """
        SELECT count(DISTINCT a.profile_id) FROM profiles_event a
         WHERE a.name_id = %(Product Added)s
           AND a.occurred_at >= %(as_of)s - interval '7 days' AND a.occurred_at <= %(as_of)s - interval '1 day'
           AND NOT EXISTS (SELECT FROM profiles_event o
                            WHERE o.name_id = %(Order Completed)s AND o.profile_id = a.profile_id
                              AND o.occurred_at >= a.occurred_at AND o.occurred_at < a.occurred_at + interval '1 day'
                              AND o.occurred_at >= %(as_of)s - interval '7 days'
                              AND (o.occurred_at > a.occurred_at OR o.message_id > a.message_id COLLATE "C"))
        """,
    ),
    template(
        "recent_buyer",
        """
        SELECT count(DISTINCT profile_id) FROM profiles_event
         WHERE name_id = %(Order Completed)s
           AND occurred_at >= %(as_of)s - interval '7 days' AND occurred_at < %(as_of)s
        """,
    ),
    template(
        "premium_shopper",
        """
        SELECT count(*) FROM (
            SELECT FROM profiles_event
             WHERE name_id IN (%(Order Completed)s, %(Product Viewed)s)
               AND occurred_at >= %(as_of)s - interval '30 days' AND occurred_at < %(as_of)s
             GROUP BY profile_id
            HAVING sum(value) FILTER (WHERE name_id = %(Order Completed)s) > 500
               AND count(*) FILTER (WHERE name_id = %(Product Viewed)s) >= 3) AS found
        """,
    ),
    template(
        "inactive",
        """
        SELECT count(*) FROM profiles_eventtotal s
         WHERE s.name_id = %(Session Started)s AND s.last_at < %(as_of)s - interval '30 days'
           AND NOT EXISTS (SELECT FROM profiles_event o
                            WHERE o.name_id = %(Order Completed)s AND o.profile_id = s.profile_id
                              AND o.occurred_at >= %(as_of)s - interval '30 days' AND o.occurred_at < %(as_of)s)
        """,
    ),
    template(
        "viewed_not_bought",
        """
        SELECT count(DISTINCT v.profile_id) FROM profiles_event v
         WHERE v.name_id = %(Product Viewed)s AND v.properties ->> 'product_id' IS NOT NULL
           AND v.occurred_at >= %(as_of)s - interval '14 days' AND v.occurred_at <= %(as_of)s - interval '3 days'
           AND NOT EXISTS (SELECT FROM profiles_event p
                            WHERE p.name_id = %(Product Purchased)s AND p.profile_id = v.profile_id
                              AND p.properties ->> 'product_id' = v.properties ->> 'product_id'
                              AND p.occurred_at >= v.occurred_at AND p.occurred_at < v.occurred_at + interval '3 days'
                              AND p.occurred_at >= %(as_of)s - interval '14 days'
                              AND (p.occurred_at > v.occurred_at OR p.message_id > v.message_id COLLATE "C"))
        """,
    ),
    template(
        "new",
        """
        SELECT count(*) FROM profiles_eventtotal
         WHERE name_id = %(Order Completed)s AND first_at >= %(as_of)s - interval '30 days' AND first_at < %(as_of)s
        """,
    ),
    template(
        "birthday_soon",
        """
        SELECT count(*) FROM profiles_traitvalue
         WHERE trait_id = %(birthday)s AND to_char(moment AT TIME ZONE 'UTC', 'MMDD')
               = ANY(ARRAY['0601', '0602', '0603', '0604', '0605', '0606', '0607'])
        """,
    ),
    template(
        "discount_seeker",
        """
        SELECT count(*) FROM (
            SELECT FROM profiles_event
             WHERE name_id = %(Order Completed)s
               AND occurred_at >= %(as_of)s - interval '365 days' AND occurred_at < %(as_of)s
             GROUP BY profile_id
            HAVING count(*) >= 2 AND count(*) FILTER (WHERE properties ->> 'coupon' IS NOT NULL) > 0.5 * count(*)) AS found
        """,
    ),
    template(
        "one_time_buyer",
        """
        SELECT count(*) FROM profiles_eventtotal
         WHERE name_id = %(Order Completed)s AND count = 1 AND last_at < %(as_of)s - interval '30 days'
        """,
    ),
    template(
        "refund_prone",
        """
        SELECT count(*) FROM profiles_eventtotal r
          LEFT JOIN profiles_eventtotal o ON o.name_id = %(Order Completed)s AND o.profile_id = r.profile_id
         WHERE r.name_id = %(Order Refunded)s AND r.count >= 2 AND r.count > 0.3333 * coalesce(o.count, 0)
        """,
    ),
    template(
        "regular",
        """
        SELECT count(*) FROM (
            SELECT FROM profiles_event
             WHERE name_id = %(Session Started)s
               AND occurred_at >= %(as_of)s - interval '28 days' AND occurred_at < %(as_of)s
             GROUP BY profile_id
            HAVING count(DISTINCT floor(extract(epoch FROM occurred_at - %(as_of)s) / 604800)) >= 3) AS found
        """,
    ),
    template(
        "at_risk_browsing",
        """
        SELECT count(DISTINCT v.profile_id) FROM profiles_event v
         WHERE v.name_id = %(Product Viewed)s
           AND v.occurred_at >= %(as_of)s - interval '30 days' AND v.occurred_at < %(as_of)s
           AND EXISTS (SELECT FROM profiles_score s JOIN profiles_scorerun r ON r.id = s.run_id
                        WHERE r.kind = 'rfm' AND r.is_current AND s.key = 'group' AND s.label = 'At risk'
                          AND s.profile_id = v.profile_id)
           AND NOT EXISTS (SELECT FROM profiles_event o
                            WHERE o.name_id = %(Order Completed)s AND o.profile_id = v.profile_id
                              AND o.occurred_at >= %(as_of)s - interval '30 days' AND o.occurred_at < %(as_of)s)
        """,
    ),
]

# What marketers write themselves.
OTHER_CASES = [
    Case(
        name="spent over 500 in 30 days",
        rule=ordered(measure="sum", op="gt", value=500, within={"days": 30}),
        sql="""
            SELECT count(*) FROM (
                SELECT FROM profiles_event
                 WHERE name_id = %(Order Completed)s AND occurred_at >= %(as_of)s - interval '30 days' AND occurred_at < %(as_of)s
                 GROUP BY profile_id HAVING sum(value) > 500) AS found
        """,
    ),
    Case(
        name="ordered 3 times in 90 days",
        rule=ordered(op="gte", value=3, within={"days": 90}),
        sql="""
            SELECT count(*) FROM (
                SELECT FROM profiles_event
                 WHERE name_id = %(Order Completed)s AND occurred_at >= %(as_of)s - interval '90 days' AND occurred_at < %(as_of)s
                 GROUP BY profile_id HAVING count(*) >= 3) AS found
        """,
    ),
    Case(
        name="German with a paid plan",
        rule={
            "all": [
                {"trait": "country", "op": "equals", "value": "DE"},
                {"trait": "plan", "op": "any_of", "value": ["Plus", "Pro"]},
            ]
        },
        sql="""
            SELECT count(*) FROM profiles_traitvalue c JOIN profiles_traitvalue p USING (profile_id)
             WHERE c.trait_id = %(country)s AND c.text_folded = 'de'
               AND p.trait_id = %(plan)s AND p.text_folded IN ('plus', 'pro')
        """,
    ),
    Case(
        name="viewed over 10, never ordered",
        rule={"all": [viewed(op="gt", value=10), {"not": ordered()}]},
        sql="""
            SELECT count(*) FROM profiles_eventtotal v
             WHERE v.name_id = %(Product Viewed)s AND v.count > 10
               AND NOT EXISTS (SELECT FROM profiles_eventtotal o
                                WHERE o.name_id = %(Order Completed)s AND o.profile_id = v.profile_id)
        """,
    ),
    Case(
        name="ordered before, not in 90 days",
        rule={"all": [ordered(), {"not": ordered(within={"days": 90})}]},
        sql="""
            SELECT count(*) FROM profiles_eventtotal
             WHERE name_id = %(Order Completed)s AND last_at < %(as_of)s - interval '90 days'
        """,
    ),
    Case(
        name="cart without order in 7 days",
        rule={
            "all": [
                {"performed": "Product Added", "within": {"days": 7}},
                {"not": ordered(within={"days": 7})},
            ]
        },
        sql="""
            SELECT count(DISTINCT profile_id) FROM profiles_event a
             WHERE a.name_id = %(Product Added)s
               AND a.occurred_at >= %(as_of)s - interval '7 days' AND a.occurred_at < %(as_of)s
               AND NOT EXISTS (SELECT FROM profiles_event o
                                WHERE o.name_id = %(Order Completed)s AND o.profile_id = a.profile_id
                                  AND o.occurred_at >= %(as_of)s - interval '7 days' AND o.occurred_at < %(as_of)s)
        """,
    ),
    Case(
        name="viewed shoes twice in 30 days",
        rule=viewed(
            op="gte",
            value=2,
            within={"days": 30},
            where=[{"property": "category", "op": "equals", "value": "Shoes"}],
        ),
        sql="""
            SELECT count(*) FROM (
                SELECT FROM profiles_event
                 WHERE name_id = %(Product Viewed)s AND properties ->> 'category' = 'Shoes'
                   AND occurred_at >= %(as_of)s - interval '30 days' AND occurred_at < %(as_of)s
                 GROUP BY profile_id HAVING count(*) >= 2) AS found
        """,
    ),
    Case(
        name="spent over 500 and viewed 3 in 30 days",
        rule={
            "all": [
                ordered(measure="sum", op="gt", value=500, within={"days": 30}),
                viewed(op="gte", value=3, within={"days": 30}),
            ]
        },
        sql="""
            SELECT count(*) FROM (
                SELECT FROM profiles_event
                 WHERE name_id IN (%(Order Completed)s, %(Product Viewed)s)
                   AND occurred_at >= %(as_of)s - interval '30 days' AND occurred_at < %(as_of)s
                 GROUP BY profile_id
                HAVING sum(value) FILTER (WHERE name_id = %(Order Completed)s) > 500
                   AND count(*) FILTER (WHERE name_id = %(Product Viewed)s) >= 3) AS found
        """,
    ),
    Case(
        name="neither page nor product viewed in 60 days",
        rule={
            "not": {"any": [{"performed": "Page Viewed", "within": {"days": 60}}, viewed(within={"days": 60})]},
        },
        sql="""
            SELECT count(*) FROM profiles_profile p
             WHERE NOT EXISTS (SELECT FROM profiles_event e
                                WHERE e.profile_id = p.id AND e.name_id IN (%(Page Viewed)s, %(Product Viewed)s)
                                  AND e.occurred_at >= %(as_of)s - interval '60 days' AND e.occurred_at < %(as_of)s)
        """,
    ),
    Case(
        name="25 to 34, vip, DE or AT",
        rule={
            "all": [
                {"trait": "age", "op": "between", "value": [25, 34]},
                {"trait": "tags", "op": "contains_any", "value": ["vip"]},
                {"trait": "country", "op": "any_of", "value": ["DE", "AT"]},
            ]
        },
        sql="""
            SELECT count(*) FROM profiles_traitvalue c
              JOIN profiles_traitvalue a USING (profile_id) JOIN profiles_traitvalue t USING (profile_id)
             WHERE c.trait_id = %(country)s AND c.text_folded IN ('de', 'at')
               AND a.trait_id = %(age)s AND a.number BETWEEN 25 AND 34
               AND t.trait_id = %(tags)s AND t.items @> ARRAY['vip']
        """,
    ),
    Case(
        name="spent over 1,000 ever",
        rule=ordered(measure="sum", op="gt", value=1000),
        sql="SELECT count(*) FROM profiles_eventtotal WHERE name_id = %(Order Completed)s AND value_sum > 1000",
    ),
    Case(
        name="put 300 worth into the cart in 30 days",
        rule={
            "performed": "Product Added",
            "measure": "sum",
            "of": "price",
            "op": "gte",
            "value": 300,
            "within": {"days": 30},
        },
        sql="""
            SELECT count(*) FROM (
                SELECT FROM profiles_event
                 WHERE name_id = %(Product Added)s
                   AND occurred_at >= %(as_of)s - interval '30 days' AND occurred_at < %(as_of)s
                 GROUP BY profile_id HAVING sum((properties ->> 'price')::numeric) >= 300) AS found
        """,
    ),
    Case(
        name="ordered before Christmas, not since",
        rule={
            "all": [
                ordered(within={"from": "2025-11-20", "to": "2025-12-25"}),
                {"not": ordered(within={"from": "2025-12-25", "to": "2026-06-01"})},
            ]
        },
        sql="""
            SELECT count(*) FROM (
                SELECT FROM profiles_event
                 WHERE name_id = %(Order Completed)s AND occurred_at >= '2025-11-20Z' AND occurred_at < '2026-06-01Z'
                 GROUP BY profile_id HAVING max(occurred_at) < '2025-12-25Z') AS found
        """,
    ),
    Case(
        name="Pro, or born before 1960 with 500 points",
        rule={
            "any": [
                {"trait": "plan", "op": "equals", "value": "Pro"},
                {
                    "all": [
                        {"trait": "birthday", "op": "before", "value": "1960-01-01"},
                        {"trait": "points", "op": "gte", "value": 500},
                    ]
                },
            ]
        },
        sql="""
            SELECT count(*) FROM (
                SELECT profile_id FROM profiles_traitvalue WHERE trait_id = %(plan)s AND text_folded = 'pro'
                 UNION
                SELECT profile_id FROM profiles_traitvalue b JOIN profiles_traitvalue p USING (profile_id)
                 WHERE b.trait_id = %(birthday)s AND b.moment < '1960-01-01Z'
                   AND p.trait_id = %(points)s AND p.number >= 500) AS found
        """,
    ),
    Case(
        name="opened 3 e-mails in 30 days, at most 2 orders in a year",
        rule={
            "all": [
                {"performed": "Email Opened", "op": "gte", "value": 3, "within": {"days": 30}},
                ordered(op="lte", value=2, within={"days": 365}),
            ]
        },
        sql="""
            SELECT count(*) FROM (
                SELECT profile_id FROM profiles_event
                 WHERE name_id = %(Email Opened)s
                   AND occurred_at >= %(as_of)s - interval '30 days' AND occurred_at < %(as_of)s
                 GROUP BY profile_id HAVING count(*) >= 3) AS reader
             WHERE NOT EXISTS (
                SELECT FROM (
                    SELECT profile_id FROM profiles_event
                     WHERE name_id = %(Order Completed)s
                       AND occurred_at >= %(as_of)s - interval '365 days' AND occurred_at < %(as_of)s
                     GROUP BY profile_id HAVING count(*) > 2) AS buyer
                 WHERE buyer.profile_id = reader.profile_id)
        """,
    ),
]

# A condition on one trait, and the same on a table that has a column with an index for it.
TRAIT_CASES = [
    Case(
        name="country is DE",
        rule={"trait": "country", "op": "equals", "value": "DE"},
        sql="SELECT count(*) FROM bench_typed WHERE country = 'de'",
    ),
    Case(
        name="age 25 to 34",
        rule={"trait": "age", "op": "between", "value": [25, 34]},
        sql="SELECT count(*) FROM bench_typed WHERE age BETWEEN 25 AND 34",
    ),
    Case(
        name="plan is Plus or Pro",
        rule={"trait": "plan", "op": "any_of", "value": ["Plus", "Pro"]},
        sql="SELECT count(*) FROM bench_typed WHERE plan IN ('plus', 'pro')",
    ),
    Case(
        name="born before 1960",
        rule={"trait": "birthday", "op": "before", "value": "1960-01-01"},
        sql="SELECT count(*) FROM bench_typed WHERE birthday < '1960-01-01Z'",
    ),
    Case(
        name="over 900 points",
        rule={"trait": "points", "op": "gt", "value": 900},
        sql="SELECT count(*) FROM bench_typed WHERE points > 900",
    ),
]

TYPED = """
CREATE TABLE bench_typed AS
SELECT p.id, country.text_folded AS country, age.number AS age, plan.text_folded AS plan, birthday.moment AS birthday,
       points.number AS points
  FROM profiles_profile p
  LEFT JOIN profiles_traitvalue country ON country.profile_id = p.id AND country.trait_id = %(country)s
  LEFT JOIN profiles_traitvalue age ON age.profile_id = p.id AND age.trait_id = %(age)s
  LEFT JOIN profiles_traitvalue plan ON plan.profile_id = p.id AND plan.trait_id = %(plan)s
  LEFT JOIN profiles_traitvalue birthday ON birthday.profile_id = p.id AND birthday.trait_id = %(birthday)s
  LEFT JOIN profiles_traitvalue points ON points.profile_id = p.id AND points.trait_id = %(points)s
"""
TYPED_COLUMNS = ["country", "age", "plan", "birthday", "points"]
