"""The RTP streams of a call: a lean sender and a lean receiver in the place of aiortc's own.

aiortc's decode in a thread for each call, encode in an executor for each packet, hold 80 ms back for a loudspeaker and
measure levels in Python; this is most of what a call costs. These do the same work on the loop, where it takes a tenth
of a millisecond, and speak to a port instead of tracks. They are subclasses, put in place before negotiation
(`adopt`); DTLS, SRTP, ICE and the description of the session remain aiortc's.
"""

from __future__ import annotations

import asyncio
import os
import struct
from typing import Any

from aiortc import RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters, RTCRtpSendParameters
from aiortc.rtcrtpreceiver import RemoteStreamTrack, StreamStatistics
from aiortc.rtp import AnyRtcpPacket, RtcpReceiverInfo, RtcpRrPacket, RtcpSenderInfo, RtcpSrPacket, RtpPacket
from pylibsrtp import Error as SrtpError

from duologue.transports.rtc_audio import FRAME_BYTES, RTP_FRAME, RTP_HZ, SILENCE, OpusDecoder, OpusEncoder
from duologue.transports.rtc_order import Packet, Sequence
from duologue.transports.rtc_port import RtcPort

PACKET_S = 0.02
HURRY_S = 0.2
"""A loop that was held up for longer than this does not catch up: the listener's time has passed."""
REPORT_PACKETS = 50
QUIET_TICKS = 10
"""After 200 ms without a packet the peer sends none in silence: a listener needs the silence all the same."""
LONGEST_PAUSE = RTP_HZ // 2
"""A pause longer than this is not filled up afterwards: it has been, tick by tick, or the sender's time is not ours."""


class AudioSender(RTCRtpSender):
    """Sends the port's sound, 50 packets a second; silence where there is none."""

    def __init__(self, transceiver: RTCRtpTransceiver, port: RtcPort) -> None:
        replaced = transceiver.sender
        super().__init__("audio", replaced.transport)
        self._ssrc = replaced._ssrc
        self._stream_id = replaced._stream_id
        self._port = port
        self._task: asyncio.Task[None] | None = None
        self._payload_type = 0
        self.receiver: AudioReceiver | None = None
        self.sent = 0
        self.reported_lost = 0
        """Packets that the peer says it missed."""

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        """Begin to send."""
        if self._task is None:
            self._payload_type = parameters.codecs[0].payloadType or 0
            self.transport._register_rtp_sender(self, parameters)
            self._task = asyncio.create_task(self._run(), name="rtc-sender")

    async def stop(self) -> None:
        """End the stream."""
        if self._task is not None:
            self.transport._unregister_rtp_sender(self)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        encoder = OpusEncoder()
        number, origin = struct.unpack("!HL", os.urandom(6))
        number &= 0x7FFF  # far from the wrap at the start: libsrtp needs the first packets to tell the rollover
        ticks, speaks = 0, False
        due_s = loop.time()
        try:
            while True:
                sound = self._port.take(FRAME_BYTES)
                payload = encoder.encode(sound) if sound or speaks else SILENCE
                begins, speaks = bool(sound) and not speaks, bool(sound)
                timestamp = origin + ticks * RTP_FRAME & 0xFFFFFFFF
                head = (0x80, begins << 7 | self._payload_type, number, timestamp, self._ssrc)
                await self.transport._send_rtp(struct.pack("!BBHLL", *head) + payload)
                self.sent += 1
                number = number + 1 & 0xFFFF
                if self.sent % REPORT_PACKETS == 0:
                    await self._report(timestamp)
                if self.receiver is not None:
                    self.receiver.tick()
                ticks, due_s = ticks + 1, due_s + PACKET_S
                late_s = loop.time() - due_s
                if late_s > HURRY_S:
                    ticks, due_s = ticks + int(late_s / PACKET_S), due_s + int(late_s / PACKET_S) * PACKET_S
                elif late_s < 0:
                    await asyncio.sleep(-late_s)
                # else: several at once, for a loop that is busy comes round too seldom for one at a time
        except (ConnectionError, SrtpError):
            pass  # the connection has ended, and says so itself

    async def _report(self, timestamp: int) -> None:
        """What every stream owes its listeners once in a while (RFC 3550, 6.4): here once a second."""
        info = RtcpSenderInfo(ntp_timestamp=0, rtp_timestamp=timestamp, packet_count=self.sent, octet_count=0)
        await self.transport._send_rtp(bytes(RtcpSrPacket(ssrc=self._ssrc, sender_info=info)))
        if self.receiver is not None and (report := self.receiver.report(self._ssrc)) is not None:
            await self.transport._send_rtp(bytes(report))

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        """Keep what the listener reports; it changes nothing of what is sent."""
        for report in getattr(packet, "reports", ()):
            if report.ssrc == self._ssrc:
                self.reported_lost = report.packets_lost


class AudioReceiver(RTCRtpReceiver):
    """Puts the peer's sound into the port, packet by packet as it comes."""

    def __init__(self, transceiver: RTCRtpTransceiver, port: RtcPort) -> None:
        super().__init__("audio", transceiver.receiver.transport)
        self._track = RemoteStreamTrack("audio")  # one that is there is not made, and not announced
        self._port = port
        self._payload_type: int | None = None
        self._decoder = OpusDecoder()
        self._sequence = Sequence()
        self._source: int | None = None
        self._statistics = StreamStatistics(RTP_HZ)
        self._due: int | None = None
        self._idle_ticks = 0
        self.received = 0

    @property
    def lost(self) -> int:
        """Packets that never came, or too late."""
        return self._sequence.lost

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        """Begin to listen."""
        if self._payload_type is None:
            self._payload_type = parameters.codecs[0].payloadType or 0
            self.transport._register_rtp_receiver(self, parameters)

    async def stop(self) -> None:
        """Listen no more."""
        if self._payload_type is not None:
            self.transport._unregister_rtp_receiver(self)

    def _handle_disconnect(self) -> None:
        """The peer connection tells everybody else."""

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        """One stream needs no common clock with others."""

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        if packet.payload_type != self._payload_type:
            return
        if packet.ssrc != self._source:
            self._source, self._sequence, self._due = packet.ssrc, Sequence(), None
            self._statistics = StreamStatistics(RTP_HZ)
        self.received += 1
        self._idle_ticks = 0
        self._statistics.add(packet)
        wrapped = Packet(timestamp=packet.timestamp, payload=packet.payload)
        for passed in self._sequence.add(packet.sequence_number, wrapped):
            if passed is None:
                self._hear(self._decoder.conceal())
                continue
            self._fill(passed.timestamp)
            self._hear(self._decoder.decode(passed.payload))

    def _fill(self, timestamp: int) -> None:
        """Silence for the time that the sender left out, and where this one stands from now on."""
        if self._due is not None:
            pause = (timestamp - self._due + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            if pause < 0:
                return  # the time was filled up before
            if 0 < pause <= LONGEST_PAUSE:
                self._port.hear(bytes(pause // 2 * 2))
        self._due = timestamp

    def _hear(self, sound: bytes) -> None:
        self._port.hear(sound)
        if self._due is not None:
            self._due = self._due + len(sound) & 0xFFFFFFFF  # two bytes a sample at 24 kHz: one a tick at 48 kHz

    def tick(self) -> None:
        """Another 20 ms have passed."""
        if self._due is None:
            return
        self._idle_ticks += 1
        if self._idle_ticks > QUIET_TICKS:
            self._hear(bytes(FRAME_BYTES))

    def report(self, ssrc: int) -> RtcpRrPacket | None:
        """How the peer's stream arrives, as source `ssrc` tells it; None before there is one."""
        if self._source is None or self._statistics.max_seq is None:
            return None
        arrived: Any = self._statistics
        info = RtcpReceiverInfo(
            ssrc=self._source,
            fraction_lost=arrived.fraction_lost,
            packets_lost=arrived.packets_lost,
            highest_sequence=arrived.max_seq,
            jitter=arrived.jitter,
            lsr=0,
            dlsr=0,
        )
        return RtcpRrPacket(ssrc=ssrc, reports=[info])


def adopt(transceiver: RTCRtpTransceiver, port: RtcPort) -> tuple[AudioSender, AudioReceiver]:
    """Put a lean sender and receiver into a transceiver that has not been negotiated yet."""
    sender, receiver = AudioSender(transceiver, port), AudioReceiver(transceiver, port)
    sender.receiver = receiver
    receiver._set_rtcp_ssrc(sender._ssrc)
    vars(transceiver).update(_RTCRtpTransceiver__sender=sender, _RTCRtpTransceiver__receiver=receiver)
    # The names are aiortc's own: where they change, a call fails here and not in silence.
    if transceiver.sender is not sender or transceiver.receiver is not receiver:
        raise RuntimeError("this version of aiortc keeps its senders elsewhere")
    return sender, receiver
