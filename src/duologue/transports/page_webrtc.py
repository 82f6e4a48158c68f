"""Realtime events and sound over WebRTC by the browser itself, for Python in a page (Pyodide): no package is needed.

Sound never comes to Python: the browser takes it from the microphone, or from a stream of the page's own, and plays it with
an audio element. The server learns by itself what was heard, and truncates.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import msgspec

from duologue.errors import ConfigError, ConnectFailed, ProtocolError, TransportClosed
from duologue.protocol.session import AnySession, RealtimeSession
from duologue.transports.call_address import IceServer, call_id_of, calls_url
from duologue.transports.rtc_channel import Channel
from duologue.transports.runtime import foreign, javascript

GRACE_S = 5.0
"""How long a connection that is disturbed may take to come back."""
_BODY_SHOWN = 2000


class _Listeners:
    """Python functions that JavaScript objects call, until they are let go."""

    def __init__(self) -> None:
        self._held: list[tuple[Any, str, Any]] = []

    def add(self, target: Any, event: str, handler: Callable[[Any], Any]) -> None:
        proxy = foreign().create_proxy(handler)
        target.addEventListener(event, proxy)
        self._held.append((target, event, proxy))

    def let_go(self) -> None:
        for target, event, proxy in self._held:
            target.removeEventListener(event, proxy)
            proxy.destroy()
        self._held.clear()


class _PageChannel:
    """A browser's RTCDataChannel with the handlers that a Channel wants."""

    def __init__(self, channel: Any, listeners: _Listeners) -> None:
        object.__setattr__(self, "_channel", channel)
        object.__setattr__(self, "_listeners", listeners)
        channel.binaryType = "arraybuffer"

    def on(self, event: str, handler: Callable[..., None]) -> None:
        def called(told: Any) -> None:
            if event == "message":
                handler(told.data if isinstance(told.data, str) else told.data.to_bytes())
            else:
                handler()

        self._listeners.add(self._channel, event, called)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._channel, name, value)


class PageCall:
    """A call of the page as an EventTransport. It is made by `connect`.

    `call_id` is the one that others can join the session by, None where the server tells none. `peer` is the browser's
    RTCPeerConnection, `loudspeaker` the audio element that plays.
    """

    def __init__(self, peer: Any, stream: Any, loudspeaker: Any, *, owns_stream: bool) -> None:
        self.peer = peer
        self.loudspeaker = loudspeaker
        self.call_id: str | None = None
        self._stream = stream
        self._owns_stream = owns_stream
        self._channel = Channel()
        self._listeners = _Listeners()
        self._patience: asyncio.TimerHandle | None = None
        for track in stream.getAudioTracks():
            peer.addTrack(track, stream)
        self._listeners.add(peer, "track", self._play)
        self._listeners.add(peer, "connectionstatechange", self._changed)
        self._channel.attach(_PageChannel(peer.createDataChannel("oai-events"), self._listeners))

    @property
    def closed(self) -> TransportClosed | None:
        return self._channel.closed

    @property
    def reachable(self) -> bool:
        """False while nothing comes from the server. It is given five seconds to come back before the call ends."""
        return self._patience is None and self.closed is None

    @property
    def muted(self) -> bool:
        """Whether the server gets silence in place of the microphone."""
        return not any(track.enabled for track in self._stream.getAudioTracks())

    def mute(self, muted: bool = True) -> None:
        """Keep the microphone from the server, or give it back."""
        for track in self._stream.getAudioTracks():
            track.enabled = not muted

    async def send(self, frame: bytes) -> None:
        await self._channel.send(frame)

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        async for frame in self._channel:
            yield frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Hang up. A stream of the page's own is left running, its audio element is emptied."""
        if self._patience is not None:
            self._patience.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._channel.drained()
        self._channel.end(TransportClosed(code, reason, by="us"))
        self.peer.close()
        self._listeners.let_go()
        self.loudspeaker.srcObject = None
        if self._owns_stream:
            for track in self._stream.getTracks():
                track.stop()

    async def offer(self) -> str:
        """Our side of the call, as SDP."""
        await self.peer.setLocalDescription()
        return str(self.peer.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        """Take the server's side, and wait until events can be sent. Raises TransportClosed."""
        description = {"type": "answer", "sdp": answer}
        await self.peer.setRemoteDescription(_object(description))
        await self._channel.opened()
        if self.closed is not None:
            raise self.closed.again()
        if sctp := self.peer.sctp:
            # 0 and Infinity: no bound, and a frame is bounded by the memory then.
            size = sctp.maxMessageSize
            self._channel.max_frame_bytes = int(size) if size < 2**53 else 0

    def _play(self, event: Any) -> None:
        # An answer without streams of its own would be heard by nobody otherwise.
        js = javascript()
        stream = js.MediaStream.new()
        stream.addTrack(event.track)
        self.loudspeaker.srcObject = stream

    def _changed(self, _: Any) -> None:
        state = self.peer.connectionState
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if state == "disconnected":
            self._patience = asyncio.get_running_loop().call_later(GRACE_S, self._lost)
        elif state == "failed":
            self._lost()

    def _lost(self) -> None:
        self._patience = None
        self._channel.end(TransportClosed(1006, "the connection was lost"))


async def connect(
    url: str,
    *,
    api_key: str,
    session: AnySession | None = None,
    input_port: Any = None,
    output_port: Any = None,
    ice_servers: Sequence[IceServer] = (),
    timeout_s: float = 15.0,
) -> PageCall:
    """Call a Realtime endpoint from a page: `https://host/v1/realtime/calls`, or `…/v1/realtime?model=…`.

    `input_port` is a MediaStream of JavaScript, by default the microphone, which the visitor is asked for; `output_port`
    an audio element, by default one of our own. With an ephemeral key (`ek_`) the session is the one that the key was made
    for. Raises ConfigError where the page has no microphone or no WebRTC, and ConnectFailed with the HTTP status and body
    where the server refused. Cancelling it hangs up what was half open.
    """
    address, model = calls_url(url)
    if session is None and model and not api_key.startswith("ek_"):
        session = RealtimeSession(model=model)
    js = javascript()
    if not hasattr(js, "RTCPeerConnection"):
        raise ConfigError('there is no WebRTC here, e.g. because this is a web worker: use transport="websocket"')
    stream = input_port if input_port is not None else await _microphone()
    servers = [{k: v for k, v in _fields(server).items() if v is not None} for server in ice_servers]
    peer = js.RTCPeerConnection.new(_object({"iceServers": servers}))
    call = PageCall(peer, stream, output_port or _loudspeaker(), owns_stream=input_port is None)
    try:
        async with asyncio.timeout(timeout_s):
            answer, call.call_id = await _dial(address, api_key, await call.offer(), session)
            await call.accept(answer)
    except TimeoutError:
        await call.close()
        raise ConnectFailed(address, f"no connection within {timeout_s:g} s", retryable=True) from None
    except (ProtocolError, TransportClosed) as problem:
        await call.close()
        raise ConnectFailed(address, str(problem), retryable=isinstance(problem, TransportClosed)) from None
    except BaseException:
        await asyncio.shield(call.close())
        raise
    return call


def _fields(server: IceServer) -> dict[str, str | None]:
    return {"urls": server.url, "username": server.username, "credential": server.credential}


def _object(value: Any) -> Any:
    """A plain JavaScript object, all the way down."""
    return javascript().JSON.parse(json.dumps(value))


async def _microphone() -> Any:
    devices = getattr(javascript().navigator, "mediaDevices", None)
    if devices is None:
        raise ConfigError("this page may use no microphone: it was not loaded over https, nor from this machine")
    try:
        return await devices.getUserMedia(_object({"audio": True}))
    except Exception as problem:
        reason = str(problem).partition("\n")[0]
        raise ConfigError(f"the microphone could not be had: {reason}; pass a stream as input_port") from None


def _loudspeaker() -> Any:
    element = javascript().document.createElement("audio")
    element.autoplay = True
    return element


async def _dial(address: str, api_key: str, offer: str, session: AnySession | None) -> tuple[str, str | None]:
    """The answer to an offer, and the call's id."""
    js = javascript()
    headers = {"Authorization": f"Bearer {api_key}"}
    if session is None:
        headers["Content-Type"] = "application/sdp"
        body: Any = offer
    else:
        body = js.FormData.new()
        body.append("sdp", offer)
        body.append("session", msgspec.json.encode(session).decode())
    request = foreign().to_js(
        {"method": "POST", "headers": headers, "body": body}, dict_converter=js.Object.fromEntries
    )
    try:
        reply = await js.fetch(address, request)
        text = str(await reply.text())
    except Exception:
        host = urlsplit(address).netloc
        reason = f"the browser could not reach {host}, or that server does not let this page speak to it"
        raise ConnectFailed(address, reason, retryable=True) from None
    if not reply.ok:
        status = int(reply.status)
        retryable = status in (408, 425, 429) or status >= 500
        raise ConnectFailed(
            address, "the server refused the call", status=status, body=text[:_BODY_SHOWN], retryable=retryable
        )
    location = reply.headers.get("Location")
    return text, call_id_of(location) if isinstance(location, str) else None
