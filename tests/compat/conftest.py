"""One server process for all the clients of a test run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from realserver import duologue_serve


@pytest.fixture(scope="session")
def host() -> Iterator[str]:
    """Where `duologue serve` listens, as `127.0.0.1:port`."""
    with duologue_serve() as address:
        yield address
