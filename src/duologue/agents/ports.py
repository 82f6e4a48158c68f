"""A microphone and a loudspeaker that may be two ports, and that can be muted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from duologue.audio.pcm16 import Buffer
from duologue.audio.port import Heard, MediaPort
from duologue.audio.spec import AudioSpec
from duologue.errors import ConfigError

_SILENT = {"pcm16": b"\0", "ulaw": b"\xff", "alaw": b"\xd5"}


class Duplex:
    """Reads from one port and writes to another; either may be missing. While `muted()` it reads silence: a turn that was
    begun still ends. The ports stay the caller's to close. Raises ConfigError for two formats."""

    def __init__(self, source: MediaPort | None, sink: MediaPort | None, muted: Callable[[], bool]) -> None:
        both = [port for port in (source, sink) if port is not None]
        if len({port.spec for port in both}) != 1:
            raise ConfigError("input_port and output_port have to speak the same format")
        self._source = source
        self._sink = sink
        self._muted = muted
        self._spec = both[0].spec
        self._silence = _SILENT[self._spec.encoding]

    @property
    def spec(self) -> AudioSpec:
        return self._spec

    async def read(self) -> bytes:
        if self._source is None:
            await asyncio.Event().wait()
            return b""
        sound = await self._source.read()
        return self._silence * len(sound) if self._muted() else sound

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        return self._sink is not None and self._sink.write(pcm, track_id)

    def clear(self) -> list[Heard]:
        return [] if self._sink is None else self._sink.clear()

    def played_ms(self, track_id: str) -> int:
        return 0 if self._sink is None else self._sink.played_ms(track_id)

    async def drained(self) -> None:
        if self._sink is not None:
            await self._sink.drained()

    async def close(self) -> None:
        """Nothing: neither port is this one's."""
