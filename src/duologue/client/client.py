"""A conversation with a Realtime API: the wire, the conversation's state, the tools and the turns in one object."""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pybase64
from msgspec import UNSET

from duologue.client.api import RealtimeAPI
from duologue.client.conversation import RealtimeConversation, Update
from duologue.client.emitter import Emitter
from duologue.client.items import ConversationItem
from duologue.client.payloads import ClientError, RealtimeEvent, client_error, content_part, pcm_bytes
from duologue.client.settings import ga_fields, merged, response_of, session_of
from duologue.client.toolbox import Toolbox
from duologue.dialogue.playback import PlaybackLedger
from duologue.dialogue.sequencer import ACTIVE_RESPONSE, ResponseSequencer
from duologue.errors import ConfigError, DuologueError, NotConnected, TransportClosed
from duologue.protocol import client_events as ce
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.items import FunctionCall, FunctionCallOutput, Item, Message
from duologue.protocol.session import AnySession, FunctionTool, RealtimeSession, SemanticVad, ServerVad
from duologue.transports.base import EventTransport
from duologue.transports.tap import Sink

_APPEND = b'{"type":"input_audio_buffer.append","audio":"'
_APPEND_END = b'"}'
_BACKLOG = 256
_ITERATED = 10_000
_log = logging.getLogger(__name__)


class RealtimeClient(Emitter):
    """Talk to a Realtime API.

    Events: `conversation.updated`, `conversation.item.appended`, `conversation.item.completed`,
    `conversation.item.deleted` (payload Update: `item`, `delta`), `conversation.interrupted` (the speech_started event),
    `realtime.event` (RealtimeEvent), `error` (ClientError), `close` (TransportClosed). `async for event in client` gives
    every server event. Turn detection is off until `update_session(turn_detection="server_vad")`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        model: str | None = None,
        headers: Mapping[str, str] | None = None,
        transport: EventTransport | None = None,
        sink: Sink | None = None,
    ) -> None:
        super().__init__(client_error)
        self.realtime = RealtimeAPI(url, api_key=api_key, model=model, headers=headers, transport=transport, sink=sink)
        self.realtime.on_frame = self._received
        self.realtime.on("close", self._closed)
        self.realtime.on("error", lambda problem: self.emit("error", problem))
        self.realtime.describe = client_error
        self._config: dict[str, Any] = ga_fields({"turn_detection": None})
        self._toolbox = Toolbox()
        self._connecting = asyncio.Lock()
        self._begin()

    def _begin(self) -> None:
        """Everything that belongs to one connection."""
        self.conversation = RealtimeConversation()
        self.playback = PlaybackLedger()
        self.session: AnySession | None = None
        self._sequencer = ResponseSequencer(self.realtime.new_id)
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelled: set[str] = set()
        self._tools_changed = False
        self._created = asyncio.Event()
        self._events: deque[Any] = deque(maxlen=_BACKLOG)
        self._moved = asyncio.Event()

    def __repr__(self) -> str:
        return f"<RealtimeClient {'connected' if self.is_connected else 'not connected'}>"

    # Life

    @property
    def is_connected(self) -> bool:
        """Whether events can be sent now."""
        return self.realtime.is_connected

    async def __aenter__(self) -> RealtimeClient:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()

    async def connect(self) -> None:
        """Open the connection and send the settings; does nothing when connected. Raises ConnectFailed (also where
        `disconnect` came first) and TransportClosed; nothing stays open then."""
        async with self._connecting:
            if self.is_connected:
                return
            await self.disconnect()
            self._begin()
            await self.realtime.connect()
            try:
                await self._send_session(self._config)
            except BaseException:
                await self.realtime.disconnect()
                raise

    async def disconnect(self) -> None:
        """End the connection, the running tools and the handlers. The conversation stays readable until `connect`."""
        await self.realtime.disconnect()
        await self._end_tasks()
        await self.finish()

    async def reset(self) -> None:
        """Disconnect and forget conversation, settings, tools and handlers."""
        await self.disconnect()
        self.clear_event_handlers()
        self._toolbox.clear()
        self._config = ga_fields({"turn_detection": None})
        self._begin()

    async def wait_for_session_created(self, timeout_s: float | None = None) -> AnySession:
        """The session as the server made it. Raises TimeoutError, NotConnected, TransportClosed."""
        if self.session is None:
            if self.realtime.is_over:
                raise self.realtime.over()
            await self.wait_for_next("_session", timeout_s)
        assert self.session is not None
        return self.session

    async def wait_for_next_item(self, timeout_s: float | None = None) -> ConversationItem:
        """The next item that enters the conversation. Raises TimeoutError, TransportClosed."""
        update: Update = await self.wait_for_next("conversation.item.appended", timeout_s)
        return update.item

    async def wait_for_next_completed_item(self, timeout_s: float | None = None) -> ConversationItem:
        """The next item that becomes final. Raises TimeoutError, TransportClosed."""
        update: Update = await self.wait_for_next("conversation.item.completed", timeout_s)
        return update.item

    async def __aiter__(self) -> AsyncIterator[ev.ServerEvent | UnknownEvent]:
        """Server events from `connect` on, until the connection ends; a later loop goes on where an earlier one stopped.

        One reader at a time. Of 10,000 waiting events the oldest is dropped; before the first loop, of 256.
        """
        if self._events.maxlen != _ITERATED:
            self._events = deque(self._events, maxlen=_ITERATED)
        while True:
            while self._events:
                yield self._events.popleft()
            if self.realtime.is_over:
                return
            self._moved.clear()
            await self._moved.wait()

    # Settings and tools

    async def update_session(self, **fields: Any) -> None:
        """Change settings, now or for the next connection: `instructions`, `voice`, `turn_detection`, `modalities`,
        `input_audio_transcription`, `tools`, … or GA's own names (`audio=…`, `output_modalities=…`). Tools given here
        stand beside those of `add_tool`. Raises ConfigError, TransportClosed."""
        change = ga_fields(fields)
        session_of(change)
        self._config = merged(self._config, change)
        if self.is_connected:
            await self._send_session(change)

    def get_turn_detection_type(self) -> str | None:
        """`server_vad`, `semantic_vad`, or None: the client says when a turn ends."""
        detection = self._config.get("audio", {}).get("input", {}).get("turn_detection")
        return detection.get("type") if isinstance(detection, Mapping) else None

    def add_tool(
        self,
        definition: FunctionTool | Mapping[str, Any] | Callable[..., Any],
        handler: Callable[..., Any] | None = None,
    ) -> None:
        """Offer a tool: a definition (name, description, parameters) and its function, or a function alone. The server
        learns of it at once when connected. Raises ConfigError."""
        if callable(definition) and handler is None:
            self._toolbox.add(None, definition)
        elif handler is None or callable(definition):
            raise ConfigError("a definition needs a handler: add_tool(definition, handler)")
        else:
            self._toolbox.add(definition, handler)
        self._offer_tools()

    def tool(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: offer the function as a tool, described by its signature and docstring."""
        self.add_tool(function)
        return function

    def remove_tool(self, name: str) -> None:
        """Take a tool back. Raises ConfigError where there is none of that name."""
        self._toolbox.remove(name)
        self._offer_tools()

    def _offer_tools(self) -> None:
        if self.is_connected and not self._tools_changed:
            self._tools_changed = True
            self._start(self._flush_tools(), "offer tools")

    async def _flush_tools(self) -> None:
        if self._tools_changed:
            await self._send_session({"tools": self._config.get("tools", [])})

    async def _send_session(self, change: Mapping[str, Any]) -> None:
        fields = dict(change)
        if "tools" in fields or change is self._config or self._tools_changed:
            own = [tool for tool in self._config.get("tools") or [] if tool.get("name") not in self._toolbox]
            fields["tools"] = own + self._toolbox.definitions()
        self._tools_changed = False
        await self._write(ce.SessionUpdate(event_id=self.realtime.new_id("event"), session=session_of(fields)))

    # Talking

    async def send_user_message_content(
        self, content: str | Sequence[Mapping[str, Any]], *, respond: bool = True
    ) -> None:
        """Say something as the user: text, or parts `{"type": "input_text", "text": …}`, `{"type": "input_audio", "audio":
        bytes or base64}`, `{"type": "input_image", "image_url": …}`; asks for a response. Raises ConfigError."""
        parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
        item = Message(role="user", content=tuple(content_part(part) for part in parts))
        await self._send(ce.ConversationItemCreate(item=item))
        if respond:
            await self.create_response()

    async def create_item(self, item: Item, previous_item_id: str | None = None) -> None:
        """Put any item into the conversation, at the end or after `previous_item_id` (`root`: first)."""
        previous = UNSET if previous_item_id is None else previous_item_id
        await self._send(ce.ConversationItemCreate(item=item, previous_item_id=previous))

    async def append_input_audio(self, audio: bytes | bytearray | memoryview | array[int] | Any) -> None:
        """Send sound of the user: mono in the session's input format (PCM16, 24 kHz), as bytes, `array('h')` or an int16
        ndarray; nothing is sent for no sound. Raises ValueError on half a sample, TypeError, TransportClosed.

        Cancelling it leaves the piece sent whole or not at all.
        """
        piece = audio if isinstance(audio, bytes) else pcm_bytes(audio)
        if not piece:
            return
        speech = self.conversation.input
        if len(piece) & 1 and speech.bytes_per_ms != 8:
            raise ValueError(f"{len(piece)} bytes hold half a sample: PCM16 has two bytes each")
        if self._tools_changed:
            await self._flush_tools()
        speech.append(piece)
        if self.heard("realtime.event") or self.realtime.heard("client.*"):
            await self._write(ce.InputAudioBufferAppend(audio=piece))
            return
        await self.realtime.send_frame(_APPEND + pybase64.b64encode(piece) + _APPEND_END)

    async def commit_input_audio(self) -> None:
        """Make an item of the sound sent so far; asks for no response."""
        self.conversation.input.mark_commit()
        await self._send(ce.InputAudioBufferCommit())

    async def clear_input_audio(self) -> None:
        """Let the server forget the sound that it has not made an item of."""
        self.conversation.input.mark_clear()
        await self._send(ce.InputAudioBufferClear())

    async def create_response(self, **overrides: Any) -> None:
        """Ask for an answer, now or when the one under way is over. Without turn detection the sound sent so far is
        committed first. Raises ConfigError, TransportClosed."""
        params = response_of(overrides) if overrides else None
        if self.get_turn_detection_type() is None and self.conversation.input.pending_bytes:
            await self.commit_input_audio()
        await self._ask(self._sequencer.want(params))

    async def cancel_response(self, item_id: str | None = None, sample_count: int = 0) -> ConversationItem | None:
        """Stop the answer under way; with an item's id also cut its speech after `sample_count` heard samples.

        Returns the item. Raises ConfigError for an item that is not speech of the assistant.
        """
        if item_id is None:
            await self._cancel()
            return None
        item = self.conversation.get_item(item_id)
        if item is None:
            raise ConfigError(f"there is no item {item_id!r}")
        if item.role != "assistant":
            raise ConfigError(f"item {item_id!r} is not the assistant's: only its speech can be cut")
        self.playback.played_item(item_id, sample_count)
        await self.interrupt()
        return item

    async def interrupt(self) -> None:
        """The listener has heard enough: stop the answer, and let the model forget what `playback` did not report as heard.

        Sound of the stopped answer that is still on its way is dropped. Where nothing ever reported playing, nothing is
        cut.
        """
        await self._cancel()
        if not self.playback.reported:
            return
        for cut in self.playback.interrupt():
            item, part, end_ms = cut.item_id, cut.content_index, cut.audio_end_ms
            await self._send(ce.ConversationItemTruncate(item_id=item, content_index=part, audio_end_ms=end_ms))

    async def delete_item(self, item_id: str) -> None:
        """Remove an item from the conversation; it leaves when the server confirms."""
        await self._send(ce.ConversationItemDelete(item_id=item_id))

    async def _cancel(self) -> None:
        response_id = self._sequencer.active
        if response_id is not None and response_id not in self._cancelled:
            self._cancelled.add(response_id)
            await self._send(ce.ResponseCancel(response_id=response_id))
        elif response_id is None and self._sequencer.asked:
            # Asked for and not yet begun: it has no id, and the server takes events in order.
            await self._send(ce.ResponseCancel())

    async def _ask(self, wishes: Sequence[ce.ResponseCreate]) -> None:
        for wish in wishes:
            await self._send(wish)

    async def _send(self, event: ce.ClientEvent) -> None:
        if self._tools_changed:
            await self._flush_tools()
        await self._write(event)

    async def _write(self, event: ce.ClientEvent) -> None:
        if not self.is_connected:
            raise self.realtime.over()
        if self.heard("realtime.event"):
            self.emit("realtime.event", RealtimeEvent(time=self.realtime.clock(), source="client", event=event))
        await self.realtime.send_event(event)

    # Listening

    def _received(self, event: ev.ServerEvent | UnknownEvent, frame: bytes | str) -> None:
        if self.heard("realtime.event"):
            note = RealtimeEvent(time=self.realtime.clock(), source="server", event=event, frame=frame)
            self.emit("realtime.event", note)
        self._events.append(event)
        self._moved.set()
        if isinstance(event, ev.ResponseOutputAudioDelta):
            if event.response_id in self._cancelled or not self._sounded(event):
                return
        else:
            self._follow(event)
        for update in self.conversation.apply(event):
            self._tell(update)

    def _sounded(self, event: ev.ResponseOutputAudioDelta) -> bool:
        sample_bytes = 1 if self.conversation.output_bytes_per_ms == 8 else 2
        return self.playback.received(event.item_id, event.content_index, len(event.delta) // sample_bytes)

    def _tell(self, update: Update) -> None:
        self.emit("conversation.updated" if update.kind == "updated" else f"conversation.item.{update.kind}", update)

    def _follow(self, event: ev.ServerEvent | UnknownEvent) -> None:
        """What an event means for turns, tools, playback and errors."""
        match event:
            case ev.SessionCreated(session=session) | ev.SessionUpdated(session=session):
                self._in_force(session)
            case ev.InputAudioBufferSpeechStarted():
                self._server_interrupts()
                self.emit("conversation.interrupted", event)
            case ev.ResponseOutputAudioDone(item_id=item_id, content_index=index):
                self.playback.finished(item_id, index)
            case ev.ResponseOutputItemDone(response_id=response_id, item=FunctionCall() as call):
                self._call(response_id, call)
            case ev.ConversationItemDeleted(item_id=item_id):
                self.playback.forget(item_id)
            case ev.ResponseDone(response=response):
                self._cancelled.discard(response.id)
            case ev.Error():
                self._refused(event)
            case _:
                pass
        if wishes := self._sequencer.apply(event):
            self._start(self._ask(wishes), "ask for a response")

    def _in_force(self, session: AnySession) -> None:
        self.session = session
        self.emit("_session", session)
        audio = session.audio
        if audio is not UNSET and audio.output is not UNSET and audio.output.format is not UNSET:
            self.playback.rate_hz = getattr(audio.output.format, "rate", 8000)

    def _server_interrupts(self) -> None:
        """The user speaks: where the session says so, the server cancels by itself, and a cancel of ours came too late."""
        session = self.session
        if not isinstance(session, RealtimeSession) or session.audio is UNSET or session.audio.input is UNSET:
            return
        detection = session.audio.input.turn_detection
        if not isinstance(detection, ServerVad | SemanticVad) or detection.interrupt_response is False:
            return
        if self._sequencer.active:
            self._cancelled.add(self._sequencer.active)

    def _refused(self, event: ev.Error) -> None:
        # Both are answered by the sequencer, or are races that change nothing.
        if event.error.code not in (ACTIVE_RESPONSE, "response_cancel_not_active"):
            self.emit("error", ClientError(message=event.error.message, code=event.error.code, event=event))

    def _call(self, response_id: str, call: FunctionCall) -> None:
        if not isinstance(call.call_id, str) or call.status == "incomplete":
            return
        if call.name not in self._toolbox and self._declared(call.name):
            # A tool that was declared without a handler is the caller's own business.
            return
        self._sequencer.call_started(response_id, call.call_id)
        self._start(self._answer(response_id, call.call_id, call), f"tool {call.name}")

    def _declared(self, name: str) -> bool:
        return any(tool.get("name") == name for tool in self._config.get("tools") or [])

    async def _answer(self, response_id: str, call_id: str, call: FunctionCall) -> None:
        output = await self._toolbox.run(call.name, call.arguments)
        await self._send(ce.ConversationItemCreate(item=FunctionCallOutput(call_id=call_id, output=output)))
        await self._ask(self._sequencer.call_answered(response_id, call_id))

    def _start(self, work: Any, name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Any) -> None:
        try:
            await work
        except (TransportClosed, NotConnected):
            _log.debug("the connection ended before an event could be sent")
        except Exception as problem:
            if not isinstance(problem, DuologueError):
                _log.exception("a task of the client failed")
            self.emit("error", self.describe(problem))

    def _closed(self, why: TransportClosed) -> None:
        for task in self._tasks:
            task.cancel()
        self.fail_waiters(why)
        self._moved.set()
        self.emit("close", why)

    async def _end_tasks(self) -> None:
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
