"""The CDNOW log comes through the pipeline whole, and its segments are what pandas counts independently."""

import pandas as pd
import pytest
from django.db.models import Sum

from cdp.errors import DomainError
from cdp.profiles.models import Event, EventName, EventTotal, Profile, Workspace
from consent.models import ConsentRecord
from demo import cdnow
from segments.models import Membership, Segment
from tests.conftest import OwnDatabase
from tests.harness.processes import Processes
from tests.integration import cdnow_rfm

AS_OF = pd.Timestamp("1998-07-01")


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    try:
        path = cdnow.find_log()
    except DomainError as missing:
        pytest.skip(str(missing))
    return pd.read_csv(
        path,
        sep=r"\s+",
        header=0,
        names=["customer", "day", "cds", "dollars"],
        parse_dates=["day"],
        date_format="%Y%m%d",
    )


def load(processes: Processes) -> None:
    process = processes.manage("load_cdnow")
    assert process.wait(240) == 0, processes.output()


def customers_in(segment_key: str) -> set[int]:
    found = Membership.objects.filter(segment__key=segment_key, profile__identifiers__namespace="user_id")
    return {int(value.removeprefix("cdnow-")) for value in found.values_list("profile__identifiers__value", flat=True)}


def test_every_purchase_is_kept_and_the_segments_are_what_pandas_counts(
    log: pd.DataFrame, own_database: OwnDatabase, processes: Processes
) -> None:
    load(processes)

    name = EventName.objects.get(name="Order Completed")
    events = Event.objects.filter(name_id=name.pk)
    assert events.count() == len(log) == 69_659
    assert float(events.aggregate(total=Sum("value"))["total"]) == pytest.approx(log["dollars"].sum(), abs=0.005)
    assert (
        Profile.objects.count() == EventTotal.objects.filter(name=name).count() == log["customer"].nunique() == 23_570
    )

    person = log.groupby("customer").agg(last=("day", "max"), orders=("day", "size"), spent=("dollars", "sum"))
    recent = person["last"] >= AS_OF - pd.Timedelta(days=90)
    silent = person["last"] < AS_OF - pd.Timedelta(days=180)
    independent = {
        "bought-in-the-last-90-days": person[recent],
        "spent-100-then-silent-for-180-days": person[silent & (person["spent"].round(2) > 100)],
        "exactly-one-purchase": person[person["orders"] == 1],
    }
    for key, expected in independent.items():
        assert customers_in(key) == set(expected.index), key
    assert {len(expected) for expected in independent.values()} == {3_301, 2_526, 11_908}

    # Wholly equal lines are different purchases: both count.
    twice = log[log.duplicated(keep=False)]
    customer = int(twice["customer"].iloc[0])
    profile = Profile.objects.get(identifiers__namespace="user_id", identifiers__value=f"cdnow-{customer:05d}")
    assert events.filter(profile_id=profile.pk).count() == (log["customer"] == customer).sum()

    assert Workspace.current().now() == cdnow.AS_OF
    records = ConsentRecord.objects.all()
    assert records.exists()
    assert all(record.evidence["test"] is True and record.method == "import" for record in records.iterator())

    before = (Event.objects.count(), records.count(), Segment.objects.count(), Membership.objects.count())
    load(processes)
    after = (Event.objects.count(), records.count(), Segment.objects.count(), Membership.objects.count())
    assert after == before, "a second import changes nothing"

    cdnow_rfm.check(log)
