"""The transport alone: connect, send, hear. No history, no tools, no reconnecting: whoever wants those takes RealtimeClient.

wire = OpenAIRealtimeWebSocket()
wire.on("audio", lambda event: loudspeaker.write(event.delta))
await wire.connect(api_key=key, initial_session_config={"instructions": "Be brief.", "input_audio_format": "pcm16"})
await wire.send_audio(sound)
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from duologue.audio.pcm16 import sound_bytes
from duologue.client.api import ApiKey, Opener, RealtimeAPI
from duologue.client.emitter import Emitter
from duologue.client.endpoint import DEFAULT_MODEL, DEFAULT_URL, ConnectionOptions, address, is_azure
from duologue.client.settings import ga_fields, merged, session_of
from duologue.client.verbs import Verbs, names_of
from duologue.clock import Clock, monotonic_ms
from duologue.dialogue.playback import PlaybackLedger
from duologue.errors import ConfigError, ConnectFailed, NotConnected, TransportClosed
from duologue.protocol import client_events as ce
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.items import InputImage, InputText, Message
from duologue.protocol.session import PcmaFormat, PcmuFormat, RealtimeSession
from duologue.transports.base import EventTransport
from duologue.transports.dial import open_call
from duologue.transports.runtime import default_transport

Status = Literal["disconnected", "connecting", "connected"]


class ThinOptions(Struct, frozen=True, kw_only=True):
    """What a thin client may be told beside its address."""

    connection: ConnectionOptions = ConnectionOptions()
    input_port: Any = None
    """WebRTC only: where the user's sound comes from, a MediaPort; in a page a MediaStream."""
    output_port: Any = None
    """WebRTC only: where the answer is played, a MediaPort; in a page an audio element."""
    clock: Clock = monotonic_ms


class ThinClient(Verbs, Emitter):
    """One connection to a Realtime API by WebSocket, WebRTC or a transport of one's own.

    Events, each with the server's own event as payload: `*` (all) and the names of `verbs.TYPES`, such as `audio`,
    `function_call`, `audio_interrupted` (the user speaks) and `turn_done`; also `connection_change` (`connecting`,
    `connected`, `disconnected`) and `close` (TransportClosed). Sound of an answer that was interrupted is not told as
    `audio` any more.

    `playback` knows what was heard: tell it with `played_item` or `played_total`. While nobody does, sound counts as
    heard at the speed of speech from the moment in which it came.
    """

    def __init__(
        self,
        transport: Literal["websocket", "webrtc"] | EventTransport | Opener | None = None,
        *,
        url: str | None = None,
        options: ThinOptions | None = None,
    ) -> None:
        super().__init__()
        self.kind = default_transport() if transport is None else transport
        self.options = options or ThinOptions()
        self.status: Status = "disconnected"
        self.session_config: RealtimeSession | None = None
        """What was asked for on this connection, all together; None before anything was."""
        self.playback = PlaybackLedger()
        self.url = url
        self._api: RealtimeAPI | None = None
        self._call: Any = None
        self._sound_elsewhere = self.kind == "webrtc"
        self._muted = False
        self._asked: dict[str, Any] = {}
        self._response_id: str | None = None
        self._stopped: set[str] = set()
        self._marked_ms = 0
        self._settled: tuple[str, asyncio.Future[str]] | None = None

    @property
    def closed(self) -> TransportClosed | None:
        """Why the connection ended; None while it is open and before the first."""
        return self._api.closed if self._api else None

    @property
    def call_id(self) -> str | None:
        """The call's id, by which a server can join the session; None for all but WebRTC."""
        return getattr(self._call, "call_id", None)

    @property
    def port(self) -> Any:
        """The sound of a WebRTC call as a MediaPort; None for all others, and in a page, where the browser plays it."""
        return getattr(self._call, "port", None)

    @property
    def muted(self) -> bool:
        """Whether `send_audio` sends nothing, and a call's microphone is off."""
        return self._muted

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str = "",
        initial_session_config: Mapping[str, Any] | RealtimeSession | None = None,
        dangerously_allow_api_key_in_browser: bool = False,
    ) -> None:
        """Open the connection and wait until the server has taken `initial_session_config`.

        The settings go by GA's nested names or the flat ones (`modalities`, `input_audio_format`, `output_audio_format`,
        …), mixed as one likes. `call_id` attaches to a call that exists. Raises ConfigError for a setting that does not
        exist, and for a lasting key in a page unless `dangerously_allow_api_key_in_browser`; ConnectFailed where the server
        refused the connection or the settings. Cancelling it leaves nothing open.
        """
        if self.status != "disconnected":
            raise ConfigError("already connected: close() comes first")
        asked = _fields(initial_session_config)
        options = self._options(call_id, dangerously_allow_api_key_in_browser)
        self._sound_elsewhere = self.kind == "webrtc" or bool(options.call_id)
        where = url or self.url or DEFAULT_URL
        if model is None and not is_azure(where):
            model = DEFAULT_MODEL  # an address that names one goes before it
        self._asked, self.session_config = {}, None
        self._api = self._wire(api_key, model, where, options)
        self._tell("connecting")
        try:
            await self._api.connect()
            self._tell("connected")
            if asked:
                await self._settle(asked)
        except BaseException:
            await self.close()
            raise

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection and wait until it has ended; harmless when there is none."""
        if self._api is not None:
            await self._api.disconnect(code, reason)
        self._tell("disconnected")
        await self.finish()

    async def send_event(self, event: ce.ClientEvent | Mapping[str, Any]) -> None:
        """Send any event, typed or as on the wire. Raises NotConnected, TransportClosed, ConfigError without a `type`."""
        api = self._connected()
        if not isinstance(event, Mapping):
            await api.send_event(event)
        elif isinstance(event.get("type"), str):
            await api.send(event["type"], event)
        else:
            raise ConfigError("an event needs a 'type'")

    async def send_audio(self, audio: Any, *, commit: bool = False) -> None:
        """Send sound of the user, mono in the input format, as bytes, `array('h')` or an int16 ndarray; `commit` ends the
        turn. Not for calls, whose sound is not in the events. Raises NotConnected, TransportClosed, ConfigError."""
        if self._sound_elsewhere:
            raise ConfigError("the sound of a call travels beside its events: a WebRTC call has its input_port")
        if not self._muted and (piece := sound_bytes(audio)):
            await self.send_event(ce.InputAudioBufferAppend(audio=piece))
        if commit:
            await self.send_event(ce.InputAudioBufferCommit())

    async def send_message(self, text: str, *, respond: bool = True, role: Literal["user", "system"] = "user") -> None:
        """Say something in writing, and ask for an answer unless `respond` is False."""
        await self.put(Message(role=role, content=(InputText(text=text),)), respond)

    async def add_image(self, image_url: str, *, respond: bool = True) -> None:
        """Show a picture, a `data:` URI of PNG or JPEG."""
        await self.put(Message(role="user", content=(InputImage(image_url=image_url),)), respond)

    async def update_session_config(self, config: Mapping[str, Any] | RealtimeSession) -> None:
        """Change settings; only those that are named are sent. Raises ConfigError, NotConnected, TransportClosed."""
        await self.send_event(ce.SessionUpdate(session=self._session(_fields(config))))

    def mute(self, muted: bool = True) -> None:
        """Send no sound of the user until further notice."""
        self._muted = muted
        if switch := getattr(self._call, "mute", None):
            switch(muted)

    async def interrupt(self) -> None:
        """Stop the answer: cancel it by its id, drop what of it is on the way, and let the model forget what was not heard.

        In a call the server plays, so it is told to clear what it has not played, and truncates by itself.
        """
        self._connected()
        response_id, self._response_id = self._response_id, None
        if response_id is not None:
            self._stopped.add(response_id)
            await self.send_event(ce.ResponseCancel(response_id=response_id))
        if self._sound_elsewhere:
            await self.send_event(ce.OutputAudioBufferClear())
            return
        self._listen()
        for cut in self.playback.interrupt():
            item, part, end_ms = cut.item_id, cut.content_index, cut.audio_end_ms
            await self.send_event(ce.ConversationItemTruncate(item_id=item, content_index=part, audio_end_ms=end_ms))

    # How it is done

    def _options(self, call_id: str, any_key: bool) -> ConnectionOptions:
        given = self.options.connection
        fields = {name: getattr(given, name) for name in given.__struct_fields__}
        fields["call_id"] = call_id or given.call_id
        fields["dangerously_allow_api_key_in_browser"] = any_key or given.dangerously_allow_api_key_in_browser
        return ConnectionOptions(**fields)

    def _wire(self, api_key: ApiKey | None, model: str | None, url: str, options: ConnectionOptions) -> RealtimeAPI:
        async def call() -> EventTransport:
            where = address(url, model, options)
            ports = {"input_port": self.options.input_port, "output_port": self.options.output_port}
            self._call = await open_call(where, api_key=await api.key() or "", **ports)
            opened: EventTransport = self._call
            return opened

        transport = {"webrtc": call, "websocket": None}.get(self.kind) if isinstance(self.kind, str) else self.kind
        api = RealtimeAPI(url, api_key=api_key, model=model, connection=options, transport=transport)
        api.on_frame = self._hear
        api.on_end = self._end
        api.on("error", lambda problem: self.emit("error", problem))
        return api

    async def _settle(self, asked: dict[str, Any]) -> None:
        api = self._connected()
        update = ce.SessionUpdate(event_id=api.new_id("event"), session=self._session(asked))
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._settled = str(update.event_id), future
        try:
            await api.send_event(update)
            async with asyncio.timeout(self.options.connection.timeout_s):
                if refused := await future:
                    raise ConnectFailed(api.url.partition("?")[0], f"the settings were refused: {refused}")
        except TimeoutError:
            raise ConnectFailed(api.url.partition("?")[0], "the settings were not confirmed", retryable=True) from None
        finally:
            self._settled = None

    def _session(self, asked: dict[str, Any]) -> RealtimeSession:
        self._asked = merged(self._asked, asked)
        self.session_config = session_of(self._asked)
        return session_of(asked)

    def _hear(self, event: ev.ServerEvent | UnknownEvent, _: bytes | str) -> None:
        late = False
        match event:
            case ev.SessionCreated(session=session) | ev.SessionUpdated(session=session):
                self._tune(session)
                if isinstance(event, ev.SessionUpdated):
                    self._answer("")
            case ev.Error(error=error) if self._settled is not None and error.event_id == self._settled[0]:
                self._answer(error.message)
            case ev.ResponseCreated(response=response):
                self._response_id = response.id or None
            case ev.ResponseDone(response=response):
                self._stopped.discard(response.id or "")
                if self._response_id == response.id:
                    self._response_id = None
            case ev.ResponseOutputAudioDelta(delta=sound, item_id=item_id, content_index=part):
                late = event.response_id in self._stopped or not self._take(item_id, part, len(sound))
            case ev.ResponseOutputAudioDone(item_id=item_id, content_index=part):
                self.playback.finished(item_id, part)
        self.emit("*", event)
        for name in () if late else names_of(event):
            self.emit(name, event)

    def _take(self, item_id: str, part: int, size: int) -> bool:
        self._listen()
        return self.playback.received(item_id, part, size if self.playback.rate_hz == 8000 else size // 2)

    def _listen(self) -> None:
        """Where nobody tells what was played, it was played since it came."""
        now_ms = self.options.clock()
        if not self.playback.reported:
            self.playback.advance((now_ms - self._marked_ms) * self.playback.rate_hz // 1000)
            self.playback.reported = False
        self._marked_ms = now_ms

    def _tune(self, session: Any) -> None:
        output = getattr(getattr(session, "audio", None), "output", None)
        telephone = isinstance(getattr(output, "format", None), PcmuFormat | PcmaFormat)
        self.playback.rate_hz = 8000 if telephone else 24_000

    def _answer(self, refusal: str) -> None:
        if self._settled is not None and not self._settled[1].done():
            self._settled[1].set_result(refusal)

    def _end(self, why: TransportClosed) -> None:
        self._answer(str(why))
        self._response_id = None
        self._stopped.clear()
        self.playback.connection_lost()
        self._tell("disconnected")
        self.emit("close", why)
        self.fail_waiters(why)

    def _tell(self, status: Status) -> None:
        if status != self.status:
            self.status = status
            self.emit("connection_change", status)

    def _connected(self) -> RealtimeAPI:
        if self._api is None:
            raise NotConnected()
        return self._api


class OpenAIRealtimeWebSocket(ThinClient):
    """The thin client by WebSocket; in a page by the browser's, in a Worker by its `fetch`."""

    def __init__(self, *, url: str | None = None, options: ThinOptions | None = None) -> None:
        super().__init__("websocket", url=url, options=options)


class OpenAIRealtimeWebRTC(ThinClient):
    """The thin client by WebRTC; in a page by the browser's own."""

    def __init__(self, *, url: str | None = None, options: ThinOptions | None = None) -> None:
        super().__init__("webrtc", url=url, options=options)


class OpenAIRealtimeSIP(ThinClient):
    """The events of a telephone call that was accepted (`SipCall`): `connect(call_id=…)` joins it by WebSocket. The sound
    goes over the telephone line, so `send_audio` is refused."""

    def __init__(self, *, url: str | None = None, options: ThinOptions | None = None) -> None:
        super().__init__("websocket", url=url, options=options)

    def _options(self, call_id: str, any_key: bool) -> ConnectionOptions:
        options = super()._options(call_id, any_key)
        if not options.call_id:
            raise ConfigError("a telephone call is joined by its call_id, which the webhook has announced")
        return options


# The names that users of other SDKs look for. In a Worker the WebSocket is a fetch by itself.
RealtimeTransportLayer = RealtimeModel = ThinClient
OpenAIRealtimeWebSocketModel = OpenAIRealtimeWebSocket
OpenAIRealtimeSIPModel = OpenAIRealtimeSIP
CloudflareRealtimeTransportLayer = OpenAIRealtimeWebSocket


def _fields(config: Mapping[str, Any] | RealtimeSession | None) -> dict[str, Any]:
    """What is set, by GA's names. Raises ConfigError, before anything is opened or kept."""
    if config is None:
        return {}
    plain = msgspec.to_builtins(config) if isinstance(config, RealtimeSession) else config
    fields = {name: value for name, value in ga_fields(plain).items() if name != "type"}
    session_of(fields)
    return fields
