"""What a call's listener has been played: the output audio buffer of sessions whose sound the server plays itself. Pure.

On a WebSocket the client plays, and truncates what it did not play. In a call the server plays, at the pace of real
time, so it is the server that knows what was heard: it tells when the sound of a response begins and ends, and where an
interruption cut it.
"""

from __future__ import annotations

from msgspec import Struct

from duologue.dialogue.playback import PlaybackLedger, Truncation
from duologue.protocol import server_events as wire
from duologue.server.commands import Hush, Play
from duologue.server.outbox import Outbox


class _Playing(Struct, kw_only=True):
    """One response's sound. Positions are samples since the buffer was last cleared."""

    response_id: str
    item_ids: list[str]
    begins_at: int
    ends_at: int
    started: bool = False
    whole: bool = False
    """No more sound will come."""


class OutputBuffer:
    """Sound written, sound played, and the events about it. Samples are at 24 kHz, mono."""

    def __init__(self, outbox: Outbox) -> None:
        self._out = outbox
        self._ledger = PlaybackLedger()
        self._playing: list[_Playing] = []
        self._clears = 0
        self._written = 0
        self._played = 0

    def write(self, response_id: str, item_id: str, audio: bytes) -> None:
        """Play more of an item, unless that item was cut."""
        samples = len(audio) // 2
        if not samples or not self._ledger.received(item_id, 0, samples):
            return
        if not self._playing or self._playing[-1].response_id != response_id:
            at = self._written
            self._playing.append(_Playing(response_id=response_id, item_ids=[], begins_at=at, ends_at=at))
        playing = self._playing[-1]
        if item_id not in playing.item_ids:
            playing.item_ids.append(item_id)
        self._written += samples
        playing.ends_at = self._written
        self._out.do(Play(audio=audio))

    def ended(self, response_id: str) -> None:
        """The response is over: no more sound of it will come."""
        for playing in self._playing:
            if playing.response_id == response_id:
                playing.whole = True
                for item_id in playing.item_ids:
                    self._ledger.finished(item_id, 0)
        self._settle()

    def played(self, clears: int, samples: int) -> None:
        """`samples` have been played since the buffer was cleared for the `clears`th time; older news come too late."""
        if clears != self._clears:
            return
        self._ledger.advance(samples - self._played)
        self._played = samples
        for playing in self._playing:
            if not playing.started and samples > playing.begins_at:
                playing.started = True
                self._out.emit(wire.OutputAudioBufferStarted, response_id=playing.response_id)
        self._settle()

    def clear(self) -> list[Truncation]:
        """Silence at once. Gives where each item ends that was not heard whole, first the one being heard."""
        if not self._playing:
            return []
        self._out.do(Hush())
        self._out.emit(wire.OutputAudioBufferCleared, response_id=self._playing[0].response_id)
        self._clears += 1
        self._written = self._played = 0
        self._playing.clear()
        return self._ledger.interrupt()

    def _settle(self) -> None:
        """Say of what has been played to its end that it stopped."""
        while self._playing and self._playing[0].whole and self._played >= self._playing[0].ends_at:
            self._out.emit(wire.OutputAudioBufferStopped, response_id=self._playing.pop(0).response_id)
