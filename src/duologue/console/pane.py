"""The conversation in the page: every item with what was heard of it."""

from __future__ import annotations

from duologue.client.items import ConversationItem
from duologue.console import frames
from duologue.console import items as item_views
from duologue.console.feed import Feed
from duologue.console.line import Line
from duologue.console.panel import Panel
from duologue.console.recording import Recording
from duologue.console.voice import Voice


class Pane:
    """One call's: the items are those of its line, the sound that of its voice. It stays when the call is over."""

    def __init__(self, feed: Feed, panel: Panel, voice: Voice) -> None:
        self._feed = feed
        self._panel = panel
        self._voice = voice
        self._over = False
        self.line: Line | None = None

    def find(self, item_id: str) -> ConversationItem | None:
        """An item by its id."""
        return None if self.line is None else self.line.item(item_id)

    def sound(self, item_id: str, recording: Recording) -> bytes:
        """All sound of an item as PCM16 at 24 kHz; what a truncation took from the conversation, the file still has."""
        item = self.find(item_id)
        if item is None:
            return b""
        said = (e for e in self._feed.events if e.item == item_id and e.type in frames.SOUND_IN_DELTA)
        cut = item.cut_ms is not None
        whole = b"".join(frames.sound(recording.frame_at(e.trace_offset)) for e in said) if cut else b""
        return whole or item.formatted.audio

    def moved(self) -> None:
        """Items came, went or changed places."""
        self._feed.set_order(tuple(item.id for item in self._items))

    def heard(self, item_id: str) -> None:
        """More of an item has left the loudspeaker."""
        item = self.find(item_id)
        if item is not None:
            self.put(item)

    def close(self) -> None:
        """The call is over: words that have not come by now never will."""
        self._over = True
        for item in self._items:
            self.put(item)

    @property
    def _items(self) -> list[ConversationItem]:
        return [] if self.line is None else self.line.items

    def put(self, item: ConversationItem) -> None:
        """An item is new, or different now."""
        self._feed.put_item(
            item_views.view(
                item,
                heard_ms=self._voice.heard_ms(item.id),
                received_ms=self._voice.received_ms(item.id),
                transcribed=self._panel.transcribed and not self._over,
            )
        )
