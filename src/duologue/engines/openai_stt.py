"""A recognizer behind an OpenAI-compatible `/v1/audio/transcriptions`: the whole utterance is uploaded when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from duologue.audio.wav import pack_wav
from duologue.engines.base import SAMPLE_RATE_HZ, Partial, SttSettings, Transcript
from duologue.engines.openai_http import Endpoint
from duologue.errors import EngineError

_LONGEST_BYTES = 25 * 1024 * 1024
"""The hosted API's limit for one upload."""


class HttpStt:
    """`url` is the base or the full address, `model` the server's name for the model."""

    name = "transcriptions"

    def __init__(self, url: str, model: str, key: str | None = None, *, silence_seconds: float = 30) -> None:
        self.model = model
        self.endpoint = Endpoint(
            self.name, url, "/audio/transcriptions", option="--stt-url", key=key, silence_seconds=silence_seconds
        )

    async def start(self) -> None:
        """Nothing: the server is asked with the first utterance."""

    async def close(self) -> None:
        await self.endpoint.close()

    def open(self, settings: SttSettings) -> HttpUtterance:
        return HttpUtterance(self.endpoint, self.model, settings)


class HttpUtterance:
    """One utterance, kept until it is finished, up to 25 MiB; a longer one fails with code `audio_too_long`."""

    def __init__(self, endpoint: Endpoint, model: str, settings: SttSettings) -> None:
        self._endpoint = endpoint
        self._form = {"model": model, "response_format": "json"}
        if settings.language:
            self._form["language"] = settings.language
        if settings.prompt:
            self._form["prompt"] = settings.prompt
        self._sound = bytearray()
        self._finished = asyncio.Event()
        self._too_long = False

    def feed(self, audio: bytes) -> None:
        if self._finished.is_set():
            return
        if len(self._sound) + len(audio) > _LONGEST_BYTES:
            # A text of its beginning would pass for the whole: there is none.
            self._too_long = True
            self._sound.clear()
            self._finished.set()
            return
        self._sound += audio

    def finish(self) -> None:
        self._finished.set()

    def results(self) -> AsyncIterator[Partial | Transcript]:
        return self._results()

    async def _results(self) -> AsyncGenerator[Partial | Transcript, None]:
        await self._finished.wait()
        if self._too_long:
            raise EngineError(HttpStt.name, "the utterance is longer than one upload may be.", code="audio_too_long")
        whole = len(self._sound) - len(self._sound) % 2
        if not whole:
            yield Transcript(text="")
            return
        file = pack_wav(bytes(self._sound[:whole]), rate_hz=SAMPLE_RATE_HZ)
        async with self._endpoint.post(data=self._form, files={"file": ("speech.wav", file, "audio/wav")}) as response:
            body = await response.aread()
            is_text = "json" not in response.headers.get("content-type", "json")
        yield Transcript(text=body.decode(errors="replace").strip() if is_text else self._text(body))

    def _text(self, body: bytes) -> str:
        try:
            answer = msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise self._endpoint.broken("something that is not JSON") from None
        text = answer.get("text") if isinstance(answer, dict) else None
        if not isinstance(text, str):
            raise self._endpoint.broken("without a text")
        return text.strip()
