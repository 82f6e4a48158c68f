"""What a loudspeaker is to play next, and how much of each track it took: a queue with a count per track. Pure.

Counting happens where samples leave, so that neither a gap in the delivery nor a queue of several tracks bends the count.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from msgspec import Struct

from duologue.audio.pcm16 import Buffer

REMEMBERED = 256
"""Tracks whose counts are kept after they ended."""

DEFAULT_TRACK = "default"


class TrackCount(Struct, frozen=True, kw_only=True):
    """Samples of one track: `offset` were played, `received` came in."""

    track_id: str
    offset: int
    received: int


class _Track:
    __slots__ = ("cut", "played", "received")

    def __init__(self) -> None:
        self.cut = False
        self.played = 0
        self.received = 0


class Playout:
    """PCM16 mono in, at most `limit_samples` waiting; `pull` out. `lead_samples` are gathered before playing begins.

    The lead takes the gaps out of sound that comes in real time over a network. It never holds up an end: after as much
    time as the lead is long, playing begins with what there is.
    """

    def __init__(self, *, limit_samples: int = 24_000 * 600, lead_samples: int = 0) -> None:
        self.waiting = 0
        self.underruns = 0
        self.current: str | None = None
        self._limit = limit_samples
        self._lead = lead_samples
        self._held = 0
        self._running = False
        self._queue: deque[tuple[str, memoryview]] = deque()
        self._tracks: OrderedDict[str, _Track] = OrderedDict()

    def add(self, pcm: Buffer, track_id: str) -> bool:
        """Queue sound; False where the track was cut or the queue is full. Raises ValueError on part of a sample."""
        if len(pcm) % 2:
            raise ValueError(f"16-bit PCM has an even number of bytes, not {len(pcm)}")
        track = self._track(track_id)
        size = len(pcm) // 2
        if track.cut or self.waiting + size > self._limit:
            return False
        if size:
            track.received += size
            self.waiting += size
            self._queue.append((track_id, memoryview(bytes(pcm))))
        return True

    def pull(self, size: int) -> bytes:
        """Up to `size` samples, counted as played; fewer or none where nothing is ready: play silence then."""
        if not self._ready(size):
            return b""
        parts: list[memoryview] = []
        while size and self._queue:
            track_id, data = self._queue.popleft()
            part, rest = data[: 2 * size], data[2 * size :]
            taken = len(part) // 2
            if rest:
                self._queue.appendleft((track_id, rest))
            self.current = track_id
            self._tracks[track_id].played += taken
            self.waiting -= taken
            size -= taken
            parts.append(part)
        if size:
            self._running = False
            self.underruns += 1
        return b"".join(parts)

    def cut(self) -> list[TrackCount]:
        """Drop what is queued: the count of each track that has unplayed sound, first the one that was playing.

        What comes later for these tracks, and for the one that was playing, is refused. Sound of `DEFAULT_TRACK` belongs
        to nothing that could be over, so it is dropped now and welcome later.
        """
        touched = [self.current] if self.current is not None else []
        touched += [track_id for track_id, _ in self._queue]
        cut = []
        for track_id in dict.fromkeys(touched):
            track = self._tracks[track_id]
            if track.played < track.received:
                cut.append(self.count(track_id))
            if track_id == DEFAULT_TRACK:
                track.received = track.played
            else:
                track.cut = True
        self._queue.clear()
        self.waiting = self._held = 0
        self.current = None
        self._running = False
        return cut

    def count(self, track_id: str) -> TrackCount:
        """Of any track, 0 of 0 for one that is not known."""
        track = self._tracks.get(track_id) or _Track()
        return TrackCount(track_id=track_id, offset=track.played, received=track.received)

    def _ready(self, size: int) -> bool:
        if not self._running and self.waiting:
            self._running = self.waiting >= self._lead or self._held >= self._lead
            self._held = 0 if self._running else self._held + size
        return self._running

    def _track(self, track_id: str) -> _Track:
        track = self._tracks.get(track_id)
        if track is None:
            track = self._tracks[track_id] = _Track()
            self._forget()
        return track

    def _forget(self) -> None:
        """Oldest first, but none that still waits."""
        if len(self._tracks) <= REMEMBERED:
            return
        queued = {track_id for track_id, _ in self._queue}
        for track_id in list(self._tracks)[:-1]:
            if len(self._tracks) <= REMEMBERED:
                return
            if track_id not in queued and track_id != self.current:
                del self._tracks[track_id]
