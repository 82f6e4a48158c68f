"""One conversation over all its connections: what comes in and what it means, who is told, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import UNSET

from duologue.client import payloads
from duologue.client.api import ApiKey, Opener, RealtimeAPI
from duologue.client.backlog import Backlog
from duologue.client.conversation import KEEP_AUDIO_BYTES, PIECES, Delta, Piece, RealtimeConversation, Update
from duologue.client.emitter import Emitter
from duologue.client.endpoint import ConnectionOptions
from duologue.client.lasting import Hooks, Lasting
from duologue.client.meter import Meter
from duologue.client.payloads import ClientError, RealtimeEvent, client_error
from duologue.client.profile import Profile
from duologue.client.purse import GOODBYE, Purse, Till
from duologue.client.reconnect import ReconnectPolicy
from duologue.client.replay import plan
from duologue.client.saved import SavedConversation, from_json, to_json
from duologue.client.toolbox import Toolbox
from duologue.client.turns import Turns
from duologue.dialogue.cost import PriceTable, Totals
from duologue.dialogue.playback import PlaybackLedger
from duologue.dialogue.sequencer import ACTIVE_RESPONSE
from duologue.errors import ConfigError, NotConnected, TransportClosed
from duologue.protocol import client_events as ce
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.items import FunctionCall, Item
from duologue.protocol.session import AnySession, RealtimeSession, SemanticVad, ServerVad
from duologue.transports.base import EventTransport

_BACKLOG = 256
_ITERATED = 10_000
Sound = ev.ResponseOutputAudioDelta | ev.ResponseOutputAudioDone
_RACES = (ACTIVE_RESPONSE, "response_cancel_not_active")


class ClientCore(Emitter):
    """The inside of RealtimeClient, which says what there is to hear and to configure."""

    _lasting: Lasting

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        connection: ConnectionOptions | None = None,
        transport: EventTransport | Opener | None = None,
        reconnect: bool | ReconnectPolicy = True,
        budget_usd: float | None = None,
        debug: bool = False,
    ) -> None:
        super().__init__(client_error)
        self.realtime = RealtimeAPI(
            url, api_key=api_key, model=model, connection=connection, transport=transport, debug=debug
        )
        self.realtime.on_frame = self._received
        self.realtime.on_end = lambda why: self._lasting.closed(why)
        self.realtime.on_error = lambda problem: self.emit("error", problem)
        self.realtime.describe = client_error
        self.budget_usd = budget_usd
        self.goodbye: str | None = GOODBYE
        """What the model is told to say when the budget is spent; None: nothing."""
        self.prices: PriceTable | None = None
        """The prices of the next conversation (`dialogue.cost.parse_prices`); None: those of the package."""
        self.keep_audio_bytes = KEEP_AUDIO_BYTES
        """How much sound the next conversation keeps in its items."""
        self._policy = None
        if reconnect and (transport is None or callable(transport)):
            self._policy = reconnect if isinstance(reconnect, ReconnectPolicy) else ReconnectPolicy()
        self.take_call: Callable[[str, FunctionCall], bool] | None = None
        """Asked first at every tool call, with its response's id: True takes it over, to answer it with `answer_call`."""
        self.hold_sound: Callable[[Sound], bool] | None = None
        """Asked at every piece of the model's sound and at its end: True keeps it back, until `release_sound`."""
        self._toolbox = Toolbox()
        self._profile = self._new_profile()
        self._loaded: tuple[Item, ...] = ()
        self._connecting = asyncio.Lock()
        self._begin()

    def _new_profile(self) -> Profile:
        return Profile(self.realtime.options.transcription, self.realtime.model)

    def _begin(self) -> None:
        """Everything that belongs to one conversation."""
        self.conversation = RealtimeConversation(self.keep_audio_bytes)
        self.playback = PlaybackLedger()
        self.session: AnySession | None = None
        self._turns = Turns(self._toolbox, self._send, self._failed, self.realtime.new_id)
        till = Till(emit=self.emit, stop_listening=self._stop_listening, leave=self._leave)
        self._purse = Purse(Meter(self.budget_usd, self.prices), self._turns, self.playback, till, self.goodbye)
        self._lasting = Lasting(self.realtime, self._policy, self.conversation, self._hooks())
        self._tools_changed = False
        self._speaking = False
        self._finished = True
        self._events: Backlog[ev.ServerEvent | UnknownEvent] = Backlog(_BACKLOG)
        self._events.end()
        before: str | None = None
        for item in self._loaded:
            self.conversation.apply(ev.ConversationItemDone(event_id="loaded", previous_item_id=before, item=item))
            before = item.id if isinstance(item.id, str) else before

    def _hooks(self) -> Hooks:
        return Hooks(
            greet=lambda: self._send_session(self._profile.fields),
            send=self._write,
            calm=self._calm,
            lost=self._lost,
            back=lambda: self._turns.resumed(),
            over=self._over,
            emit=self.emit,
            vad=lambda: self._profile.turn_detection_type is not None,
            running=lambda: set(self._turns.running),
        )

    def __repr__(self) -> str:
        return f"<RealtimeClient {'connected' if self.is_connected else 'not connected'}>"

    # Life

    @property
    def is_connected(self) -> bool:
        """Whether events can be sent now. False while the connection is being restored: what is sent then waits."""
        return self.realtime.is_connected and not self._lasting.restoring

    @property
    def usage(self) -> Totals:
        """Tokens and dollars of this conversation so far, over all its connections; the dollars are an estimate."""
        return self._purse.meter.totals

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()

    async def connect(self) -> None:
        """Open the connection and send the settings, and what `load` brought; does nothing when connected. Raises
        ConnectFailed (also where `disconnect` came first) and TransportClosed; nothing stays open then. The first
        connection is tried once: who calls is there to be told."""
        async with self._connecting:
            if self.is_connected or self._lasting.restoring:
                return
            await self.disconnect()
            self._begin()
            await self.realtime.connect()
            self._finished = self._events.over = False
            try:
                await self._send_session(self._profile.fields)
                await self._lasting.begin()
            except BaseException:
                await self._lasting.stop()
                await self.realtime.disconnect()
                self._finished = True
                self._events.end()
                raise
            self._loaded = ()
            if self.realtime.is_over and self.realtime.closed is not None:
                self._lasting.closed(self.realtime.closed)

    async def disconnect(self) -> None:
        """End the connection, or the search for a new one, the running tools and the handlers. The conversation stays
        readable until `connect`."""
        await self._lasting.stop()
        await self.realtime.disconnect()
        self._over(TransportClosed(1000, by="us"), None)
        await self._turns.finish()
        await self.finish()

    async def reset(self) -> None:
        """Disconnect and forget conversation, settings, tools and handlers."""
        await self.disconnect()
        self.clear_event_handlers()
        self._toolbox.clear()
        self._profile = self._new_profile()
        self._loaded = ()
        self._begin()

    def save(self, path: str | Path) -> None:
        """Write the conversation so far and its settings to a file, for `load`. Speech is saved as its words, as far as
        they were heard; keys and the functions of tools are not saved. Raises OSError."""
        told = plan(self.conversation.items, set(self._turns.running))
        saved = SavedConversation(settings=self._profile.fields, items=told.items, lost=told.lost)
        target = Path(path)
        draft = target.with_name(target.name + ".part")
        draft.write_bytes(to_json(saved))
        draft.replace(target)

    def load(self, path: str | Path) -> None:
        """Take up a saved conversation: the next `connect` tells it to the server. Raises ConfigError, also while
        connected, and OSError."""
        if not self._finished:
            raise ConfigError("load a conversation before connect(): this one is under way")
        saved = from_json(Path(path).read_bytes())
        self._profile.change(saved.settings)
        self._loaded = saved.items
        self._begin()

    async def __aiter__(self) -> AsyncIterator[ev.ServerEvent | UnknownEvent]:
        """Server events from `connect` on, until it is over for good; a later loop goes on where an earlier one stopped.

        One reader at a time. Of 10,000 waiting events the oldest is dropped; before the first loop, of 256.
        """
        self._events.hold(_ITERATED)
        while events := await self._events.some():
            while events:
                yield events.popleft()

    # Sending

    def _offer_tools(self) -> None:
        if not self._finished and not self._tools_changed:
            self._tools_changed = True
            self._turns.start(self._flush_tools(), "offer tools")

    async def _flush_tools(self) -> None:
        await self._lasting.ready()
        if self._tools_changed:
            await self._change_session({})

    async def _change_session(self, change: Mapping[str, Any]) -> None:
        """Like `_send_session`; a new connection gets all settings anyway."""
        try:
            await self._lasting.ready()
            await self._send_session(change)
        except (TransportClosed, NotConnected):
            await self._lasting.ready()

    async def _send_session(self, change: Mapping[str, Any]) -> None:
        if not self.realtime.is_connected:
            raise self.realtime.over()
        all_tools = "tools" in change or change is self._profile.fields or self._tools_changed
        session = self._profile.session(change, self._toolbox.definitions() if all_tools else None)
        self._tools_changed = False
        await self._write(ce.SessionUpdate(event_id=self.realtime.new_id("event"), session=session))

    async def _send(self, event: ce.ClientEvent) -> None:
        """Send it now, or when the conversation is restored; what a restoration brings along is not sent twice."""
        if isinstance(event, ce.ConversationItemCreate):
            event = self._named(event)
        while True:
            connection = self._lasting.connection
            try:
                await self._lasting.ready()
                if connection == self._lasting.connection:
                    if self._tools_changed:
                        await self._flush_tools()
                    await self._write(event)
                    return
            except (TransportClosed, NotConnected):
                await self._lasting.ready()
            if self._settled(event):
                return

    def _settled(self, event: ce.ClientEvent) -> bool:
        """Whether a new connection made the event needless: it was part of the replay, or meant something that is gone."""
        if isinstance(event, ce.ConversationItemCreate):
            item = self.conversation.get_item(str(event.item.id))
            return item is not None and item.placed
        return not isinstance(event, ce.ConversationItemDelete)

    async def _write(self, event: ce.ClientEvent) -> None:
        if not self.realtime.is_connected:
            raise self.realtime.over()
        if isinstance(event, ce.ConversationItemCreate):
            event = self._named(event)
        if self.heard("realtime.event"):
            self.emit("realtime.event", RealtimeEvent(time=self.realtime.clock(), source="client", event=event))
        await self.realtime.send_event(event)

    def _named(self, event: ce.ConversationItemCreate) -> ce.ConversationItemCreate:
        """With ids: what the server never confirmed is known when the connection is lost, and so is a picture, which
        servers do not show again."""
        new_id, item = self.realtime.new_id, event.item
        item = item if isinstance(item.id, str) else msgspec.structs.replace(item, id=new_id("item"))
        event_id = event.event_id if isinstance(event.event_id, str) else new_id("event")
        self.conversation.expect(item, event_id)
        return msgspec.structs.replace(event, item=item, event_id=event_id)

    # Listening

    def _received(self, event: ev.ServerEvent | UnknownEvent, frame: bytes | str) -> None:
        if "realtime.event" in self._handlers or self._waiters:
            note = RealtimeEvent(time=self.realtime.clock(), source="server", event=event, frame=frame)
            self.emit("realtime.event", note)
        self._events.put(event)
        hold = self.hold_sound
        if hold is not None and isinstance(event, Sound):
            if event.response_id in self._turns.cancelled:
                return
            if hold(event):
                # Nobody has heard it: if it never is, an interruption takes its words out of the conversation.
                self.playback.received(event.item_id, event.content_index, 0)
                return
        self._accept(event)

    def _accept(self, event: ev.ServerEvent | UnknownEvent) -> None:
        if (what := PIECES.get(type(event))) is not None:
            piece: Any = event
            if not self._grow(piece, what):
                return
        else:
            problem = payloads.server_error(event) if isinstance(event, ev.Error) else None
            if self._lasting.saw(event, problem):
                return
            self._follow(event, problem)
            self._apply(event)
        self.emit("conversation.event", event)

    def _grow(self, event: Piece, what: str) -> bool:
        """Nearly all events are more of an item: what nobody listens to is not made. False for sound that is not heard."""
        conversation = self.conversation
        if type(event) is ev.ResponseOutputAudioDelta:
            samples = len(event.delta) // conversation.output_sample_bytes
            if event.response_id in self._turns.cancelled or not self.playback.received(
                event.item_id, event.content_index, samples
            ):
                return False
        item = conversation.grow(event, what)
        if item is not None and ("conversation.updated" in self._handlers or self._waiters):
            delta: Any = {what: event.delta}
            self.emit("conversation.updated", Update("updated", item, Delta(**delta)))
        return True

    def _apply(self, event: ev.ServerEvent | UnknownEvent) -> None:
        for update in self.conversation.apply(event):
            self._tell(update)

    def _tell(self, update: Update) -> None:
        if update.kind != "updated":
            self.emit(f"conversation.item.{update.kind}", update)
            return
        self.emit("conversation.updated", update)
        if update.delta is None:
            self.emit("_revised", update)

    def _follow(self, event: ev.ServerEvent | UnknownEvent, problem: ClientError | None) -> None:
        """What an event means for turns, tools, playback, money and errors."""
        match event:
            case ev.SessionCreated(session=session) | ev.SessionUpdated(session=session):
                self._in_force(session)
            case ev.InputAudioBufferSpeechStarted():
                self._speaking = True
                self._server_interrupts()
                self.emit("conversation.interrupted", event)
            case ev.ResponseCreated() | ev.InputAudioTranscriptionCompleted():
                self._speaking = False
            case ev.ResponseOutputAudioDone(item_id=item_id, content_index=index):
                self.playback.finished(item_id, index)
            case ev.ResponseOutputItemDone(response_id=response_id, item=FunctionCall() as call):
                self._call(response_id, call)
            case ev.ConversationItemDeleted(item_id=item_id):
                self.playback.forget(item_id)
            case ev.ResponseDone(response=response):
                self._turns.cancelled.discard(response.id)
            case ev.Error() if problem is not None and problem.code not in _RACES:
                # The two races are answered by the sequencer, or change nothing.
                self.emit("error", problem)
            case _:
                pass
        self._turns.apply(event)
        self._purse.apply(event)

    def _in_force(self, session: AnySession) -> None:
        self.session = session
        self.emit("_session", session)
        self._purse.in_force(session)
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
        if active := self._turns.sequencer.active:
            self._turns.cancelled.add(active)

    def _call(self, response_id: str, call: FunctionCall) -> None:
        if call.status != "incomplete" and self.take_call is not None and self.take_call(response_id, call):
            self._turns.take(response_id, call)
            return
        # A tool that was declared without a handler is the caller's own business.
        strange = call.name not in self._toolbox
        if call.status == "incomplete" or (
            strange and any(tool.get("name") == call.name for tool in self._profile.declared)
        ):
            return
        self._turns.call(response_id, call)

    def _failed(self, problem: Exception) -> None:
        self.emit("error", self.describe(problem))

    # The connection comes and goes

    def _calm(self) -> bool:
        """Whether the conversation pauses: a moment to move it to a new session."""
        pending = self._profile.turn_detection_type is None and self.conversation.input.pending_bytes
        playing = self.playback.reported and self.playback.pending_ms
        return self._turns.idle and not (self._speaking or pending or playing)

    def _lost(self) -> bool:
        active = self._turns.sequencer.active
        said = active is not None and any(
            item.response_id == active and (item.parts() or item.arguments) for item in self.conversation.items
        )
        self.session = None
        self._speaking = False
        self.playback.connection_lost()
        self._turns.lost(again=not said)
        for update in self.conversation.connection_lost():
            self._tell(update)
        return said

    def _over(self, why: TransportClosed, cause: ClientError | None) -> None:
        if self._finished:
            return
        self._finished = True
        self._turns.stop()
        self._events.end()
        if cause is not None and cause.exception is not None:
            self.emit("error", cause)
        self.emit("close", why)
        self.fail_waiters(why)

    async def _stop_listening(self) -> None:
        change = self._profile.change({"turn_detection": None})
        await self._change_session(change)

    async def _leave(self, reason: str) -> None:
        await self._lasting.stop()
        await self.realtime.disconnect(1000, reason)
