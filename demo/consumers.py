"""Consumers for the time of a load: processes that do what the command `consume` does.

Each starts from nothing, so this module must not import Django's models at its top.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess


@contextmanager
def running_consumers(number: int) -> Iterator[list[BaseProcess]]:
    """So many consumers, for as long as the block, or this process, lives."""
    spawn = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = [spawn.Process(target=_consume, name=f"consumer {n}") for n in range(1, number + 1)]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(30)
            if process.is_alive():
                process.kill()


def _consume() -> None:
    os.environ.setdefault("CDP_LOG_LEVEL", "WARNING")
    import django
    from django.core.management import call_command

    django.setup()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    call_command("consume")


def _end_with_parent() -> None:
    # A killed load must not leave consumers behind.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
