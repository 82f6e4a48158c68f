"""What carries a session: a socket, a call, or the application's own transport, with the ports that speak and listen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from duologue.agents.ports import Duplex
from duologue.agents.settings import SessionSettings
from duologue.audio.port import MediaPort
from duologue.client.api import ApiKey
from duologue.client.client import RealtimeClient
from duologue.client.endpoint import DEFAULT_MODEL, DEFAULT_URL, is_azure
from duologue.client.voice import Voice
from duologue.errors import ConfigError
from duologue.transports.base import EventTransport
from duologue.transports.webrtc import WebRtcTransport
from duologue.transports.webrtc import connect as call_up

if TYPE_CHECKING:
    from duologue.agents.stage import Stage


class Link:
    """The way to the server. `call` is the WebRTC call, where there is one."""

    def __init__(
        self,
        transport: str | EventTransport | Callable[[], Any],
        settings: SessionSettings,
        source: MediaPort | None,
        sink: MediaPort | None,
    ) -> None:
        self.muted = False
        self.call: WebRtcTransport | None = None
        self.is_call = transport == "webrtc"
        self._transport = transport
        self._settings = settings
        self._source = source
        self._sink = sink
        if self.is_call and settings.guardrails.hold_audio:
            raise ConfigError("hold_audio needs the sound in the events, and in a WebRTC call it is on a track")

    def formats(self) -> dict[str, str]:
        """The session's formats, where the ports have G.711: the first word has to be in it."""
        for port in (self._source, self._sink):
            if port is not None and port.spec.encoding != "pcm16":
                name = f"g711_{port.spec.encoding}"
                return {"input_audio_format": name, "output_audio_format": name}
        return {}

    def client(self, url: str | None, api_key: ApiKey | None, model: str | None, call_id: str) -> RealtimeClient:
        """A client that connects this way."""
        given = self._transport
        settings = self._settings
        options = settings.connection
        if call_id:
            options = msgspec.structs.replace(options, call_id=call_id)
        self.call = None
        client: RealtimeClient

        async def open_call() -> EventTransport:
            silent = self._source and Duplex(self._source, None, lambda: self.muted)
            self.call = await call_up(
                client.realtime.url,
                api_key=await client.realtime.key() or "",
                input_port=silent,
                output_port=self._sink,
                ice_servers=settings.ice_servers,
            )
            return self.call

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

    def plug(self, stage: Stage) -> None:
        """Speak from and play to the ports, for as long as the stage stands."""
        if self.is_call or (self._source is None and self._sink is None):
            return
        voice = Voice(stage.client, Duplex(self._source, self._sink, lambda: self.muted))
        stage.give_voice(voice)
