"""The embedded voice: espeak-ng 1.52 in a worker process.

espeak-ng is GPL-3 and keeps global state, so it runs in a process of its own and never inside this one. It sounds like
a robot, starts to speak within milliseconds and knows more than a hundred languages.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from duologue.audio.resample import Resampler
from duologue.engines.base import SAMPLE_RATE_HZ, VoiceSettings
from duologue.engines.espeak_worker import SPOKEN_RATE_HZ, Speech
from duologue.engines.worker import Worker
from duologue.errors import MissingExtra

_PIECE_CHARS = 300
_CHUNK_BYTES = SAMPLE_RATE_HZ * 2 * 120 // 1000
_WORDS_PER_MINUTE = 160

VOICES: dict[str, tuple[str, int]] = {
    "alloy": ("f2", 50),
    "ash": ("m3", 40),
    "ballad": ("m7", 55),
    "coral": ("f4", 60),
    "echo": ("m1", 50),
    "sage": ("f5", 45),
    "shimmer": ("f3", 65),
    "verse": ("m5", 50),
    "marin": ("f1", 55),
    "cedar": ("m8", 35),
}
"""The protocol's voices as espeak-ng variant and pitch (0-99)."""


class EspeakTts:
    """Speaks through one worker process, shared fairly by all sessions: texts are cut into pieces of a few seconds.

    `start` raises MissingExtra where espeakng-loader, numpy or soxr is not installed.
    """

    name = "espeak"

    def __init__(self) -> None:
        self._worker = Worker(self.name, "duologue.engines.espeak_worker")

    @property
    def worker_pid(self) -> int | None:
        return self._worker.pid

    async def start(self) -> None:
        if importlib.util.find_spec("espeakng_loader") is None:
            raise MissingExtra("espeakng-loader", "server")
        Resampler(SPOKEN_RATE_HZ, SAMPLE_RATE_HZ)
        await self._worker.start()

    async def close(self) -> None:
        await self._worker.close()

    def speak(self, text: str, settings: VoiceSettings) -> AsyncIterator[bytes]:
        return self._speak(text, settings)

    async def _speak(self, text: str, settings: VoiceSettings) -> AsyncGenerator[bytes, None]:
        resampler = Resampler(SPOKEN_RATE_HZ, SAMPLE_RATE_HZ)
        held = bytearray()
        for piece in pieces(text):
            call = await self._worker.call(msgspec.msgpack.encode(_speech(piece, settings)))
            sound = call.data()
            try:
                async for spoken in sound:
                    held += resampler.feed(spoken)
                    while len(held) >= _CHUNK_BYTES:
                        yield bytes(held[:_CHUNK_BYTES])
                        del held[:_CHUNK_BYTES]
            finally:
                await sound.aclose()
        held += resampler.flush()
        if held:
            yield bytes(held)


def pieces(text: str) -> list[str]:
    """Text cut at sentence ends and blanks into pieces of at most 300 characters, without losing a word."""
    # A control character would reach espeak-ng as a command or an end of text.
    rest = re.sub(r"[\x00-\x1f\x7f]+", " ", text).encode("utf-8", "replace").decode().strip()
    cut: list[str] = []
    while len(rest) > _PIECE_CHARS:
        window = rest[:_PIECE_CHARS]
        ends = [match.end() for match in re.finditer(r"[.!?;:]\s|[。！？]", window)]
        at = ends[-1] if ends else window.rfind(" ") + 1
        at = at or _PIECE_CHARS
        cut.append(rest[:at].strip())
        rest = rest[at:].strip()
    return [*cut, rest] if rest else cut


def language_of(text: str, language: str | None) -> str:
    """The espeak-ng voice: the setting, or Korean for Hangul, Japanese for kana, Chinese for ideographs, else English."""
    if language:
        code = language.lower().replace("_", "-").split("-")[0]
        return {"en": "en-us", "zh": "cmn", "no": "nb"}.get(code, code)
    for pattern, code in (("[가-힣ㄱ-ㆎ]", "ko"), ("[ぁ-ヿ]", "ja"), ("[一-鿿]", "cmn")):
        if re.search(pattern, text):
            return code
    return "en-us"


def _speech(text: str, settings: VoiceSettings) -> Speech:
    known = sorted(VOICES)
    voice = settings.voice if settings.voice in VOICES else known[sum(settings.voice.encode()) % len(known)]
    variant, pitch = VOICES[voice]
    speed = min(max(settings.speed, 0.25), 1.5)
    return Speech(
        text=text,
        language=language_of(text, settings.language),
        variant=variant,
        pitch=pitch,
        words_per_minute=round(_WORDS_PER_MINUTE * speed),
    )
