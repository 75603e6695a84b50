"""The consumer's life: it ends when it is told to, and not before its work is done."""

import threading
import time

from cdp.consumer import Consumer
from cdp.ingestion.models import InboxMessage
from cdp.profiles.models import Event
from segments.models import MembershipChange
from tests.conftest import OwnDatabase
from tests.factories import live, performed, process_all, track, tracker


def test_a_consumer_that_is_told_to_stop_ends_at_once(own_database: OwnDatabase) -> None:
    consumer = Consumer()
    running = threading.Thread(target=consumer.run)
    running.start()
    time.sleep(0.5)
    consumer.stop()
    running.join(timeout=5)
    assert not running.is_alive()


def test_until_empty_everything_is_processed_and_every_change_numbered(own_database: OwnDatabase) -> None:
    shop = tracker()
    shop.send(track("Order Completed", "u0"))
    process_all()
    live("buyers", performed("Order Completed"))
    shop.send(*(track("Order Completed", f"u{number}") for number in range(1, 50)))
    Consumer(until_empty=True).run()
    assert not InboxMessage.objects.exists()
    assert Event.objects.count() == 50
    assert MembershipChange.objects.filter(position__isnull=True).count() == 0
    assert MembershipChange.objects.count() == 50
