"""The model's voice on its way to the ear: sent to the page that has the loudspeaker, stopped, and accounted for.

Sound is kept until it is heard, for a page that takes over; what was heard is in the conversation and the session file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from duologue.audio.spec import BYTES_PER_MS
from duologue.console import sound
from duologue.console.hub import Speaker
from duologue.dialogue.playback import Truncation

SETTLE_SECONDS = 0.5
"""How long a page may take to say what was heard, before its last report counts."""
_PIECE_BYTES = 1000 * BYTES_PER_MS


class Voice:
    """One call's. `cut` is called with the truncations once it is known where the user stopped hearing."""

    def __init__(self, cut: Callable[[list[Truncation]], None]) -> None:
        self._cut = cut
        self._tracks = sound.Tracks()
        self._unheard: dict[sound.PartKey, bytearray] = {}
        self._received: dict[sound.PartKey, int] = {}
        self._received_of: dict[str, int] = {}
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

    @property
    def kept_bytes(self) -> int:
        """Sound that is kept because it may still be played."""
        return sum(len(pcm) for pcm in self._unheard.values())

    def received_ms(self, item_id: str) -> int:
        """The length of all sound of an item that the model sent."""
        return self._received_of.get(item_id, 0) // BYTES_PER_MS

    def say(self, part: sound.PartKey, pcm: bytes) -> None:
        """More sound came in; what comes after a stop is counted but not played."""
        self._received[part] = self._received.get(part, 0) + len(pcm)
        self._received_of[part[0]] = self._received_of.get(part[0], 0) + len(pcm)
        track = self._tracks.receive(part, len(pcm))
        if track.stopped:
            return
        self._unheard.setdefault(part, bytearray()).extend(pcm)
        if self.speaker is not None:
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
            rest = bytes(self._unheard.get(track.part, b""))  # it begins at `track.base`
            for start in range(0, len(rest), _PIECE_BYTES):
                speaker.send(sound.sound_frame(track.number, rest[start : start + _PIECE_BYTES]))
            if track.ended:
                speaker.send(sound.end_frame(track.number))

    def heard(self, samples: dict[int, int]) -> set[str]:
        """A report of the page; returns the items it was news about."""
        news = {track.part[0] for track in self._tracks.heard(samples)}
        self._forget_heard()
        return news

    def stop(self) -> None:
        """The user talks: silence now, and an account of what was heard."""
        if not self._tracks.stop(self._requests + 1):
            return
        self._requests += 1
        self._forget_heard()
        if self.speaker is None:
            self.settle({}, self._requests)
            return
        self.speaker.send(sound.clear_frame(self._requests))
        self.close()
        self._waiting = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self.settle, {}, self._requests)

    def settle(self, samples: dict[int, int], request: int) -> None:
        """The page has stopped as it was asked to in this request, or (0) by itself, with these counts.

        A page that does not answer in time is taken at its last report.
        """
        if request == self._requests:
            self.close()
        cuts = self._tracks.settle(samples, request)
        self._forget_heard()
        if cuts:
            self._cut(cuts)

    def close(self) -> None:
        """Wait for no answer any more."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _forget_heard(self) -> None:
        for part, pcm in list(self._unheard.items()):
            begins = self._received[part] - len(pcm)
            del pcm[: max(0, self._tracks.heard_bytes(part) - begins)]
            if not pcm or not self._tracks.to_come(part):
                del self._unheard[part]
