"""Joins a client and a MediaPort: the microphone goes to the server, the answer to the loudspeaker, and whoever interrupts
is listened to at once. Written once for every port.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from duologue.audio.port import MediaPort
from duologue.audio.resample import Resampler
from duologue.audio.spec import PCM16_24K, AudioSpec
from duologue.client.client import RealtimeClient
from duologue.client.conversation import Update

_FORMATS = {"ulaw": "g711_ulaw", "alaw": "g711_alaw", "pcm16": "pcm16"}
_TRACKS = 64
_ALL = 2**62


class Voice:
    """One port in one conversation, from its making until `close`; `run` listens.

    With `muted` set the port is read and nothing is sent.
    """

    def __init__(self, client: RealtimeClient, port: MediaPort) -> None:
        self.muted = False
        self._client = client
        self._port = port
        self._spoken: list[str] = []
        self._to_server = _converter(port.spec, PCM16_24K)
        self._to_port: dict[str, Resampler] = {}
        client.on("conversation.updated", self._play)
        client.on("conversation.item.completed", self._finish)
        client.on("conversation.interrupted", self._interrupted)

    async def run(self) -> None:
        """Send what the port hears until it has nothing more; answers are played all along.

        Raises ConfigError where the session cannot speak as the port does, and TransportClosed. Cancelling it stops
        listening; the port stays open.
        """
        if self._to_server is None:
            name = _FORMATS[self._port.spec.encoding]
            await self._client.update_session(input_audio_format=name, output_audio_format=name)
        while sound := await self._port.read():
            self._report()
            if not self.muted:
                await self._client.append_input_audio(self._to_server.feed(sound) if self._to_server else sound)

    def interrupt(self) -> Coroutine[Any, Any, None]:
        """Be silent now, and let the model know what was heard: for a button. Speech does it by itself."""
        return self._interrupted()

    def close(self) -> None:
        """Let go of the client: nothing is played any more."""
        self._client.off("conversation.updated", self._play)
        self._client.off("conversation.item.completed", self._finish)
        self._client.off("conversation.interrupted", self._interrupted)

    def _play(self, update: Update) -> None:
        if update.delta is None or not update.delta.audio:
            return
        sound, track = update.delta.audio, update.item.id
        if self._to_server is not None:
            if track not in self._to_port:
                self._to_port[track] = Resampler(PCM16_24K.rate_hz, self._port.spec.rate_hz)
            sound = self._to_port[track].feed(sound)
        if sound and self._port.write(sound, track) and track not in self._spoken:
            self._spoken = [*self._spoken[-_TRACKS:], track]

    def _finish(self, update: Update) -> None:
        """The converter holds back the last milliseconds of an answer."""
        if converter := self._to_port.pop(update.item.id, None):
            self._port.write(converter.flush(), update.item.id)

    def _interrupted(self, _: object = None) -> Coroutine[Any, Any, None]:
        # At once, and in this order: what came later would be heard, and what was counted before would miss some.
        self._port.clear()
        self._to_port.clear()
        self._report()
        self._spoken.clear()
        return self._client.interrupt()

    def _report(self) -> None:
        """Tell the ledger how far the listener is; what waits behind an unfinished track was not heard at all."""
        ledger = self._client.playback
        while self._spoken:
            track = self._spoken[0]
            played_ms, received_ms = self._port.played_ms(track), ledger.received_ms(track)
            whole = played_ms >= received_ms  # both are rounded down: then no part of a millisecond is missing either
            ledger.played_item(track, _ALL if whole else played_ms * ledger.rate_hz // 1000)
            if not whole or len(self._spoken) == 1:
                return
            self._spoken.pop(0)


def _converter(there: AudioSpec, here: AudioSpec) -> Resampler | None:
    """Only for linear sound of another rate: the protocol has G.711 itself."""
    return (
        Resampler(there.rate_hz, here.rate_hz) if there.encoding == "pcm16" and there.rate_hz != here.rate_hz else None
    )
