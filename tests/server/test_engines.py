"""The engines of one server: started side by side, and none left running where one does not start."""

from __future__ import annotations

import asyncio

import pytest
from wire import simple_engines

from duologue.errors import EngineError
from duologue.server.engines import Engines


class Part:
    """An engine of which only the life is of interest; `needs` starts before it does."""

    def __init__(self, name: str, log: list[str], fails: bool = False, needs: asyncio.Event | None = None) -> None:
        self.name = name
        self.frame_ms = 32
        self.ready = asyncio.Event()
        self._log = log
        self._fails = fails
        self._needs = needs

    async def start(self) -> None:
        if self._needs is not None:
            await self._needs.wait()
        self.ready.set()
        if self._fails:
            raise EngineError(self.name, "nothing there", remedy="Look for it.")
        self._log.append(f"start {self.name}")

    async def close(self) -> None:
        self._log.append(f"close {self.name}")


def parts(log: list[str], *, fails: bool = False) -> Engines:
    one = Part("one", log, fails=fails)
    two = Part("two", log, needs=one.ready)
    zero = Part("zero", log, needs=two.ready)
    simple = simple_engines()
    return Engines(vad=zero, stt=two, llm=simple.llm, tts=one)  # type: ignore[arg-type]


def test_all_start_beside_each_other_and_close_in_reverse() -> None:
    async def story() -> list[str]:
        log: list[str] = []
        engines = parts(log)
        await asyncio.wait_for(engines.start(), 10)
        await engines.close()
        return log

    assert asyncio.run(story()) == ["start one", "start two", "start zero", "close one", "close two", "close zero"]


def test_one_that_does_not_start_ends_them_all() -> None:
    async def story() -> list[str]:
        log: list[str] = []
        with pytest.raises(EngineError, match="Look for it"):
            await asyncio.wait_for(parts(log, fails=True).start(), 10)
        return log

    assert [line for line in asyncio.run(story()) if line.startswith("close")] == [
        "close one",
        "close two",
        "close zero",
    ]
