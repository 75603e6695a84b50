"""The grid of RFM as it is shown: what is picked by a press, how strong a cell is, and where groups end."""

from decimal import Decimal

from segments.rfm.grid import ALL_PLACES, Asked, Sums, cells_shown, edges_of, heat, named, places_of, total, written


def test_a_press_picks_a_cell_alone_and_a_second_press_lets_it_go() -> None:
    first = Asked().picking((5, 4))
    assert first.query == "?pick=5-4"
    assert first.picking((1, 1)).places == {(1, 1)}
    assert first.picking((5, 4)).places == frozenset()


def test_picking_several_adds_and_takes_away() -> None:
    several = Asked(is_several=True, by="revenue").picking((5, 4)).picking((5, 5))
    assert several.query == "?by=revenue&several=1&pick=5-4.5-5"
    assert several.picking((5, 4)).places == {(5, 5)}


def test_a_cell_pressed_while_a_group_is_picked_is_picked_alone() -> None:
    assert Asked(group="Lost", is_several=True).picking((1, 1)) == Asked(is_several=True, places=frozenset({(1, 1)}))


def test_an_address_says_what_it_means_and_nonsense_in_it_nothing() -> None:
    asked = Asked.of({"pick": "5-5.9-9.x.5-.1-2", "by": "hue", "group": "Gone", "several": "2"}, groups=["Lost"])
    assert asked == Asked(places=frozenset({(5, 5), (1, 2)}))
    assert Asked.of({"group": "Lost"}, groups=["Lost"]).query == "?group=Lost"
    assert places_of(written(ALL_PLACES)) == set(ALL_PLACES)
    assert places_of("") == frozenset() and places_of("12-3.-.3-") == frozenset()


def test_cells_are_named_until_they_are_too_many() -> None:
    assert named([(5, 5)]) == "R 5, FM 5"
    assert named([(4, 5), (5, 5)]) == "R 5, FM 5; R 4, FM 5"
    assert named(ALL_PLACES) == "25 cells"


def test_whatever_there_is_is_seen_and_what_is_lost_is_not_strong() -> None:
    assert [heat(value, 1000) for value in (0, 1, 500, 1000)] == [0, 1, 4, 9]
    assert heat(Decimal(-5), Decimal(10)) == 0
    assert heat(Decimal(-5), Decimal(-1)) == 0


def test_edges_are_where_another_group_begins_or_the_grid_ends() -> None:
    groups = {place: "A" if place[0] > 3 else "B" for place in ALL_PLACES}
    assert edges_of((4, 3), groups) == " o-l"
    assert edges_of((3, 1), groups) == " o-r o-b"
    assert edges_of((5, 5), groups) == " o-t o-r"


def test_sums_add_up_and_shares_of_a_loss_are_not_told() -> None:
    one = Sums(people=2, orders=4, revenue=Decimal(100), recency_days=Decimal(30))
    all_of = total([one, Sums(people=1, orders=1, revenue=Decimal(-120), recency_days=Decimal(3))])
    assert (all_of.people, all_of.orders, all_of.revenue, all_of.recency_days) == (3, 5, Decimal(-20), Decimal(33))
    assert one.average == 25 and one.monetary_mean == 50 and one.recency_mean == 15 and one.frequency_mean == 2
    assert one.people_share(all_of) == 2 / 3 and one.revenue_share(all_of) is None
    assert Sums().average is None and Sums().people_share(Sums()) is None


def test_a_group_that_is_picked_picks_its_cells() -> None:
    groups = {place: "Best" if place[0] == 5 else "Rest" for place in ALL_PLACES}
    shown = cells_shown({(5, 5): Sums(people=3, revenue=Decimal(9))}, groups, Asked(group="Best"))
    assert {place for place, cell in shown.items() if cell.is_picked} == {(5, fm) for fm in range(1, 6)}
    assert shown[5, 5].said == "R 5, FM 5" and shown[5, 5].revenue_share == 1
    assert shown[5, 5].heat == 9 and shown[1, 1].heat == 0
