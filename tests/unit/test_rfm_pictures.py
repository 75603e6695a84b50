"""Pictures of an RFM run say what their tables say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from segments.rfm.grid import Sums
from segments.rfm.pictures import (
    Distribution,
    Group,
    Move,
    Past,
    distribution_figure,
    drift_figure,
    groups_figure,
    moves_figure,
    score_of,
    way_of,
)

BEST = Group(name="Champions", action="Thank them.", sums=Sums(people=3, orders=9, revenue=Decimal(75)))
REST = Group(name="Lost", action="", sums=Sums(people=1, orders=1, revenue=Decimal(25)))
ORDER = {"Champions": 0, "Loyal": 1, "Lost": 2}


def test_groups_are_told_with_their_shares() -> None:
    figure = groups_figure([BEST, REST], "EUR")
    assert figure.rows == [
        ("Champions", "3", "75.0%", "75.00 EUR", "75.0%"),
        ("Lost", "1", "25.0%", "25.00 EUR", "25.0%"),
    ]
    assert figure.about == "4 people in 2 groups; the largest is Champions with 3."


def test_groups_of_a_loss_have_no_share_of_revenue_and_no_colour() -> None:
    loss = Group(name="Lost", action="", sums=Sums(people=1, revenue=Decimal(-200)))
    figure = groups_figure([BEST, loss], "EUR")
    assert [row[-1] for row in figure.rows] == ["", ""]
    assert "revenue not shared out" in figure.options["series"][0]["data"][0]["said"]


def test_scores_keep_ties_together_and_recency_is_good_when_it_is_little() -> None:
    cuts = [10, 20, 30, 40]
    assert [score_of("recency", cuts, days) for days in (0, 10, 10.5, 40, 41)] == [5, 5, 4, 2, 1]
    assert [score_of("frequency", cuts, orders) for orders in (10, 11, 40, 41)] == [1, 2, 4, 5]
    assert [score_of("frequency", [1, 1, 1, 3], orders) for orders in (1, 2, 4)] == [1, 4, 5]


def test_cuts_at_one_value_are_one_line() -> None:
    spread = Distribution(measure="frequency", edges=[0, 1, 2, 5], counts=[4, 3, 2], cuts=[0.5, 1, 1, 4])
    figure = distribution_figure(spread, "EUR")
    lines = figure.options["series"][0]["markLine"]["data"]
    assert [line["name"] for line in lines] == ["1 | 2", "2 | 3 | 4", "4 | 5"]
    assert [row[0] for row in figure.rows] == ["up to 0", "1", "2 or more"], "of orders, which are whole"
    assert [row[2] for row in figure.rows] == ["1", "2", "4 to 5"]
    assert figure.options["xAxis"]["data"] == ["up to 0", "1", "2 or more"]
    recency = replace(spread, measure="recency")
    lines = distribution_figure(recency, "EUR").options["series"][0]["markLine"]["data"]
    assert [line["name"] for line in lines] == ["5 | 4", "4 | 3 | 2", "2 | 1"]
    rows = [(row[0], row[2]) for row in distribution_figure(recency, "EUR").rows]
    assert rows == [("up to 1", "4 to 5"), ("1 to 2", "2 to 4"), ("2 or more", "1 to 2")]


def test_up_and_down_are_by_the_order_of_the_groups() -> None:
    ways = [
        way_of(Move(before=before, after=after, people=1), ORDER)
        for before, after in (("Lost", "Loyal"), ("Loyal", "Lost"), ("Lost", "Lost"), ("", "Lost"), ("Lost", ""), ("Old", "Lost"))
    ]  # fmt: skip
    assert ways == ["up", "down", "stayed", "came", "went", "renamed"]


def test_moves_are_drawn_from_where_they_were_also_if_the_group_is_no_more() -> None:
    moves = [Move(before="Old", after="Lost", people=2), Move(before="", after="Loyal", people=5)]
    figure = moves_figure(moves, list(ORDER))
    names = [one["name"] for one in figure.options["series"][0]["data"]]
    assert names == ["before:Not scored before", "before:Old", "after:Loyal", "after:Lost"]
    assert figure.rows[0] == ("Not scored before", "Loyal", "5", "71.4%")
    assert figure.about == "Of 7 people, 7 are in another group than before."


def test_drift_says_where_each_score_began_at_each_run() -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    past = [Past(as_of=first + timedelta(days=n), cuts={"recency": [10 + n, 20, 30, 40]}) for n in range(3)]
    figure = drift_figure("recency", past, "EUR")
    assert [one["name"] for one in figure.options["series"]] == ["Score 5", "Score 4", "Score 3", "Score 2"]
    assert figure.rows[0] == ("3 Jan 2026 00:00", "12", "20", "30", "40")
    assert "Score 5 from 10 to 12" in figure.about
