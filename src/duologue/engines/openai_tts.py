"""A voice behind an OpenAI-compatible `/v1/audio/speech`, read while it is being spoken."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from duologue.audio.resample import Resampler
from duologue.engines.base import SAMPLE_RATE_HZ, VoiceSettings
from duologue.engines.openai_http import Endpoint

_WAV_HEAD_BYTES = 44


class HttpTts:
    """`sample_rate` in Hz is what the server sends as `pcm`: the protocol does not say it, 24000 is usual.

    `voice`, where given, is asked for whatever the session's voice is called.
    """

    name = "speech"

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        *,
        sample_rate: int = SAMPLE_RATE_HZ,
        voice: str | None = None,
        silence_seconds: float = 30,
    ) -> None:
        self.model = model
        self._sample_rate = sample_rate
        self._voice = voice
        self._endpoint = Endpoint(
            self.name, url, "/audio/speech", option="--tts-url", key=key, silence_seconds=silence_seconds
        )

    async def start(self) -> None:
        """Raises MissingExtra if the server's rate needs resampling and soxr is not installed."""
        Resampler(self._sample_rate, SAMPLE_RATE_HZ)

    async def close(self) -> None:
        await self._endpoint.close()

    def speak(self, text: str, settings: VoiceSettings) -> AsyncIterator[bytes]:
        return self._speak(text, settings)

    async def _speak(self, text: str, settings: VoiceSettings) -> AsyncGenerator[bytes, None]:
        if not text.strip():
            return
        body = {
            "model": self.model,
            "input": text,
            "voice": self._voice or settings.voice,
            "speed": settings.speed,
            "response_format": "pcm",
        }
        resampler = Resampler(self._sample_rate, SAMPLE_RATE_HZ)
        held = b""
        first = True
        async with self._endpoint.post(json=body) as response:
            kind = response.headers.get("content-type", "")
            if "json" in kind or "mpeg" in kind or kind.startswith("text/"):
                raise self._endpoint.broken(f"{kind} instead of pcm")
            async for piece in response.aiter_bytes():
                held += piece
                if first:
                    if len(held) < _WAV_HEAD_BYTES:
                        continue
                    # Some servers send WAV when asked for pcm; its head would be a click.
                    held = held[_WAV_HEAD_BYTES:] if held.startswith(b"RIFF") else held
                    first = False
                whole = len(held) - len(held) % 2
                if sound := resampler.feed(held[:whole]):
                    yield sound
                held = held[whole:]
        if sound := resampler.feed(held[: len(held) - len(held) % 2]) + resampler.flush():
            yield sound
