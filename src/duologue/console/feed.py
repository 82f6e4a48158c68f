"""The page's state, kept in Python: events fold into rows, everything carries the revision at which it last changed.

A viewer knows one number, the last revision it has seen; `since(rev)` is all that changed after it. A new viewer starts
at 0, one that lost its socket goes on from where it was. Several viewers share one feed and cost nothing but their frames.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from duologue.console.views import (
    BannerView,
    By,
    CallView,
    EventHead,
    EventRow,
    FilterHits,
    Frame,
    ItemView,
    MoneyView,
    SessionView,
    UpstreamView,
    WeatherView,
)

ROWS_PER_FRAME = 2000
MICROPHONE = ("client", "input_audio_buffer.append")
INTERLEAVED_MS = 1000
"""While both sides send sound, their events alternate; each side keeps its row unless it paused for longer than this."""
_SECTIONS = ("call", "upstream", "session", "money", "memory", "weather", "banners")
Section = CallView | UpstreamView | SessionView | MoneyView | dict[str, Any] | tuple[WeatherView | BannerView, ...]


class LoggedEvent(Struct, frozen=True, kw_only=True):
    """One event as the log keeps it: what the row shows, where the trace holds its body, and the text a filter reads."""

    t_ms: int
    by: By
    type: str
    size: int
    item: str = ""
    response: str = ""
    note: str = ""
    text: str = ""
    trace_offset: int = -1

    def matches(self, needle: str) -> bool:
        """True if `needle` (lower case) is part of the type, an id, the direction, the note or the text."""
        return (
            needle in self.type
            or needle in self.by
            or needle in self.note.lower()
            or needle in self.item.lower()
            or needle in self.response.lower()
            or needle in self.text.lower()
        )

    def folds_with(self, row: EventRow) -> bool:
        """True if this event belongs to the row before it: same direction, type, item and response."""
        return (
            self.by == row.by
            and self.type == row.type
            and self.item == row.item
            and self.response == row.response
            and self.type != "error"
        )


class Feed:
    """All that a viewer can see. `epoch` names this process, so that a page that outlived it starts over.

    `changed` is called after every change of `rev`.
    """

    def __init__(self, epoch: str, changed: Callable[[], None] = lambda: None) -> None:
        self.epoch = epoch
        self._changed = changed
        self.rev = 0
        self.events: list[LoggedEvent] = []
        self.cleared_at = 0
        """The revision of the last `clear`."""
        self._rows: list[EventRow] = []
        self._row_revs: list[int] = []
        self._row_of: list[int] = []
        """Of every event the row it is in."""
        self._last_of: list[int] = []
        """Of every row its last event."""
        self._items: dict[str, tuple[int, ItemView]] = {}
        self._order: tuple[str, ...] = ()
        self._order_rev = 0
        self._sections: dict[str, tuple[int, Any]] = {}

    def _touch(self) -> None:
        self.rev += 1
        self._changed()

    def record(self, event: LoggedEvent) -> int:
        """Add an event to the log and fold it into its row; returns its number."""
        number = len(self.events)
        self.events.append(event)
        self._touch()
        n = self._row_for(event)
        if n is not None:
            row = self._rows[n]
            self._rows[n] = msgspec.structs.replace(
                row, count=row.count + 1, last_ms=event.t_ms, size=row.size + event.size, note=event.note or row.note
            )
            self._row_revs[n] = self.rev
            if n < len(self._rows) - 1:  # the row behind it counts as changed too: revisions must rise with the rows
                self._touch()
                self._row_revs[-1] = self.rev
            self._row_of.append(n)
            self._last_of[n] = number
            return number
        self._row_of.append(len(self._rows))
        self._last_of.append(number)
        self._rows.append(
            EventRow(
                n=len(self._rows),
                first=number,
                count=1,
                t_ms=event.t_ms,
                last_ms=event.t_ms,
                by=event.by,
                type=event.type,
                size=event.size,
                item=event.item,
                response=event.response,
                note=event.note,
            )
        )
        self._row_revs.append(self.rev)
        return number

    def _row_for(self, event: LoggedEvent) -> int | None:
        """The row that the event belongs to: the last one, or the one before it where only the microphone is between."""
        count = len(self._rows)
        if count and event.folds_with(self._rows[-1]):
            return count - 1
        if count > 1 and MICROPHONE in ((event.by, event.type), (self._rows[-1].by, self._rows[-1].type)):
            row = self._rows[-2]
            if event.folds_with(row) and event.t_ms - row.last_ms <= INTERLEAVED_MS:
                return count - 2
        return None

    def clear(self) -> None:
        """Forget events and items (a new call begins); sections stay. Every viewer is told to do the same."""
        self._touch()
        self.cleared_at = self.rev
        self.events.clear()
        self._rows.clear()
        self._row_revs.clear()
        self._row_of.clear()
        self._last_of.clear()
        self._items.clear()
        self._order = ()
        self._order_rev = self.rev
        self._sections = {name: (self.rev, value) for name, (_, value) in self._sections.items()}

    def show(self, section: str, value: Section) -> None:
        """Replace one section (`call`, `money`, …); an equal value changes nothing."""
        if section not in _SECTIONS:
            raise KeyError(section)
        if section in self._sections and self._sections[section][1] == value:
            return
        self._touch()
        self._sections[section] = (self.rev, value)

    def section(self, name: str) -> Any:
        """The present value of a section; KeyError if it was never shown."""
        return self._sections[name][1]

    def put_item(self, view: ItemView) -> None:
        """Show an item as it is now; its place comes from `set_order`."""
        known = self._items.get(view.id)
        if known is None or known[1] != view:
            self._touch()
            self._items[view.id] = (self.rev, view)

    def item(self, item_id: str) -> ItemView | None:
        """The item as shown, or None."""
        known = self._items.get(item_id)
        return known[1] if known else None

    def set_order(self, ids: tuple[str, ...]) -> None:
        """The conversation's order; items that are not in it are gone."""
        if ids == self._order:
            return
        self._touch()
        self._order, self._order_rev = ids, self.rev
        keep = set(ids)
        self._items = {key: value for key, value in self._items.items() if key in keep}

    def row(self, n: int) -> EventRow | None:
        """Row `n`, or None."""
        return self._rows[n] if 0 <= n < len(self._rows) else None

    def children(self, n: int, offset: int, limit: int) -> list[EventHead]:
        """The single events behind row `n`: at most `limit` of them from `offset` on."""
        row = self.row(n)
        if row is None:
            return []
        own = (number for number in range(row.first, self._last_of[n] + 1) if self._row_of[number] == n)
        start = max(offset, 0)
        found = ((number, self.events[number]) for number in islice(own, start, start + max(limit, 0)))
        return [EventHead(n=number, t_ms=event.t_ms, size=event.size, note=event.note) for number, event in found]

    def row_of(self, number: int) -> int:
        """The row that event `number` is in."""
        return self._row_of[number]

    def since(self, rev: int) -> Frame:
        """All that changed after `rev`; where one frame cannot hold it, the frame's own `rev` is lower than the feed's."""
        reset = rev < self.cleared_at or rev > self.rev
        rev = 0 if reset else rev
        begin = bisect_right(self._row_revs, rev)
        rows = self._rows[begin : begin + ROWS_PER_FRAME]
        complete = begin + len(rows) == len(self._rows)
        upto = self.rev if complete else self._row_revs[begin + len(rows) - 1]
        changed = {name: value for name, (at, value) in self._sections.items() if rev < at <= upto}
        return Frame(
            epoch=self.epoch,
            rev=upto,
            reset=reset,
            rows=tuple(rows),
            events=len(self.events) if rows or reset else None,
            items=tuple(view for at, view in self._items.values() if rev < at <= upto),
            order=self._order if rev < self._order_rev <= upto or reset else None,
            **changed,
        )


class Filter:
    """One viewer's text filter, evaluated over the log as it grows.

    `advance` is called once a frame; it looks at no more than `budget` events, so that a large log never blocks a frame.
    """

    def __init__(self, q: str) -> None:
        self.q = q
        self._needle = q.strip().lower()
        self._seen = 0
        self._last_hits: tuple[int, ...] = ()
        self._fresh = True
        self._cleared_at = 0

    def advance(self, feed: Feed, budget: int = 20_000) -> FilterHits | None:
        """Rows newly found to match, or None if nothing changed."""
        if feed.cleared_at != self._cleared_at:
            self._cleared_at = feed.cleared_at
            self._seen, self._last_hits, self._fresh = 0, (), True
        hits = tuple(self._hits(feed, budget))
        if not hits and not self._fresh:
            return None
        reset, self._fresh = self._fresh, False
        return FilterHits(q=self.q, reset=reset, rows=hits)

    def _hits(self, feed: Feed, budget: int) -> Iterator[int]:
        stop = min(len(feed.events), self._seen + budget)
        for number in range(self._seen, stop):
            row = feed.row_of(number)
            if row not in self._last_hits and feed.events[number].matches(self._needle):
                self._last_hits = (*self._last_hits[-1:], row)
                yield row
        self._seen = stop
