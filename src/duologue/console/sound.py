"""The frames of /ws/audio, and which of the page's tracks is which part of the conversation. Pure.

A frame is one byte that says what it is, three of padding, then little-endian 32-bit words and sound (PCM16 mono 24 kHz).
The page plays tracks in the order of their numbers and reports how many samples of each have left the loudspeaker.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from duologue.audio.spec import BYTES_PER_MS, SAMPLES_PER_MS
from duologue.dialogue.playback import PlaybackLedger, Truncation

SOUND, CLEAR, END = 1, 2, 3
MIC, HEARD, CLEARED, PRESS, RELEASE = 1, 2, 3, 4, 5
HEADER_BYTES = 4
MIN_TURN_BYTES = 100 * BYTES_PER_MS
"""The protocol takes no shorter turn."""

PartKey = tuple[str, int]
"""Item id and content index."""


class Microphone(Struct, frozen=True):
    """Sound of the user."""

    pcm: bytes


class Played(Struct, frozen=True):
    """Samples played so far, by track; `request` is set when the page has stopped, 0 if it did so by itself."""

    samples: dict[int, int]
    request: int | None = None


class Button(Struct, frozen=True):
    """Push to talk went down or up."""

    down: bool


PageFrame = Microphone | Played | Button


def parse(frame: bytes) -> PageFrame | None:
    """A frame of the page; None for one that makes no sense (it is dropped: the next one is 20 ms away)."""
    if len(frame) < HEADER_BYTES:
        return None
    rest = frame[HEADER_BYTES:]
    match frame[0]:
        case 1 if len(rest) % 2 == 0:
            return Microphone(rest)
        case 2 if len(rest) % 8 == 0:
            return Played(_pairs(rest))
        case 3 if len(rest) % 8 == 4:
            return Played(_pairs(rest[4:]), struct.unpack_from("<I", rest)[0])
        case 4:
            return Button(True)
        case 5:
            return Button(False)
    return None


def _pairs(words: bytes) -> dict[int, int]:
    return dict(struct.iter_unpack("<II", words))


def sound_frame(track: int, pcm: bytes) -> bytes:
    """More sound of a track."""
    return struct.pack("<B3xI", SOUND, track) + pcm


def clear_frame(request: int) -> bytes:
    """Stop at once, say what was heard."""
    return struct.pack("<B3xI", CLEAR, request)


def end_frame(track: int) -> bytes:
    """No more sound of this track."""
    return struct.pack("<B3xI", END, track)


class Track(Struct):
    """One spoken part on its way to the page. `base` samples had been heard when the page got it under this number.

    A `stopped` track takes no more sound: late sound of it is not to be played. `request`: what the page was asked to
    stop it with; 0 for none.
    """

    number: int
    part: PartKey
    base: int = 0
    ended: bool = False
    stopped: bool = False
    request: int = 0


class Tracks:
    """The page's track numbers on top of the ledger of what was received and heard."""

    def __init__(self) -> None:
        self._ledger = PlaybackLedger(1000 * SAMPLES_PER_MS)
        self._by_part: dict[PartKey, Track] = {}
        self._parts_of: dict[str, list[PartKey]] = {}
        self._by_number: dict[int, Track] = {}
        self._numbers = 0

    def receive(self, part: PartKey, size_bytes: int) -> Track:
        """Sound of a part arrived from the model; if the track is `stopped` it came too late."""
        track = self._by_part.get(part)
        if track is None:
            track = self._by_part[part] = Track(0, part)
            self._parts_of.setdefault(part[0], []).append(part)
            self._number(track)
        if not track.stopped:
            track.stopped = not self._ledger.received(*part, size_bytes // 2)
        return track

    def finish(self, part: PartKey) -> Track | None:
        """The model has sent all of a part."""
        track = self._by_part.get(part)
        if track is not None:
            track.ended = True
            self._ledger.finished(*part)
        return track

    def heard(self, samples: dict[int, int]) -> list[Track]:
        """Take a report of the page; returns the tracks it was news about. Counts never fall, nor exceed the received."""
        news = []
        for number, count in sorted(samples.items()):
            track = self._by_number.get(number)
            if track is None or (track.base + count == 0):
                continue
            item_id, index = track.part
            before = self._ledger.heard_ms(item_id, index)
            self._ledger.played_item(item_id, track.base + count, index)
            if self._ledger.heard_ms(item_id, index) != before:
                news.append(track)
        return news

    def stop(self, request: int) -> bool:
        """The user talks: what is not over is not to be heard, and the page is to be asked so. False if all of it is."""
        going = [track for track in self._by_number.values() if not (track.stopped or self._is_over(track))]
        for track in going:
            track.stopped, track.request = True, request
        return bool(going)

    def settle(self, samples: dict[int, int], request: int = 0) -> list[Truncation]:
        """The page has stopped, with these counts: as it was asked to, or (0) all that it had, by itself.

        What was not heard whole is cut there, in the order of playing. An answer that came in since is not: it plays on.
        """
        self.heard(samples)
        newest = 0 if request else max(samples, default=0)
        over = {
            track.part for track in self._by_number.values() if track.number <= newest or 0 < track.request <= request
        }
        cuts = self._ledger.interrupt(over)
        for cut in cuts:
            track = self._by_part[cut.item_id, cut.content_index]
            track.stopped = True
            self._by_number.pop(track.number, None)
        return cuts

    def resume(self) -> list[Track]:
        """A new page listens: what was not heard gets new numbers, counted from where the old page stopped."""
        tracks = [track for track in self.unheard() if not track.stopped]
        for track in tracks:
            del self._by_number[track.number]
            track.base = self._ledger.heard_ms(*track.part) * SAMPLES_PER_MS
            self._number(track)
        return tracks

    def unheard(self) -> list[Track]:
        """Tracks that still have something to play, in order."""
        return [
            track
            for track in self._by_part.values()
            if track.number in self._by_number
            and self._ledger.heard_ms(*track.part) < self._ledger.received_ms(*track.part)
        ]

    @property
    def pending_ms(self) -> int:
        """Sound that is still to be heard."""
        return self._ledger.pending_ms

    def heard_ms(self, item_id: str) -> int:
        """Milliseconds of an item that were heard, all its parts together."""
        return sum(self._ledger.heard_ms(*part) for part in self._parts_of.get(item_id, ()))

    def heard_bytes(self, part: PartKey) -> int:
        """How much of a part was heard, in bytes of whole milliseconds."""
        return self._ledger.heard_ms(*part) * BYTES_PER_MS

    def to_come(self, part: PartKey) -> bool:
        """True while sound of the part may still be played."""
        return not self._by_part[part].stopped

    def _is_over(self, track: Track) -> bool:
        return track.ended and self._ledger.heard_ms(*track.part) >= self._ledger.received_ms(*track.part)

    def _number(self, track: Track) -> None:
        self._numbers += 1
        track.number = self._numbers
        self._by_number[track.number] = track
