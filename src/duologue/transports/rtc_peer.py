"""One end of a WebRTC call: a peer connection with one audio stream each way and one data channel for events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.sdp import SessionDescription

from duologue.errors import ConfigError, ProtocolError, TransportClosed
from duologue.transports.call_address import IceServer
from duologue.transports.rtc_channel import Channel
from duologue.transports.rtc_media import adopt
from duologue.transports.rtc_port import RtcPort
from duologue.transports.rtc_way import find_way

log = logging.getLogger(__name__)

LABEL = "oai-events"
LOOPBACK = "127.0.0.1"
QUIET_S = 5.0
"""Without any packet for this long a peer counts as disconnected: a peer that lives reports every second or so."""
GRACE_S = 5.0
"""A disconnected peer may come back for this long; the side that called looks for another way to it meanwhile."""
CONNECT_S = 20.0
FAREWELL_S = 1.0
"""How long the last events may take to arrive before the connection is closed."""


class Peer:
    """A call, as an EventTransport for its events and with a `port` for its sound.

    `offer` and `accept` on the calling side, `answer` on the other. `loopback`: offer this machine's own address too,
    which ICE leaves out otherwise: needed where there is no other, and of use only to callers on this machine.
    Of `ice_servers` one STUN and one TURN server are used. Raises ConfigError for an ICE server that is none.
    """

    def __init__(self, *, ice_servers: Sequence[IceServer] = (), loopback: bool = False) -> None:
        servers = [RTCIceServer(s.url, s.username, s.credential) for s in ice_servers]
        self._pc = RTCPeerConnection(RTCConfiguration(servers, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._loopback = loopback
        self.port = RtcPort()
        self.channel = Channel()
        try:
            transceiver = self._pc.addTransceiver("audio", "sendrecv")
        except ValueError as problem:
            raise ConfigError(f"an ICE server cannot be used: {problem}") from None
        self.sender, self.receiver = adopt(transceiver, self.port)
        opus = [c for c in RTCRtpSender.getCapabilities("audio").codecs if c.mimeType == "audio/opus"]
        transceiver.setCodecPreferences(opus)
        self._changed = asyncio.Event()
        self._pc.on("connectionstatechange", self._changed.set)
        self._pc.on("datachannel", self._on_channel)
        self._life: asyncio.Task[None] | None = None
        self.reachable = True
        """False while nothing comes from the peer; it may come back."""

    # --- negotiation -----------------------------------------------------------------------------------------

    async def offer(self) -> str:
        """The description to send to the other side, complete with candidates."""
        self.channel.attach(self._pc.createDataChannel(LABEL))
        self._offer_loopback()
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return str(self._pc.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        """The other side's answer. Raises ProtocolError where it does not fit."""
        await self._describe(answer, "answer")
        self._begin()

    async def answer(self, offer: str) -> str:
        """The answer to a caller's offer. Raises ProtocolError where there is nothing to talk about."""
        await self._describe(offer, "offer")
        self._offer_loopback()
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        self._begin()
        return str(self._pc.localDescription.sdp)

    async def _describe(self, text: str, kind: str) -> None:
        try:
            described = SessionDescription.parse(text)
            media = {part.kind: part for part in described.media}
            if "audio" not in media or "video" in media:
                raise ProtocolError(f"The {kind} needs one audio section, and no video.", code="invalid_sdp")
            await self._pc.setRemoteDescription(RTCSessionDescription(text, kind))
        except (OperationError, InvalidStateError, InvalidAccessError) as problem:
            raise ProtocolError(f"The {kind} cannot be used: {problem}", code="invalid_sdp") from None
        except (ValueError, AssertionError, KeyError, IndexError, AttributeError, TypeError) as problem:
            # what the parser meets in a text that is no description of a session
            log.debug("no SDP: %r", problem)
            raise ProtocolError(f"The {kind} is no valid SDP.", code="invalid_sdp") from None
        events = media.get("application")
        self.channel.wanted = events is not None
        if events is not None and events.sctpCapabilities is not None:
            self.channel.max_frame_bytes = events.sctpCapabilities.maxMessageSize

    def _offer_loopback(self) -> None:
        """ICE gathers the addresses of this machine without its loopback interface; that one is added here."""
        gather = self._ice.get_component_candidates

        async def with_loopback(component: int, addresses: list[str], **options: Any) -> Any:
            wanted = self._loopback or not addresses
            return await gather(component, [*addresses, LOOPBACK] if wanted else addresses, **options)

        self._ice.get_component_candidates = with_loopback

    @property
    def _ice(self) -> Any:
        """The one connection of aioice below everything."""
        return self.receiver.transport.transport.iceGatherer._connection

    def _on_channel(self, channel: Any) -> None:
        if not self.channel.attached:  # whatever its label: there is only one kind of events
            self.channel.attach(channel)

    # --- life ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._life = asyncio.create_task(self._live(), name="rtc-peer")

    async def _live(self) -> None:
        """Watch the connection until it ends, then take it down."""
        try:
            why = await self._watch()
        except asyncio.CancelledError:
            why = TransportClosed(1001, "going away", by="us")
            raise
        except Exception:
            log.exception("a call ended by a defect")
            why = TransportClosed(1011, "internal error", by="us")
        finally:
            self.channel.end(why)
            self.port.end()
            await self._pc.close()

    async def _watch(self) -> TransportClosed:
        loop = asyncio.get_running_loop()
        connect_by_s = loop.time() + CONNECT_S
        packets, packet_at_s = 0, loop.time()
        while self.channel.closed is None:
            state = self._pc.connectionState
            if state == "failed":
                return TransportClosed(1006, "no way to the peer was found", by="peer")
            if state == "closed":
                return TransportClosed(1000, "the peer hung up")
            now_s = loop.time()
            if state != "connected" and now_s > connect_by_s:
                return TransportClosed(1006, f"not connected within {CONNECT_S:g} s", by="us")
            if state == "connected":
                seen = self._received_packets()
                if seen != packets:
                    packets, packet_at_s = seen, now_s
                self.reachable = now_s - packet_at_s <= QUIET_S
                if now_s - packet_at_s > QUIET_S + GRACE_S:
                    return TransportClosed(1006, f"no packet from the peer for {QUIET_S + GRACE_S:g} s", by="peer")
            if not self.reachable:
                await find_way(self._ice)
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._changed.wait()
        return self.channel.closed

    def _received_packets(self) -> int:
        return sum(stats.packetsReceived for stats in self.receiver.transport._get_stats().values())

    async def connected(self) -> None:
        """Wait until the data channel is open. Raises TransportClosed where it never will be."""
        await self.channel.opened()
        if self.channel.closed is not None:
            raise self.channel.closed.again()

    # --- EventTransport --------------------------------------------------------------------------------------

    @property
    def closed(self) -> TransportClosed | None:
        """Why the call ended; None while it is on."""
        return self.channel.closed

    async def send(self, frame: bytes) -> None:
        """Send one event. Raises TransportClosed, and ProtocolError for an event larger than the peer takes."""
        await self.channel.send(frame)

    def __aiter__(self) -> Any:
        return self.channel.__aiter__()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Hang up, once the last events have arrived; a second call waits for the first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self.channel.drained()
        self.channel.end(TransportClosed(code, reason, by="us"))
        self._changed.set()
        if self._life is None:
            await self._pc.close()
        else:
            await asyncio.wait([self._life])
