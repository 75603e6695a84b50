"""The less is known, the less is allowed and the sooner an answer is due: as a law over all places and days."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.law import (
    Asked,
    Capability,
    Law,
    LawError,
    Model,
    Right,
    acknowledge_by,
    age_band,
    asked,
    demands,
    due,
    extendable,
    law_for,
    shipped,
    strictest,
)
from consent.law.ages import AgeBand
from consent.law.library import DEFAULT, SHIPPED, assembled
from consent.law.places import ALL_CELLS, COUNTRIES, REGIONS
from consent.law.reading import Document, read

days = st.dates(date(2017, 1, 1), date(2032, 12, 31))
countries = st.one_of(
    st.none(),
    st.sampled_from(sorted(COUNTRIES)),
    st.sampled_from(["US", "CA", "GB", "DE", "DK", "IN", "CH"]),
    st.text(max_size=4),
)
regions = st.one_of(
    st.none(), st.sampled_from(sorted(REGIONS["US"] | REGIONS["CA"])), st.sampled_from(["DE-BY", "US-ZZ", "CA"])
)
places = st.one_of(st.tuples(countries, regions), st.sampled_from(ALL_CELLS).map(lambda cell: (cell[:2], cell)))
birth_dates = st.one_of(st.none(), st.dates(date(1890, 1, 1), date(2035, 1, 1)))


def assert_no_wider(less: Law, more: Law, received: date) -> None:
    """What is answered knowing less neither allows more nor gives more time than what is answered knowing more."""
    for of in Capability:
        if more.consent[of].value is Model.OPT_IN:
            assert less.consent[of].value is Model.OPT_IN
        assert less.opt_in_below[of].value >= more.opt_in_below[of].value
        assert less.forbidden_below[of].value >= more.forbidden_below[of].value
        assert demands(less, of).honours_gpc >= demands(more, of).honours_gpc
    assert less.guardian_below.value >= more.guardian_below.value
    assert less.adult_from.value >= more.adult_from.value
    assert less.keep_records_months.value >= more.keep_records_months.value
    for right in Right:
        if not more.rights[right].value:
            continue
        assert due(less, right, received) <= due(more, right, received)
        if extendable(less, right):
            assert extendable(more, right)
            assert due(less, right, received, True) <= due(more, right, received, True)
        known, unknown = acknowledge_by(more, right, received), acknowledge_by(less, right, received)
        assert known is None or (unknown is not None and unknown <= known)


@settings(max_examples=400, deadline=None)
@given(place=places, on=days, received=days)
def test_not_knowing_the_region_or_the_country_never_widens(
    place: tuple[str | None, str | None], on: date, received: date
) -> None:
    country, region = place
    known, without_region, nowhere = law_for(country, region, on), law_for(country, None, on), law_for(None, None, on)
    assert_no_wider(without_region, known, received)
    assert_no_wider(nowhere, without_region, received)
    assert_no_wider(law_for(None, region, on), known, received)


@settings(max_examples=400, deadline=None)
@given(place=places, on=days, born=birth_dates, capability=st.sampled_from(Capability))
def test_not_knowing_the_age_never_widens(
    place: tuple[str | None, str | None], on: date, born: date | None, capability: Capability
) -> None:
    law = law_for(*place, on)
    demand = demands(law, capability)
    assert asked(demand, None, on) >= asked(demand, born, on)
    assert asked(demands(law_for(None, None, on), capability), None, on) >= asked(demand, born, on)
    assert age_band(law, None, on) is AgeBand.UNKNOWN


@settings(max_examples=300, deadline=None)
@given(place=places, on=days, born=st.dates(date(1930, 1, 1), date(2032, 1, 1)), capability=st.sampled_from(Capability))
def test_the_bands_and_what_is_asked_agree(
    place: tuple[str | None, str | None], on: date, born: date, capability: Capability
) -> None:
    law = law_for(*place, on)
    band, found = age_band(law, born, on), asked(demands(law, capability), born, on)
    if band is AgeBand.GUARDIAN_NEEDED:
        assert found >= Asked.GUARDIANS_YES
    if band is AgeBand.ADULT and found is Asked.UNLESS_NO:
        assert law.consent[capability].value is Model.OPT_OUT
    assert band is AgeBand.UNKNOWN or found is not Asked.GUARDIANS_YES or band is AgeBand.GUARDIAN_NEEDED


@settings(max_examples=200, deadline=None)
@given(cells=st.lists(st.sampled_from(ALL_CELLS), min_size=1, max_size=5), on=days, received=days, data=st.data())
def test_joining_more_laws_never_widens_and_their_order_is_nothing(
    cells: list[str], on: date, received: date, data: st.DataObject
) -> None:
    laws = [shipped().at((cell,), on) for cell in cells]
    whole = strictest(laws)
    for law in laws:
        assert_no_wider(whole, law, received)
    shuffled = strictest(data.draw(st.permutations(laws)))
    assert_no_wider(shuffled, whole, received)
    assert_no_wider(whole, shuffled, received)
    cut = data.draw(st.integers(1, len(laws)))
    grouped = strictest([strictest(laws[:cut]), *laws[cut:]])
    assert_no_wider(grouped, whole, received)
    assert_no_wider(whole, grouped, received)
    assert strictest([whole, whole]) == whole


def test_one_law_is_its_own_strictest() -> None:
    law = law_for("DE", None, date(2026, 6, 1))
    assert strictest([law]) == law == strictest([law, law])


def test_one_law_that_differs_by_place_is_joined_like_several() -> None:
    on = date(2026, 6, 1)
    both = strictest([law_for("AT", None, on), law_for("DE", None, on)])
    assert (both.guardian_below.value, both.keys) == (16, ("gdpr",))


def test_the_strictest_of_none_is_no_answer() -> None:
    with pytest.raises(ValueError, match="would demand nothing"):
        strictest([])


# ---- Confirmation ----------------------------------------------------------------------------------------------

DOCUMENTS = [read(path.name, path.read_bytes()) for path in sorted(SHIPPED.glob("*.toml"))]


def doubted(document: Document) -> Document:
    """The same file, nothing of which anybody has confirmed."""
    return replace(
        document,
        entries=tuple(
            replace(entry, figure=replace(entry.figure, confirmed=False, check="everything"))
            for entry in document.entries
        ),
    )


@pytest.mark.parametrize("key", [document.key for document in DOCUMENTS if document.key != DEFAULT])
def test_taking_back_a_confirmation_never_widens(key: str) -> None:
    now = shipped()
    then = assembled([doubted(document) if document.key == key else document for document in DOCUMENTS])
    received = date(2026, 1, 31)
    for cell in ALL_CELLS:
        for turn in {now.turns[0] - timedelta(days=1), *now.turns}:
            less, more = then.at((cell,), turn), now.at((cell,), turn)
            if less != more:
                assert_no_wider(less, more, received)
                assert_no_wider(less, now.at(("AQ",), turn), received)


# ---- Counting --------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(place=places, on=days, right=st.sampled_from(Right), received=days)
def test_who_asks_later_is_never_answered_sooner(
    place: tuple[str | None, str | None], on: date, right: Right, received: date
) -> None:
    law = law_for(*place, on)
    if not law.rights[right].value:
        with pytest.raises(LawError, match="gives no right"):
            due(law, right, received)
        return
    first = due(law, right, received)
    assert received < first <= due(law, right, received + timedelta(days=1))
    if extendable(law, right):
        assert first < due(law, right, received, True) <= received + timedelta(days=200)
