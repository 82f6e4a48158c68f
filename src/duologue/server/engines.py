"""The engines of one server: made once, started together, shared by all its sessions."""

from __future__ import annotations

import asyncio

from msgspec import Struct, field

from duologue.engines.base import EndOfTurn, Engine, Llm, NoiseReducer, Stt, Tts, Vad
from duologue.engines.end_of_turn import RuleEndOfTurn


class Engines(Struct, frozen=True, kw_only=True):
    """The engines that all sessions of a server share."""

    vad: Vad
    stt: Stt
    llm: Llm
    tts: Tts
    eot: EndOfTurn = field(default_factory=RuleEndOfTurn)
    noise: NoiseReducer | None = None

    def all(self) -> tuple[Engine, ...]:
        """In the order in which they are listed here."""
        return self.vad, self.stt, self.llm, self.tts, self.eot, *((self.noise,) if self.noise else ())

    async def start(self) -> None:
        """Start them all, side by side. Raises the first one's error, with its remedy; then none is left running."""
        try:
            async with asyncio.TaskGroup() as group:
                for engine in self.all():
                    group.create_task(engine.start(), name=f"start-{engine.name}")
        except BaseExceptionGroup as failures:
            await self.close()
            raise failures.exceptions[0] from None

    async def close(self) -> None:
        """Stop them all, the last one first."""
        for engine in reversed(self.all()):
            await engine.close()
