"""What carries a session: a socket, a call, or the application's own transport, with the ports that speak and listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from duologue.agents.goodbye import all_said
from duologue.agents.ports import Duplex
from duologue.agents.settings import SessionSettings
from duologue.audio.port import MediaPort
from duologue.client.api import ApiKey
from duologue.client.client import RealtimeClient
from duologue.client.endpoint import DEFAULT_MODEL, DEFAULT_URL, is_azure
from duologue.client.thin import ThinClient
from duologue.client.voice import Voice
from duologue.errors import ConfigError
from duologue.transports.base import EventTransport
from duologue.transports.dial import open_call as call_up
from duologue.transports.runtime import default_transport

if TYPE_CHECKING:
    from duologue.agents.stage import Stage


class Link:
    """The way to the server. `call` is the WebRTC call, where there is one."""

    def __init__(
        self,
        transport: str | EventTransport | MediaPort | ThinClient | Callable[[], Any] | None,
        settings: SessionSettings,
        source: MediaPort | None,
        sink: MediaPort | None,
    ) -> None:
        if isinstance(transport, ThinClient):
            settings, source, sink = _lent(transport, settings, source, sink)
            transport = transport.kind
        elif hasattr(transport, "played_ms"):
            transport, source, sink = None, transport, transport
        transport = default_transport() if transport is None else transport
        self.muted = False
        self.call: Any = None
        self.is_call = transport == "webrtc"
        self._joined = ""
        self._transport = transport
        self._settings = settings
        self._source = source
        self._sink = sink
        if self.is_call:
            self._refuse_holding()

    @property
    def call_id(self) -> str | None:
        """The id of the call, where there is one."""
        return getattr(self.call, "call_id", None) or self._joined or None

    @property
    def joined(self) -> bool:
        """It is a call of others, by its id: its sound passes elsewhere."""
        return bool(self._joined)

    @property
    def sound_elsewhere(self) -> bool:
        """The server plays by itself: sound is not in the events."""
        return self.is_call or self.joined

    def _refuse_holding(self) -> None:
        if self._settings.guardrails.hold_audio:
            raise ConfigError("hold_audio needs the sound in the events, and in a call it is on a track")

    def mute(self, muted: bool) -> None:
        """Let the model hear silence; in a page the browser is told, since its sound does not pass through here."""
        self.muted = muted
        if switch := getattr(self.call, "mute", None):
            switch(muted)

    def write(self, audio: bytes) -> None:
        """Speak into the call. Raises ConfigError in a page, whose sound is the browser's, and in a call of others."""
        port = getattr(self.call, "port", None)
        if self.joined:
            raise ConfigError("the sound of a call that was joined by its id goes over the caller's own line")
        if port is None:
            raise ConfigError("in a page the browser speaks: pass a MediaStream as input_port")
        port.write(audio)

    def formats(self) -> dict[str, str]:
        """The session's formats, where the ports have G.711: the first word has to be in it."""
        for port in (self._source, self._sink):
            # A page's MediaStream or audio element has no spec: its sound does not pass through here.
            spec = getattr(port, "spec", None)
            if spec is not None and spec.encoding != "pcm16":
                name = f"g711_{spec.encoding}"
                return {"input_audio_format": name, "output_audio_format": name}
        return {}

    def client(self, url: str | None, api_key: ApiKey | None, model: str | None, call_id: str) -> RealtimeClient:
        """A client that connects this way."""
        given = self._transport
        settings = self._settings
        options = settings.connection
        if call_id:
            options = msgspec.structs.replace(options, call_id=call_id)
        self._joined = options.call_id
        if self.joined:
            self._refuse_holding()
        self.call = None
        client: RealtimeClient

        async def open_call() -> EventTransport:
            silent: Any = self._source
            if hasattr(silent, "read"):
                silent = Duplex(silent, None, lambda: self.muted)
            self.call = await call_up(
                client.realtime.url,
                api_key=await client.realtime.key() or "",
                input_port=silent,
                output_port=self._sink,
                ice_servers=settings.ice_servers,
            )
            self.mute(self.muted)
            opened: EventTransport = self.call
            return opened

        address = url or settings.url or DEFAULT_URL
        if model is None and not is_azure(address):
            model = DEFAULT_MODEL  # an address that names one goes before it
        client = RealtimeClient(
            address,
            api_key=api_key if api_key is not None else settings.api_key,
            model=model,
            connection=options,
            transport=open_call if self.is_call else None if isinstance(given, str) else given,
            reconnect=settings.reconnect,
            budget_usd=settings.budget_usd,
        )
        client.prices = settings.prices
        return client

    async def hang_up(self, stage: Stage) -> None:
        """End the call, when what is being said has been heard. Raises ConnectFailed where the provider has to end it and
        does not."""
        await all_said(stage.client, stage.director.spoken, None if self.sound_elsewhere else self._sink)
        if self._joined:
            from duologue.agents.answering import hang_up

            await hang_up(stage.client, self._joined)

    def plug(self, stage: Stage) -> None:
        """Speak from and play to the ports, for as long as the stage stands."""
        if self.sound_elsewhere or (self._source is None and self._sink is None):
            return
        voice = Voice(stage.client, Duplex(self._source, self._sink, lambda: self.muted))
        stage.give_voice(voice)


def _lent(
    wire: ThinClient, settings: SessionSettings, source: MediaPort | None, sink: MediaPort | None
) -> tuple[SessionSettings, Any, Any]:
    """A thin client's address, options and ports: the session opens a connection of its own with them."""
    if wire.status != "disconnected" or wire.listened_to:
        raise ConfigError("the session connects by itself: use session.transport.on(…) in place of the transport's own")
    options = wire.options
    settings = replace(settings, url=settings.url or wire.url, connection=options.connection)
    return settings, source or options.input_port, sink or options.output_port
