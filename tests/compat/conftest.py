"""The server processes for all the clients of a test run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from realserver import duologue_serve
from weather_mcp import weather_mcp


@pytest.fixture(scope="session")
def host() -> Iterator[str]:
    """Where `duologue serve` listens, as `127.0.0.1:port`."""
    with duologue_serve() as address:
        yield address


@pytest.fixture(scope="session")
def slow_host() -> Iterator[str]:
    """A server whose answers come word by word, 30 in a second: there is time to interrupt them."""
    with duologue_serve("--tokens-per-second", "30") as address:
        yield address


@pytest.fixture(scope="session")
def mcp_url() -> Iterator[str]:
    """Where a remote MCP server offers `get_weather`."""
    with weather_mcp() as address:
        yield address
