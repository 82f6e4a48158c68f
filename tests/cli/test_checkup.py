"""The checks one by one, on what this machine really has."""

from __future__ import annotations

import asyncio
import socket

import pytest

from duologue.cli import checkup
from duologue.errors import EngineError, MissingExtra


def test_a_port_that_is_taken_names_the_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = checkup.port_of("serve", port)
    assert found.gap
    assert found.remedy.endswith("duologue serve --port N")
    assert not checkup.port_of("serve", port).gap


def test_an_extra_is_there_or_named() -> None:
    assert not checkup.extra("relay", ("json",)).gap
    assert checkup.extra("relay", ("json", "no_such_package")).remedy == "Run: pip install 'duologue[relay]'"


def test_a_host_that_cannot_be_reached_is_a_gap() -> None:
    assert asyncio.run(checkup.network("host.invalid")).gap


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        (MissingExtra("numpy", "server"), "Run: pip install 'duologue[server]'"),
        (EngineError("silero", "the model is broken.", remedy="Install it again."), "Install it again."),
    ],
)
def test_an_engine_that_fails_brings_its_remedy(problem: Exception, remedy: str) -> None:
    async def fails() -> str:
        raise problem

    found = asyncio.run(checkup._engine("speech detector", fails))
    assert found.needed
    assert found.remedy == remedy
