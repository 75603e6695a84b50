"""The same write sent twice at once."""

import threading
from typing import Any

from django.db import connection, transaction

from cdp.rest import idempotency
from tests.integration.callers import found, key, problem

NEW = {"name": "Friends", "key": "friends"}
HEADER = {"Idempotency-Key": "7c9e6679-7425-40de-944b"}


def test_while_the_first_is_under_way_the_second_is_told_to_wait(own_database: Any) -> None:
    caller = key()
    answers: list[Any] = []

    def send() -> None:
        answers.append(caller.post("lists/", NEW, **HEADER))
        connection.close()

    name = idempotency._digest("name", HEADER["Idempotency-Key"].encode())
    with transaction.atomic():
        assert idempotency._is_mine(caller.user, name)
        other = threading.Thread(target=send)
        other.start()
        other.join()
    refused = problem(answers[0], 409)
    assert refused["code"] == "idempotency_in_progress" and answers[0]["Retry-After"] == "1"
    # The transaction that had the lock ended without having done anything, as when its process is killed.
    found(caller.post("lists/", NEW, **HEADER), 201)
