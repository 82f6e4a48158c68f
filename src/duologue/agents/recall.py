"""Speech that was cut where its sound passes by this session: only the server knows which words were heard, and is asked.
Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from duologue.client.items import ConversationItem
from duologue.ids import IdSource
from duologue.protocol import server_events as ev
from duologue.protocol.client_events import ConversationItemRetrieve
from duologue.protocol.codec import UnknownEvent

_REMEMBERED = 64


class Recall:
    """One session. `item` finds an item by its id, as it is after the event at hand."""

    def __init__(self, item: Callable[[str], ConversationItem | None], new_id: IdSource) -> None:
        self._item = item
        self._new_id = new_id
        self._growing: OrderedDict[str, str] = OrderedDict()
        """Cut items of answers that are still under way, with the answers' ids."""
        self._over: OrderedDict[str, str] = OrderedDict()
        """Answers that ended."""
        self._asked: OrderedDict[str, str] = OrderedDict()
        """By the ids of the events that ask: which item was asked for."""

    def server(self, event: ev.ServerEvent | UnknownEvent) -> list[ConversationItemRetrieve]:
        """Follow what the server tells; returns what to ask it."""
        if type(event) is ev.ConversationItemTruncated:
            return self._cut(event.item_id, event.content_index)
        if type(event) is ev.ResponseDone:
            return self._ended(event.response.id)
        return []

    def is_answer(self, event: ev.Error) -> bool:
        """Whether the error answers what was asked here: the item is gone by now, and nobody misses its words."""
        return event.error.event_id in self._asked

    def _cut(self, item_id: str, index: int) -> list[ConversationItemRetrieve]:
        item = self._placed(item_id)
        if item is None or item.part(index).sounded:
            return []
        answer = item.response_id
        if item.completed or answer is None or answer in self._over:
            return [self._ask(item_id)]
        # The events that end an answer still bring all of its words.
        _remember(self._growing, item_id, answer)
        return []

    def _ended(self, answer: str) -> list[ConversationItemRetrieve]:
        _remember(self._over, answer, answer)
        cut = [item_id for item_id, its_answer in self._growing.items() if its_answer == answer]
        for item_id in cut:
            del self._growing[item_id]
        return [self._ask(item_id) for item_id in cut if self._placed(item_id) is not None]

    def _placed(self, item_id: str) -> ConversationItem | None:
        item = self._item(item_id)
        return item if item is not None and item.placed else None

    def _ask(self, item_id: str) -> ConversationItemRetrieve:
        event_id = self._new_id("event")
        _remember(self._asked, event_id, item_id)
        return ConversationItemRetrieve(event_id=event_id, item_id=item_id)


def _remember(memory: OrderedDict[str, str], key: str, value: str) -> None:
    memory[key] = value
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
