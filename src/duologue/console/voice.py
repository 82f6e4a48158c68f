"""The model's voice on its way to the ear: kept, sent to the page that has the loudspeaker, stopped, and accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from duologue.console import sound
from duologue.console.hub import Speaker
from duologue.dialogue.playback import Truncation

SETTLE_SECONDS = 0.5
"""How long a page may take to say what was heard, before its last report counts."""
_PIECE_BYTES = 48_000


class Voice:
    """One call's. `cut` is called with the truncations once it is known where the user stopped hearing."""

    def __init__(self, cut: Callable[[list[Truncation]], None]) -> None:
        self._cut = cut
        self._tracks = sound.Tracks()
        self._sound: dict[sound.PartKey, bytearray] = {}
        self._requests = 0
        self._waiting: asyncio.TimerHandle | None = None
        self.speaker: Speaker | None = None

    @property
    def pending_ms(self) -> int:
        """Sound that is still to be heard."""
        return self._tracks.pending_ms

    def heard_ms(self, item_id: str) -> int:
        """Of an item."""
        return self._tracks.heard_ms(item_id)

    def received(self, item_id: str) -> bytes:
        """All sound of an item that the model sent, PCM16 at 24 kHz."""
        return b"".join(bytes(pcm) for (owner, _), pcm in sorted(self._sound.items()) if owner == item_id)

    def received_ms(self, item_id: str) -> int:
        """The length of it."""
        return sum(len(pcm) for (owner, _), pcm in self._sound.items() if owner == item_id) // sound.BYTES_PER_MS

    def say(self, part: sound.PartKey, pcm: bytes) -> None:
        """More sound came in; what comes after a stop is kept but not played."""
        self._sound.setdefault(part, bytearray()).extend(pcm)
        track = self._tracks.receive(part, len(pcm))
        if self.speaker is not None and not track.stopped:
            self.speaker.send(sound.sound_frame(track.number, pcm))

    def said_all(self, part: sound.PartKey) -> None:
        """The part is complete."""
        track = self._tracks.finish(part)
        if self.speaker is not None and track is not None:
            self.speaker.send(sound.end_frame(track.number))

    def attach(self, speaker: Speaker) -> None:
        """A page can play now: it gets what was not heard yet."""
        self.speaker = speaker
        for track in self._tracks.resume():
            rest = bytes(self._sound[track.part])[2 * track.base :]
            for start in range(0, len(rest), _PIECE_BYTES):
                speaker.send(sound.sound_frame(track.number, rest[start : start + _PIECE_BYTES]))
            if track.ended:
                speaker.send(sound.end_frame(track.number))

    def heard(self, samples: dict[int, int]) -> set[str]:
        """A report of the page; returns the items it was news about."""
        return {track.part[0] for track in self._tracks.heard(samples)}

    def stop(self, *, page_knows: bool = False) -> None:
        """The user talks: silence now, and an account of what was heard. `page_knows`: the page has stopped by itself."""
        if not self._tracks.stop() or self._waiting is not None:
            return
        if self.speaker is None:
            self.settle({})
            return
        if not page_knows:
            self._requests += 1
            self.speaker.send(sound.clear_frame(self._requests))
        self._waiting = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self.settle, {})

    def settle(self, samples: dict[int, int]) -> None:
        """The page is silent, with these counts (or has not answered in time: the last report counts)."""
        self.close()
        if cuts := self._tracks.settle(samples):
            self._cut(cuts)

    def close(self) -> None:
        """Wait for no answer any more."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
