"""`duologue relay` as a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct


class Command(Struct, frozen=True):
    """A relay that runs."""

    port: int
    process: Process

    async def told(self, words: str) -> str:
        """The next line on stderr with these words in it."""
        assert self.process.stderr
        async with asyncio.timeout(10):
            while line := (await self.process.stderr.readline()).decode():
                if words in line:
                    return line
        raise AssertionError(f"the relay ended and never said {words!r}")

    async def stopped(self) -> int | None:
        """Its exit code, once it has ended."""
        async with asyncio.timeout(10):
            return await self.process.wait()


@asynccontextmanager
async def commanded(config: Path, env: Mapping[str, str], *options: str) -> AsyncIterator[Command]:
    """`duologue relay` with these settings on a port of its own; asked to stop at the end, if it has not by then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "duologue.cli.main", "relay", "--config", str(config), "--port", "0", *options,
        stdout=PIPE, stderr=PIPE, env={**os.environ, **env},
    )  # fmt: skip
    assert process.stdout
    try:
        found = re.search(r"ws://127\.0\.0\.1:(\d+)", (await process.stdout.readline()).decode())
        assert found
        yield Command(int(found[1]), process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)  # without waiting for calls
        _, rest = await process.communicate()
        assert b"Traceback" not in rest
