"""RFM of the CDNOW log, beside an independent computation in pandas and figures that were published. It is called by the test that has
loaded the log."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import pandas as pd

from cdp.database import bound_cursor
from cdp.profiles.models import Workspace
from demo import cdnow
from segments.analytics.rfm import Scheme
from segments.analytics.rfm_groups import DEFAULT_GROUPS
from segments.rfm.models import RfmRun
from segments.rfm.running import run
from segments.rfm.services import change_settings, request_run
from tests.factories import BY

WHOLE_DAYS: Final = 546  # 1 January 1997 to 30 June 1998
# By R, the names from FM 1 to FM 5.
NAMES: Final = {
    1: ("Lost", "Hibernating", "Hibernating", "Can't lose", "Can't lose"),
    2: ("About to sleep", "Need attention", "At risk", "At risk", "At risk"),
    3: ("About to sleep", "Need attention", "Loyal", "Loyal", "Loyal"),
    4: ("Promising", "Potential loyalist", "Loyal", "Champions", "Champions"),
    5: ("New", "Potential loyalist", "Loyal", "Champions", "Champions"),
}
OURS: Final = """
    SELECT substr(i.value, 7)::int, s.key, s.number::float8, s.label FROM profiles_score AS s
      JOIN profiles_identifier AS i ON i.profile_id = s.profile_id AND i.namespace = 'user_id'
     WHERE s.run_id = %s
"""


def check(log: pd.DataFrame) -> None:
    """Two windows of the log: the default one, which not everybody bought in, and the whole of it; and the published one."""
    year = made(days=365)
    compare(log, year, until="1998-07-01", days=365)
    whole = made(days=WHOLE_DAYS)
    expected = compare(log, whole, until="1998-07-01", days=WHOLE_DAYS)
    # Fader & Hardie, "Forecasting Repeat Sales at CDNOW" (Interfaces 31, 2001): 23,570 people first bought in the first quarter of
    # 1997, and made 69,659 purchases until June 1998.
    assert (whole.people, whole.orders, whole.unpriced_orders) == (23_570, 69_659, 0)
    assert whole.revenue == Decimal("2500315.63")
    assert expected["frequency"].eq(1).sum() == 11_908

    before = independent(log, until="1998-07-01", days=365)["group"].reindex(expected.index).fillna("")
    flows = {(one["before"], one["after"]): one["people"] for one in whole.flows}
    assert flows == pd.crosstab(before, expected["group"]).stack().loc[lambda count: count > 0].to_dict()
    assert whole.moves.count() == (before != expected["group"]).sum() and not whole.is_same_scheme

    # The 2,357 customers of whom Fader, Hardie & Lee publish x, t_x and T of the first 39 weeks ("Counting Your Customers the Easy
    # Way", Marketing Science 24, 2005), in weeks with two places: T less t_x is how long ago they bought last. They count days with a
    # purchase after the first one, we count orders.
    workspace = Workspace.objects.filter(pk=1)
    workspace.update(frozen_at=datetime(1997, 10, 1, tzinfo=UTC))
    early = made(days=273)
    workspace.update(frozen_at=cdnow.AS_OF)
    compare(log, early, until="1997-10-01", days=273)
    folder = cdnow.find_log().parent
    sample = pd.read_csv(folder / "CDNOW_sample.txt", sep=r"\s+", header=None, usecols=[0, 1], names=["customer", "ID"])
    told = (
        pd.read_csv(folder / "cdnow_customers_summary.csv")
        .merge(sample.drop_duplicates(), on="ID")
        .set_index("customer")
    )
    assert len(told) == 2_357
    assert told["frequency"].clip(upper=7).value_counts().sort_index().tolist() == [1411, 439, 214, 100, 62, 38, 29, 64]
    ours = independent(log, until="1997-10-01", days=273).loc[told.index]
    assert (((told["T"] - told["recency"]) * 7).round() == ours["days"]).all()
    days = log[log["day"] < "1997-10-01"].groupby("customer")["day"].nunique().loc[told.index]
    assert (days - 1 == told["frequency"]).all() and (ours["frequency"] >= days).all()


def made(*, days: int) -> RfmRun:
    change_settings(by=BY, scheme=Scheme(window_days=days, groups=DEFAULT_GROUPS))
    asked = request_run(by=BY)
    run(rfm=asked, progress=lambda done, total, phase: None)
    asked.refresh_from_db()
    assert asked.job is not None
    asked.job.delete()
    return RfmRun.objects.get(pk=asked.pk)


def independent(log: pd.DataFrame, *, until: str, days: int) -> pd.DataFrame:
    """By customer, in pandas with none of the platform's code. Each purchase counts as made at noon, as it is imported."""
    end = pd.Timestamp(until)
    bought = log.assign(cents=(log["dollars"] * 100).round().astype("int64"), at=log["day"] + pd.Timedelta(hours=12))
    bought = bought[(bought["at"] >= end - pd.Timedelta(days=days)) & (bought["at"] < end)]
    of = bought.groupby("customer").agg(last=("at", "max"), frequency=("at", "size"), cents=("cents", "sum"))
    of["days"] = (end - of["last"]).dt.days
    for measure, score in (("days", "r"), ("frequency", "f"), ("cents", "m")):
        of[score] = 1 + sum((of[measure] > cut).astype(int) for cut in cuts_of(of[measure]))
    of["r"] = 6 - of["r"]
    of["fm"] = (of["f"] + of["m"] + 1) // 2
    of["weighted"] = ((of["r"] + of["f"] + of["m"]) / 3).round(4)
    of["group"] = [NAMES[r][fm - 1] for r, fm in zip(of["r"], of["fm"], strict=True)]
    return of


def cuts_of(values: "pd.Series[int]") -> list[int]:
    """The first value up to which at least 20, 40, 60 and 80 percent lie: counted, without any function for percentiles."""
    upto = values.value_counts().sort_index().cumsum()
    return [int(upto.index[(upto * 100 >= percent * len(values)).argmax()]) for percent in (20, 40, 60, 80)]


def compare(log: pd.DataFrame, found: RfmRun, *, until: str, days: int) -> pd.DataFrame:
    """What pandas says, once everybody's scores and group, the thresholds and all sums are the same as ours."""
    expected = independent(log, until=until, days=days)
    with bound_cursor() as cursor:
        cursor.execute(OURS, [found.score_run_id])
        told = pd.DataFrame(cursor.fetchall(), columns=["customer", "key", "number", "label"])
    numbers = told.pivot_table(index="customer", columns="key", values="number")
    labels = told[told["key"] == "group"].set_index("customer")["label"].sort_index()
    assert len(told) == 5 * len(expected) and numbers.index.equals(expected.index)
    for key, column in (("recency", "r"), ("frequency", "f"), ("monetary", "m"), ("fm", "fm"), ("group", "weighted")):
        assert (numbers[key] == expected[column]).all(), key
    assert (labels == expected["group"]).all()
    thresholds = found.as_thresholds
    assert thresholds is not None
    assert list(thresholds.recency) == cuts_of(expected["days"])
    assert list(thresholds.frequency) == cuts_of(expected["frequency"])
    assert [int(100 * cut) for cut in thresholds.monetary] == cuts_of(expected["cents"])

    sums = expected.groupby(["r", "fm"]).agg(
        people=("cents", "size"), orders=("frequency", "sum"), cents=("cents", "sum"), days=("days", "sum")
    )
    ours = {(cell["r"], cell["fm"]): cell for cell in found.cells if cell["people"]}
    assert set(ours) == set(sums.index)
    for place, row in sums.iterrows():
        cell = ours[place]
        assert (cell["people"], cell["orders"], int(100 * Decimal(cell["revenue"])), cell["recency_days"]) == tuple(row)
    by_name = expected.groupby("group").agg(people=("cents", "size"), mean=("days", "mean"))
    for group in found.groups:
        if group["people"]:
            row = by_name.loc[group["name"]]
            assert group["people"] == row["people"] and abs(group["recency_mean"] - row["mean"]) < 1e-9
    return expected
