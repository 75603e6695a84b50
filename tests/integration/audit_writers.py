"""Writers of audit entries as a process of their own: `python -m tests.integration.audit_writers FILE THREADS`.

Each committed act is noted in the file, a line each, after its commit: so what was acknowledged is known, whoever dies.
"""

import random
import signal
import sys
import threading
import time
from pathlib import Path

import django

django.setup()

from django.db import DatabaseError, InterfaceError, connection, transaction  # noqa: E402

from cdp.audit import SYSTEM  # noqa: E402
from cdp.audit.services import Act, record_all  # noqa: E402


def write(until: threading.Event, noted: Path, number: int) -> None:
    chance = random.Random(f"{noted.name} {number}")
    with noted.with_suffix(f".{number}").open("a") as file:
        while not until.is_set():
            mark = f"{noted.name}-{number}-{chance.getrandbits(64):x}"
            try:
                with transaction.atomic():
                    acts = [
                        Act("thing.made", "things.thing", mark, detail={"n": n}) for n in range(chance.randrange(1, 20))
                    ]
                    record_all(by=SYSTEM, acts=acts)
                    # Each is nearly always in a transaction, and they end in another order than they began; but between
                    # them they leave the machine to whom they are to trouble.
                    time.sleep(chance.random() / 10)
                    if chance.random() < 0.1:
                        transaction.set_rollback(True)
                        continue
            except (DatabaseError, InterfaceError):
                connection.close()
                time.sleep(0.05)
                continue
            file.write(f"{mark} {len(acts)}\n")
            file.flush()
    connection.close()


def main() -> None:
    until = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: until.set())
    threads = [
        threading.Thread(target=write, args=(until, Path(sys.argv[1]), number)) for number in range(int(sys.argv[2]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
