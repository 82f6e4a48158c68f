"""One connection to whoever answers: a RealtimeClient with the console's tools, and what of it the console must know."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from duologue.client.client import RealtimeClient
from duologue.client.endpoint import ConnectionOptions
from duologue.client.items import ConversationItem
from duologue.console import items
from duologue.console import settings as session_settings
from duologue.console.embedded import Embedded
from duologue.console.sound import PartKey
from duologue.console.tools import GET_WEATHER, SET_MEMORY, ConsoleTools
from duologue.console.upstream import Upstream, with_model, without_query
from duologue.console.views import By, Settings
from duologue.dialogue.playback import Truncation
from duologue.errors import ConnectFailed, TransportClosed
from duologue.protocol import client_events as out
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.responses import Response
from duologue.protocol.session import RealtimeSession

_FAREWELL = "Say in one short sentence that the budget for this call is used up, and say goodbye."
_FAREWELL_MARK = {"purpose": "farewell"}
ANSWER_SECONDS = 15.0
KEEP_AUDIO_BYTES = 256 * 1024 * 1024
"""Every item can be heard again: an hour of both sides."""
_HARMLESS = frozenset(("response_cancel_not_active", "conversation_already_has_active_response"))
"""Races that the protocol allows and nobody needs to act upon; they stay visible among the events."""


class Listener(Protocol):
    """What a line tells, as it happens. Nothing of it may wait."""

    def frame_passed(self, by: By, frame: bytes | str, now_ms: int) -> None:
        """A frame went by."""

    def session_in_force(self, effective: Settings) -> None:
        """The server told its settings."""

    def item_changed(self, item: ConversationItem) -> None:
        """The item is new, or different now."""

    def items_moved(self) -> None:
        """Items came, went or changed places."""

    def spoken(self, part: PartKey, pcm: bytes) -> None:
        """Sound of the model."""

    def spoken_all(self, part: PartKey) -> None:
        """No more sound of this part."""

    def user_speaks(self, speaking: bool) -> None:
        """The server's voice detection heard the user begin or stop."""

    def responding(self, active: bool) -> None:
        """The model begins or ends an answer."""

    def paid(self, response: Response) -> None:
        """An answer is done; its usage is known."""

    def setting_refused(self, field: str, why: str) -> None:
        """The server does not take a setting."""

    def transcribed(self) -> None:
        """The words of an utterance are complete."""

    def failed(self, code: str, cause: str) -> None:
        """The server reported a problem."""


class Line:
    """Opened with `open`, ended with `close`; `ended` says why it is over."""

    def __init__(self, upstream: Upstream, listener: Listener, tools: ConsoleTools) -> None:
        self._upstream = upstream
        self._listener = listener
        self._tools = tools
        self._client: RealtimeClient | None = None
        self._active: str | None = None
        self._stopped: set[str] = set()
        self._interrupts = True
        self._ended: asyncio.Future[TransportClosed] = asyncio.get_running_loop().create_future()

    @property
    def items(self) -> list[ConversationItem]:
        """The conversation, in order."""
        return [] if self._client is None else self._client.conversation.items

    def item(self, item_id: str) -> ConversationItem | None:
        """An item by its id."""
        return None if self._client is None else self._client.conversation.get_item(item_id)

    async def open(self, embedded: Embedded, key: str | None, wanted: Settings) -> None:
        """Connect and bring the settings into force. Raises ConnectFailed, EngineError, TransportClosed."""
        upstream = self._upstream
        if upstream.kind == "embedded":
            client = RealtimeClient(
                transport=await embedded.open(upstream.effective_model), connection=ConnectionOptions(sink=self)
            )
        else:
            # An empty key keeps the client from looking for one: only the console decides who gets it.
            # The page shows the end of a connection and offers the next: nothing reconnects behind its back.
            client = RealtimeClient(
                with_model(upstream.address, upstream.effective_model),
                api_key=key or "",
                connection=ConnectionOptions(sink=self),
                reconnect=False,
            )
        self._client = client
        client.keep_audio_bytes = KEEP_AUDIO_BYTES
        client.realtime.on("server.*", self._on_event)
        client.realtime.on("close", self._on_close)
        client.add_tool(GET_WEATHER, self._tools.get_weather)
        client.add_tool(SET_MEMORY, self._tools.set_memory)
        await client.update_session(**_fields(session_settings.to_session(wanted)))
        await client.connect()
        try:
            await client.wait_for_session_created(ANSWER_SECONDS)
        except TimeoutError:
            address = without_query(self._upstream.address) or "the embedded server"
            raise ConnectFailed(address, "connected, but no session began", retryable=True) from None

    async def ended(self) -> TransportClosed:
        """Wait until the connection is over."""
        return await asyncio.shield(self._ended)

    async def close(self) -> None:
        """End the connection; harmless if it is over."""
        if self._client is not None:
            await self._client.disconnect()

    def record(self, direction: str, frame: bytes | str, now_ms: int) -> None:
        """The tap's sink."""
        self._listener.frame_passed("client" if direction == "sent" else "server", frame, now_ms)

    # --- commands ---------------------------------------------------------------------------------------------

    async def say(self, text: str) -> None:
        """A typed message, to be answered."""
        await self._open.send_user_message_content([{"type": "input_text", "text": text}])

    async def append(self, pcm: bytes) -> None:
        """Sound of the microphone."""
        await self._open.append_input_audio(pcm)

    async def clear_input(self) -> None:
        """Forget what was said and not yet committed."""
        await self._open.clear_input_audio()

    async def answer(self) -> None:
        """The turn is over: commit what was said and ask for an answer."""
        await self._open.create_response()

    async def farewell(self) -> None:
        """Ask for a goodbye."""
        await self._open.create_response(instructions=_FAREWELL, tool_choice="none", metadata=_FAREWELL_MARK)

    async def cancel(self) -> None:
        """Stop the answer that is being made, or about to be."""
        self._stop_active()
        await self._open.cancel_response()

    async def truncate(self, cut: Truncation) -> None:
        """Tell the server what was heard."""
        event = out.ConversationItemTruncate(
            item_id=cut.item_id, content_index=cut.content_index, audio_end_ms=cut.audio_end_ms
        )
        await self._open.realtime.send_event(event)

    async def update(self, session: RealtimeSession) -> None:
        """Change the session."""
        await self._open.update_session(**_fields(session))

    async def delete(self, item_id: str) -> None:
        """Delete an item."""
        await self._open.delete_item(item_id)

    def drop(self, item_id: str) -> None:
        """Remove an item from what is kept after the call."""
        if self._client is not None:
            self._client.conversation.apply(ev.ConversationItemDeleted(item_id=item_id))
            self._listener.items_moved()

    @property
    def _open(self) -> RealtimeClient:
        assert self._client is not None, "open() comes first"
        return self._client

    # --- events -----------------------------------------------------------------------------------------------

    def _on_close(self, why: TransportClosed) -> None:
        if not self._ended.done():
            self._ended.set_result(why)

    def _on_event(self, event: ev.ServerEvent | UnknownEvent) -> None:
        listener = self._listener
        match event:
            case ev.ResponseOutputAudioDelta(item_id=item_id, content_index=index, delta=pcm):
                if event.response_id not in self._stopped:
                    listener.spoken((item_id, index), pcm)
            case ev.ResponseOutputAudioDone(item_id=item_id, content_index=index):
                listener.spoken_all((item_id, index))
            case ev.SessionCreated(session=session) | ev.SessionUpdated(session=session):
                if isinstance(session, RealtimeSession):
                    effective = session_settings.from_session(session)
                    self._interrupts = effective.interrupt_response is not False
                    listener.session_in_force(effective)
            case ev.InputAudioBufferSpeechStarted():
                if self._interrupts:
                    self._stop_active()
                listener.user_speaks(True)
            case ev.InputAudioBufferSpeechStopped():
                listener.user_speaks(False)
            case ev.ResponseCreated(response=response):
                self._active = response.id
                listener.responding(True)
            case ev.ResponseDone(response=response):
                self._active = None
                self._stopped.discard(response.id)
                listener.responding(False)
                listener.paid(response)
                self._failure_of(response)
            case ev.Error(error=error) if field := session_settings.field_of(error.param):
                listener.setting_refused(field, error.message)
            case ev.Error(error=error) if error.code not in _HARMLESS:
                listener.failed(error.code or error.type, error.message)
            case ev.InputAudioTranscriptionCompleted():
                listener.transcribed()
            case ev.InputAudioTranscriptionFailed(error=error):
                words = str(error.message or "The speech was not transcribed.")
                listener.failed(items.problem_code(str(error.code)), words)
            case _:
                pass
        self._tell_items(event)

    def _stop_active(self) -> None:
        """Sound of a stopped answer that is still on its way is not to be played."""
        if self._active is not None:
            self._stopped.add(self._active)

    def _failure_of(self, response: Response) -> None:
        if response.status != "failed" or response.status_details is None:
            return
        error: Any = response.status_details.error
        message = getattr(error, "message", None)
        self._listener.failed("response", message if isinstance(message, str) else "The answer failed.")

    def _tell_items(self, event: ev.ServerEvent | UnknownEvent) -> None:
        """Only the event's own item is looked at again, however long the conversation is."""
        match event:
            case (
                ev.ConversationItemAdded(item=wire)
                | ev.ConversationItemCreated(item=wire)
                | ev.ConversationItemDone(item=wire)
                | ev.ResponseOutputItemAdded(item=wire)
                | ev.ResponseOutputItemDone(item=wire)
            ):
                self._tell_item(wire.id)
                self._listener.items_moved()
            case ev.ConversationItemDeleted():
                self._listener.items_moved()
            case ev.ConversationItemRetrieved(item=wire):
                self._tell_item(wire.id)
            case _:
                self._tell_item(getattr(event, "item_id", None))

    def _tell_item(self, item_id: object) -> None:
        item = self.item(item_id) if isinstance(item_id, str) else None
        if item is not None and item.placed:
            self._listener.item_changed(item)


def is_farewell(response: Response) -> bool:
    """True for the answer to `farewell`; servers give the mark back."""
    return isinstance(response.metadata, dict) and response.metadata.items() >= _FAREWELL_MARK.items()


def _fields(session: RealtimeSession) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(session)
    del fields["type"]
    return fields
