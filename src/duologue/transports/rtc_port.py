"""The sound of one WebRTC call as a MediaPort: what comes in is read, what is written goes out at the pace of real time.

`hear`, `take` and `end` are for the streams underneath (`rtc_media`); `room` and `progress` are for a server, which
plays as it generates and tells its client how far it has come.
"""

from __future__ import annotations

import asyncio
from collections import deque

from duologue.audio.pcm16 import Buffer
from duologue.audio.port import Heard
from duologue.audio.spec import AudioSpec
from duologue.dialogue.playback import PlaybackLedger

RATE_HZ = 24_000
BYTES_PER_MS = 48
UNREAD_BYTES = 5_000 * BYTES_PER_MS
"""Sound that waits for a reader; beyond it the oldest is dropped."""
AHEAD_BYTES = 30_000 * BYTES_PER_MS
"""Sound that may wait to be sent before `room` has to be waited for."""
STALE_BYTES = 200 * BYTES_PER_MS
"""Live sound that waits for longer than this is too old to be sent."""
STALE_TAKES = 50
"""And what of it was waiting all through so many packets is too much: a second's worth of them."""
UNSENT_BYTES = 10 * 60_000 * BYTES_PER_MS
"""Sound that may wait at most."""


class RtcPort:
    """One call's sound, PCM16 mono at 24 kHz both ways. It belongs to one event loop."""

    spec = AudioSpec(rate_hz=RATE_HZ)

    def __init__(self) -> None:
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._unsent = bytearray()
        self._ledger = PlaybackLedger(RATE_HZ)
        self._since_clear_bytes = 0
        self._clears = 0
        self._live = False
        self._least_bytes = 0
        self._takes = 0
        self._ended = False
        self._heard = asyncio.Event()
        self._moved = asyncio.Event()

    # --- MediaPort -------------------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """The peer's next sound, 20 ms as a rule; b"" once the call has ended. Safe to cancel."""
        while not self._unread:
            if self._ended:
                return b""
            self._heard.clear()
            await self._heard.wait()
        sound = self._unread.popleft()
        self._unread_bytes -= len(sound)
        return sound

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        """Queue sound of a track. False where it was dropped: cleared before, more than ten minutes wait, or closed."""
        if len(pcm) % 2:
            raise ValueError(f"16-bit PCM has an even number of bytes, not {len(pcm)}")
        if self._ended or len(self._unsent) + len(pcm) > UNSENT_BYTES:
            return False
        if not self._ledger.received(track_id, 0, len(pcm) // 2):
            return False
        self._unsent += pcm
        return True

    def speak(self, pcm: Buffer) -> None:
        """Send live sound. Of more than 200 ms the oldest is dropped: sent late, it would make all that follows as late.

        A microphone has such sound when it was open before the call was, or has the faster clock. What a stall of this
        program left waiting is made up for within a second or two.
        """
        if not self._ended:
            self._live = True
            self._unsent += pcm
            del self._unsent[: max(0, len(self._unsent) - STALE_BYTES)]

    def clear(self) -> list[Heard]:
        """Silence at once. Gives the tracks that were not heard whole."""
        self._unsent.clear()
        self._since_clear_bytes = 0
        self._clears += 1
        self._moved.set()
        heard = [
            Heard(track_id=cut.item_id, played_ms=cut.audio_end_ms, received_ms=self._ledger.received_ms(cut.item_id))
            for cut in self._ledger.interrupt()
        ]
        return [track for track in heard if track.unheard_ms]

    def played_ms(self, track_id: str) -> int:
        """Whole milliseconds of the track that have been sent."""
        return self._ledger.heard_ms(track_id)

    async def drained(self) -> None:
        """Wait until everything written was sent or dropped."""
        while self._unsent and not self._ended:
            await self._move()

    async def close(self) -> None:
        """No more sound, either way; the call itself goes on."""
        self.end()

    # --- for a server ----------------------------------------------------------------------------------------

    async def room(self) -> None:
        """Wait until less than 30 seconds wait to be sent."""
        while len(self._unsent) >= AHEAD_BYTES and not self._ended:
            await self._move()

    async def progress(self, clears: int, samples: int) -> tuple[int, int]:
        """How often the port was cleared, and the samples sent since: waits while that is what the caller knows.

        The same again once the call has ended.
        """
        while (now := (self._clears, self._since_clear_bytes // 2)) == (clears, samples) and not self._ended:
            await self._move()
        return now

    async def _move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    # --- for the streams -------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Sound has come in."""
        self._unread.append(audio)
        self._unread_bytes += len(audio)
        while self._unread_bytes > UNREAD_BYTES:
            self._unread_bytes -= len(self._unread.popleft())
        self._heard.set()

    def take(self, size: int) -> bytes:
        """The next `size` bytes to send; fewer where there are no more, and none in silence."""
        sound = bytes(self._unsent[:size])
        if sound:
            del self._unsent[:size]
            self._ledger.advance(len(sound) // 2)
            self._since_clear_bytes += len(sound)
            self._moved.set()
        if self._live:
            self._catch_up()
        return sound

    def _catch_up(self) -> None:
        self._least_bytes = min(self._least_bytes, len(self._unsent))
        self._takes += 1
        if self._takes >= STALE_TAKES:
            del self._unsent[: self._least_bytes]
            self._least_bytes, self._takes = len(self._unsent), 0

    def end(self) -> None:
        """The call is over; what was heard before can still be read."""
        self._ended = True
        self._unsent.clear()
        self._heard.set()
        self._moved.set()
