"""The sound of a session's items, kept so that it can be retrieved: the newest of it, so that a long session stays small.

Pure. What is let go of leaves its length and the places of its words behind: truncation and usage need no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from duologue.server.heard import Mark
from duologue.server.input_buffer import BYTES_PER_MS


class Sound(Struct, frozen=True, kw_only=True):
    """The sound of one spoken part (PCM16, 24 kHz, mono) and where its words are; `marks` only for speech of ours."""

    audio: bytes
    marks: tuple[Mark, ...] = ()
    gone_bytes: int = 0
    """How long it was, where it has been let go of and `audio` is empty."""

    @property
    def length_bytes(self) -> int:
        """Its length, kept or not."""
        return len(self.audio) + self.gone_bytes

    def cut(self, to_ms: int) -> Sound:
        """Its beginning."""
        to_bytes = to_ms * BYTES_PER_MS
        marks = tuple(mark for mark in self.marks if mark.audio_ms <= to_ms)
        return Sound(audio=self.audio[:to_bytes], marks=marks, gone_bytes=min(self.gone_bytes, to_bytes))


class Sounds:
    """Sounds by the ids of their items and the places of the spoken parts in their content."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._sounds: dict[str, dict[int, Sound]] = {}
        self._kept: dict[tuple[str, int], None] = {}
        """Those whose sound is kept, oldest first."""
        self.held_bytes = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._sounds)

    def of(self, item_id: str) -> Mapping[int, Sound]:
        """All sounds of an item, by place."""
        return self._sounds.get(item_id, {})

    def put(self, item_id: str, place: int, sound: Sound) -> None:
        """Keep it; what takes another's place is as old as that."""
        sounds = self._sounds.setdefault(item_id, {})
        self.held_bytes += len(sound.audio) - (len(sounds[place].audio) if place in sounds else 0)
        sounds[place] = sound
        if sound.audio:
            self._kept.setdefault((item_id, place))
        else:
            self._kept.pop((item_id, place), None)

    def pop(self, item_id: str) -> None:
        """The item is gone, or new."""
        for place, sound in self._sounds.pop(item_id, {}).items():
            self.held_bytes -= len(sound.audio)
            self._kept.pop((item_id, place), None)

    def trim(self) -> None:
        """Let go of the oldest until the rest fits; the newest stays, however long."""
        while self.held_bytes > self._max_bytes and len(self._kept) > 1:
            item_id, place = next(iter(self._kept))
            sound = self._sounds[item_id][place]
            self.put(item_id, place, replace(sound, audio=b"", gone_bytes=len(sound.audio)))
