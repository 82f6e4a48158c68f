"""What was heard where no port tells it: by what the application says, or else by the clock. Pure.

Both go to the session's one playback ledger, so that an interruption cuts where the listener was.
"""

from __future__ import annotations

from collections.abc import Callable

from duologue.dialogue.playback import PlaybackLedger


class RealtimePlaybackTracker:
    """Given to a session as `playback_tracker`, it counts what the application's loudspeaker played.

    Each report is what was played since the one before. Reports before `connect` and about items that are not known
    change nothing.
    """

    def __init__(self) -> None:
        self._ledger: Callable[[], PlaybackLedger] | None = None
        self._playing: tuple[str, int] | None = None
        self._samples = 0.0

    def follow(self, ledger: Callable[[], PlaybackLedger]) -> None:
        """A session connects: its ledger is told from now on, the one of the moment."""
        self._ledger = ledger
        self.on_interrupted()

    def on_play_ms(self, item_id: str, item_content_index: int, ms: float) -> None:
        """`ms` more milliseconds of the item's part were played."""
        if self._ledger is not None:
            ledger = self._ledger()
            self._played(ledger, item_id, item_content_index, ms * ledger.rate_hz / 1000)

    def on_play_bytes(self, item_id: str, item_content_index: int, bytes: bytes) -> None:
        """These bytes, in the session's output format, were played."""
        if self._ledger is not None:
            ledger = self._ledger()
            width = 1 if ledger.rate_hz == 8000 else 2  # G.711 or PCM16
            self._played(ledger, item_id, item_content_index, len(bytes) / width)

    def on_interrupted(self) -> None:
        """The loudspeaker was silenced: what it is told next begins a new count. A session that is interrupted says it
        by itself."""
        self._playing = None
        self._samples = 0.0

    def _played(self, ledger: PlaybackLedger, item_id: str, content_index: int, samples: float) -> None:
        if self._playing != (item_id, content_index):
            self._playing = (item_id, content_index)
            self._samples = 0.0
        self._samples += samples
        ledger.played_item(item_id, int(self._samples), content_index)


class SpeedOfSpeech:
    """While nobody tells the ledger what was played, sound counts as played since it came."""

    def __init__(self, ledger: Callable[[], PlaybackLedger]) -> None:
        self._ledger = ledger
        self._marked_ms = 0

    def began(self, item_id: str, now_ms: int) -> None:
        """The first sound of an item has just come in: it plays when what came before it was played."""
        ledger = self._ledger()
        before_ms = ledger.pending_ms - ledger.received_ms(item_id)
        if self._advance(min(now_ms - self._marked_ms, before_ms)):
            ledger.reported = False
        self._marked_ms = now_ms

    def cuts(self, now_ms: int) -> bool:
        """An interruption comes: the ledger is brought up to now, and counts as told. False where others tell it; else
        `go_on` has to follow."""
        told = self._advance(now_ms - self._marked_ms)
        self._marked_ms = now_ms
        return told

    def go_on(self) -> None:
        """What was cut is known: again nobody has told anything."""
        self._ledger().reported = False

    def _advance(self, ms: int) -> bool:
        ledger = self._ledger()
        if ledger.reported:
            return False
        ledger.advance(max(0, ms) * ledger.rate_hz // 1000)
        return True
