"""What every integration test needs: caches that don't remember another test's database."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    from cdp.ingestion import keys
    from cdp.profiles import catalogue
    from segments import live

    for module in (catalogue, keys, live):
        module.forget()
    yield
    for module in (catalogue, keys, live):
        module.forget()
