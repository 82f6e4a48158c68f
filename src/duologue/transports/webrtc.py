"""Realtime events and sound over WebRTC, client side: events over a data channel, sound over an Opus track.

Needs the extra `webrtc`. The server learns by itself what was heard, and truncates; there is no sound in the events.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import msgspec

from duologue.audio.port import MediaPort
from duologue.audio.spec import AudioSpec
from duologue.errors import ConfigError, ConnectFailed, MissingExtra, ProtocolError, TransportClosed
from duologue.protocol.session import AnySession, RealtimeSession
from duologue.transports.call_address import IceServer, call_id_of, calls_url, hangup_url

if TYPE_CHECKING:
    from duologue.transports.rtc_peer import Peer
    from duologue.transports.rtc_port import RtcPort

SPEC = AudioSpec(rate_hz=24_000)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BODY_SHOWN = 2000
_HANG_UP_S = 2.0
LAG_MS = 120
"""More sound than this does not have to wait in a loudspeaker for its gaps to be covered."""
_QUIET = 100
LOST = 1006
"""How a call ends that nobody ended."""


class WebRtcTransport:
    """A call as an EventTransport. It is made by `connect`.

    `port` is the call's sound: PCM16, 24 kHz, mono, unless it was connected to ports of the caller's own. `call_id`
    is the one that others can join the session by; None where the server tells none.
    """

    def __init__(self, peer: Peer, line: _Line | None = None) -> None:
        self._peer = peer
        self._line = line
        self._pumps: list[asyncio.Task[None]] = []
        self.port: MediaPort = peer.port
        self.call_id = line.call_id if line is not None else None

    @property
    def closed(self) -> TransportClosed | None:
        """Why the call ended; None while it is on."""
        return self._peer.closed

    @property
    def reachable(self) -> bool:
        """False while nothing comes from the server. Other ways to it are looked for, for five seconds; then it is over."""
        return self._peer.reachable and self.closed is None

    async def send(self, frame: bytes) -> None:
        """Send one event. Raises TransportClosed, and ProtocolError for an event larger than the channel takes."""
        await self._peer.send(frame)

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        async for frame in self._peer:
            yield frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Hang up. Ports of the caller's own are left open.

        Where nothing comes through to the server any more, it is told by HTTP: it would wait for a peer that has gone.
        """
        ended = self._peer.closed
        lost = not self._peer.reachable if ended is None else ended.code == LOST
        await self._peer.close(code, reason)
        if lost and self._line is not None:
            await self._line.hang_up()
        for pump in self._pumps:
            pump.cancel()
        if self._pumps:
            await asyncio.wait(self._pumps)

    def plug(self, source: MediaPort | None, sink: MediaPort | None) -> None:
        """Carry the sound of `source` to the server, and the server's to `sink`, until the call ends."""
        if source is not None:
            self._pumps.append(asyncio.create_task(_speak(source, self._peer.port), name="webrtc-microphone"))
        if sink is not None:
            self._pumps.append(asyncio.create_task(_play(self._peer.port, sink), name="webrtc-loudspeaker"))


async def _speak(source: MediaPort, port: RtcPort) -> None:
    while sound := await source.read():
        port.speak(sound)


async def _play(port: MediaPort, sink: MediaPort) -> None:
    """What a stall of the network left waiting in the sink is made up for in the pauses of speech."""
    written_ms = 0
    while sound := await port.read():
        lags = written_ms - sink.played_ms("default") > LAG_MS
        if not (lags and _is_quiet(sound)) and sink.write(sound):
            written_ms += SPEC.ms_in(len(sound))


def _is_quiet(sound: bytes) -> bool:
    samples = array("h", sound)
    return max(samples) < _QUIET and min(samples) > -_QUIET


async def connect(
    url: str,
    *,
    api_key: str,
    session: AnySession | None = None,
    input_port: MediaPort | None = None,
    output_port: MediaPort | None = None,
    ice_servers: Sequence[IceServer] = (),
    timeout_s: float = 15.0,
) -> WebRtcTransport:
    """Call a Realtime endpoint: `https://host/v1/realtime/calls`, or `…/v1/realtime?model=…` as for a WebSocket.

    With an ephemeral key (`ek_`) the session is the one that the key was made for; `session`, or the address's model,
    goes along with the offer. `input_port` is spoken from and `output_port` played to (PCM16, 24 kHz, mono), both live:
    sound that could not be sent within 200 ms is dropped. Without them the transport's own `port` is for both. Of
    `ice_servers` one STUN and one TURN server are used. Raises MissingExtra, ConfigError for a port of another format,
    and ConnectFailed with the HTTP status and body where the server refused. Cancelling it hangs up what was half open.
    """
    for port in (input_port, output_port):
        if port is not None and port.spec != SPEC:
            raise ConfigError(f"a WebRTC call speaks PCM16 mono at 24 kHz, and this port {port.spec}")
    try:
        from duologue.transports.rtc_peer import Peer
    except ImportError as error:
        raise MissingExtra(error.name or "aiortc", "webrtc") from None
    address, model = calls_url(url)
    if session is None and model and not api_key.startswith("ek_"):
        session = RealtimeSession(model=model)
    peer = Peer(ice_servers=ice_servers, loopback=(urlsplit(address).hostname or "") in _LOOPBACK)
    line = _Line(address, api_key)
    try:
        async with asyncio.timeout(timeout_s):
            await peer.accept(await line.dial(await peer.offer(), session))
            await peer.connected()
    except BaseException as problem:
        await asyncio.shield(_give_up(peer, line))
        if isinstance(problem, TimeoutError):
            raise ConnectFailed(address, f"no connection within {timeout_s:g} s", retryable=True) from None
        if isinstance(problem, ProtocolError | TransportClosed):
            retryable = isinstance(problem, TransportClosed)
            raise ConnectFailed(address, str(problem), retryable=retryable) from None
        raise
    transport = WebRtcTransport(peer, line)
    transport.plug(input_port, output_port)
    return transport


async def _give_up(peer: Peer, line: _Line) -> None:
    """Leave no call behind that never came about, here or there."""
    await peer.close()
    await line.hang_up()


class _Line:
    """The HTTP side of one call: offered and hung up. `call_id` is None until it is answered."""

    def __init__(self, address: str, api_key: str) -> None:
        self.call_id: str | None = None
        self._address = address
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._near = (urlsplit(address).hostname or "") in _LOOPBACK

    def _http(self, timeout_s: float | None) -> httpx.AsyncClient:
        return httpx.AsyncClient(trust_env=not self._near, timeout=timeout_s, headers=self._headers)

    async def dial(self, offer: str, session: AnySession | None) -> str:
        """The answer to an offer. Raises ConnectFailed."""
        address = self._address
        try:
            async with self._http(None) as http:
                if session is None:
                    kind = {"Content-Type": "application/sdp"}
                    reply = await http.post(address, content=offer.encode(), headers=kind)
                else:
                    parts = {
                        "sdp": (None, offer.encode(), "application/sdp"),
                        "session": (None, msgspec.json.encode(session), "application/json"),
                    }
                    reply = await http.post(address, files=parts)
        except httpx.ConnectError:
            raise ConnectFailed(address, "nothing answers there", retryable=True) from None
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise ConnectFailed(address, f"{type(problem).__name__}: {problem}", retryable=True) from None
        if not reply.is_success:
            raise ConnectFailed(
                address,
                "the server refused the call",
                status=reply.status_code,
                body=reply.text[:_BODY_SHOWN],
                retryable=reply.status_code in (408, 425, 429) or reply.status_code >= 500,
            )
        self.call_id = call_id_of(reply.headers.get("Location", ""))
        return reply.text

    async def hang_up(self) -> None:
        """Let the server end the call now; it may have done so before, or want another key for that."""
        if self.call_id is not None:
            with suppress(httpx.HTTPError):
                async with self._http(_HANG_UP_S) as http:
                    await http.post(hangup_url(self._address, self.call_id))
