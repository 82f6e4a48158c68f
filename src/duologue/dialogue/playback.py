"""What of the model's speech was heard: the one ledger of received and played sound. Pure.

Everything is counted in samples of the output format and told in whole milliseconds, rounded down, so that a truncation
never points beyond the sound that exists. Playing is reported as progress through what was received, never as time, so an
underrun changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct


class Truncation(Struct, frozen=True, kw_only=True):
    """The listener heard this part only up to `audio_end_ms`."""

    item_id: str
    content_index: int
    audio_end_ms: int


class _Part:
    __slots__ = ("content_index", "finished", "item_id", "played", "received")

    def __init__(self, item_id: str, content_index: int) -> None:
        self.item_id = item_id
        self.content_index = content_index
        self.received = 0
        self.played = 0
        self.finished = False

    @property
    def over(self) -> bool:
        return self.finished and self.played >= self.received


class PlaybackLedger:
    """Parts in the order in which they are played; `rate_hz` is that of the output format."""

    def __init__(self, rate_hz: int = 24_000) -> None:
        self.rate_hz = rate_hz
        self.reported = False
        self._parts: dict[tuple[str, int], _Part] = {}
        self._queue: list[_Part] = []
        self._total = 0
        self._cut: dict[tuple[str, int], int] = {}

    def received(self, item_id: str, content_index: int, samples: int) -> bool:
        """More sound of a part came in. False where the part was cut before: late sound must not be played."""
        key = (item_id, content_index)
        if self._cut and key in self._cut:
            return False
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(item_id, content_index)
            self._queue.append(part)
        if samples > 0:
            part.received += samples
        return True

    def finished(self, item_id: str, content_index: int) -> None:
        """No more sound will come for the part."""
        if part := self._parts.get((item_id, content_index)):
            part.finished = True
            self._drop_over()

    def connection_lost(self) -> None:
        """No more sound will come for any part; what came is still to be played."""
        for part in self._queue:
            part.finished = True
        self._drop_over()

    def played_total(self, samples: int) -> None:
        """All samples played since the ledger began, as a port counts them; going back counts as no progress."""
        progress = samples - self._total
        self._total = max(self._total, samples)
        self.advance(progress)

    def advance(self, samples: int) -> None:
        """The loudspeaker went on by `samples`, in queue order. What exceeds the received sound was silence."""
        self.reported = True
        for part in self._queue:
            if samples <= 0:
                break
            step = min(samples, part.received - part.played)
            part.played += step
            samples -= step
        self._drop_over()

    def played_item(self, item_id: str, samples: int, content_index: int = 0) -> None:
        """A part has been played up to `samples` from its start; what lay before it in the queue was heard whole."""
        self.reported = True
        reached = self._parts.get((item_id, content_index))
        if reached is None:
            return
        for part in self._queue:
            if part is reached:
                break
            part.played = part.received
        reached.played = max(reached.played, min(samples, reached.received))
        self._drop_over()

    def heard_ms(self, item_id: str, content_index: int = 0) -> int:
        """Milliseconds of the part that were heard; 0 for a part that is not known."""
        key = (item_id, content_index)
        part = self._parts.get(key)
        return self._ms(part.played) if part else self._cut.get(key, 0)

    def received_ms(self, item_id: str, content_index: int = 0) -> int:
        """Milliseconds of the part that came in; 0 for a part that is not known."""
        part = self._parts.get((item_id, content_index))
        return self._ms(part.received) if part else 0

    @property
    def pending_ms(self) -> int:
        """Sound that was received and not yet heard."""
        return self._ms(sum(part.received - part.played for part in self._queue))

    def interrupt(self, only: Collection[tuple[str, int]] | None = None) -> list[Truncation]:
        """Stop here: where each part that was not heard whole ends, first the one being heard.

        `only` these parts, as item id and content index, where others may still be played. A part whose end has not come
        yet is cut at what was heard, even if that is all so far: the words run ahead.
        """
        cuts, rest = [], []
        for part in self._queue:
            key = (part.item_id, part.content_index)
            if only is not None and key not in only:
                rest.append(part)
                continue
            self._cut[key] = end_ms = self._ms(part.played)
            cuts.append(Truncation(item_id=part.item_id, content_index=part.content_index, audio_end_ms=end_ms))
        self._queue = rest
        return cuts

    def forget(self, item_id: str) -> None:
        """The item was deleted."""
        for key in [key for key in self._parts if key[0] == item_id]:
            part = self._parts.pop(key)
            if part in self._queue:
                self._queue.remove(part)

    def _drop_over(self) -> None:
        if any(part.over for part in self._queue):
            self._queue = [part for part in self._queue if not part.over]

    def _ms(self, samples: int) -> int:
        return samples * 1000 // self.rate_hz
