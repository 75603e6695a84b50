"""The CDNOW log is read whole: equal lines are different purchases."""

import sys
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from cdp.errors import DomainError
from demo import cdnow


@pytest.fixture(scope="module")
def log() -> Path:
    try:
        return cdnow.find_log()
    except DomainError as missing:
        pytest.skip(str(missing))


def test_the_log_has_the_published_numbers_of_customers_and_purchases(log: Path) -> None:
    purchases = list(cdnow.read(log))
    assert len(purchases) == 69_659
    assert len({purchase.customer for purchase in purchases}) == len(cdnow.customers(log)) == 23_570
    assert min(purchase.day for purchase in purchases) == date(1997, 1, 1)
    assert max(purchase.day for purchase in purchases) == date(1998, 6, 30)


def test_wholly_equal_lines_become_different_messages(log: Path) -> None:
    purchases = list(cdnow.read(log))
    lines = Counter((p.customer, p.day, p.cds, p.dollars) for p in purchases)
    assert len(lines) < len(purchases), "the log has equal lines"
    messages = [sent.message for sent in cdnow.messages(log)]
    assert len({message["messageId"] for message in messages}) == 69_659
    assert len({message["properties"]["order_id"] for message in messages}) == 69_659


def test_messages_keep_every_dollar_and_come_in_the_order_of_days(log: Path) -> None:
    messages = [sent.message for sent in cdnow.messages(log)]
    assert sum(Decimal(str(message["properties"]["revenue"])) for message in messages) == sum(
        purchase.dollars for purchase in cdnow.read(log)
    )
    assert [message["timestamp"] for message in messages] == sorted(message["timestamp"] for message in messages)


def test_the_package_is_read_as_data_and_never_imported(log: Path) -> None:
    list(cdnow.messages(log))
    assert "lifetimes" not in sys.modules


@pytest.mark.parametrize(
    "text",
    ["", "id;date;n;sum\n", " customer_id  date number_of_cds  dollar_value\n 00001 19970101  1\n"],
)
def test_a_file_that_is_not_the_log_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.txt"
    path.write_text(text)
    with pytest.raises(DomainError) as refusal:
        list(cdnow.read(path))
    assert refusal.value.code == "cdnow_unreadable"


def test_a_purchase_keeps_its_customer_day_and_dollars(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text(" customer_id  date number_of_cds  dollar_value\r\n 00002 19970112  5   77.00\r\n")
    assert list(cdnow.read(path)) == [
        cdnow.Purchase(row=1, customer="00002", day=date(1997, 1, 12), cds=5, dollars=Decimal("77.00"))
    ]
