"""The embedded recognizer: pocketsphinx with its bundled English model, in worker processes.

It never releases Python's lock while it decodes, so it cannot share a process with an event loop. With hints it hears
their phrases well and cheaply; everything else goes to the bundled language model, which is a demonstration.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import lru_cache

import msgspec

from duologue.audio.resample import Resampler
from duologue.audio.widen import Widener
from duologue.engines.base import SAMPLE_RATE_HZ, Partial, SpeechHints, SttSettings, Transcript
from duologue.engines.framing import ASK, DATA, END, EXPECT, NARROW
from duologue.engines.speech_grammar import grammar_of, pronounceable, pronunciations
from duologue.engines.worker import Call, Worker
from duologue.errors import EngineError

__all__ = ["PocketsphinxStt", "pronounceable"]
log = logging.getLogger(__name__)

MODEL_RATE_HZ = 16_000
_LONGEST_BYTES = 300 * MODEL_RATE_HZ * 2
_GRAMMARS = 64


class PocketsphinxStt:
    """`workers` processes share the utterances; each is decoded by the least busy one while it is being spoken.

    Where pocketsphinx is not installed, `start` logs the remedy and every utterance fails with code `engine_missing`: text,
    turn detection and the voice work without it.
    """

    name = "pocketsphinx"

    def __init__(self, workers: int = 2 if (os.cpu_count() or 1) > 2 else 1) -> None:
        self._workers = [Worker(self.name, "duologue.engines.pocketsphinx_worker") for _ in range(max(workers, 1))]
        self._expected = b""

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that run."""
        return [worker.pid for worker in self._workers if worker.pid]

    async def start(self) -> None:
        try:
            _check_installed()
        except EngineError as missing:
            log.warning("%s", missing)
            return
        Resampler(SAMPLE_RATE_HZ, MODEL_RATE_HZ)
        await asyncio.to_thread(pronunciations)
        await asyncio.gather(*(worker.start() for worker in self._workers))

    async def close(self) -> None:
        await asyncio.gather(*(worker.close() for worker in self._workers))

    def expect(self, settings: SttSettings) -> None:
        """Let the workers make decoders for these hints while nobody speaks."""
        wanted = _wanted(settings.hints)
        if wanted != self._expected:
            self._expected = wanted
            for worker in self._workers:
                worker.tell(EXPECT, wanted)

    def open(self, settings: SttSettings) -> PocketsphinxUtterance:
        return PocketsphinxUtterance(self._workers, settings)


class PocketsphinxUtterance:
    """One utterance, up to 300 s; a longer one fails with code `audio_too_long`.

    It is decoded from when its results are iterated over; until then its sound waits.
    """

    def __init__(self, workers: Sequence[Worker], settings: SttSettings) -> None:
        self._workers = workers
        self._settings = settings
        self._waiting: list[tuple[int, bytes]] = []
        self._fed_bytes = 0
        self._finished = False
        self._resampler: Resampler | Widener | None = None
        self._call: Call | None = None
        self._asked: deque[asyncio.Future[str]] = deque()
        if self._refusal() is None:
            narrow = settings.narrowband
            self._resampler = Widener(SAMPLE_RATE_HZ) if narrow else Resampler(SAMPLE_RATE_HZ, MODEL_RATE_HZ)

    def feed(self, audio: bytes) -> None:
        if self._resampler and not self._finished:
            self._send(DATA, self._resampler.feed(audio))

    def finish(self) -> None:
        if self._resampler and not self._finished:
            self._finished = True
            self._send(DATA, self._resampler.flush())
            self._send(END, b"")

    async def so_far(self) -> str | None:
        """What the grammar makes of all sound fed until now; None where it does not explain it, or nobody listens."""
        if self._call is None or self._call.over or self._finished:
            return None
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        self._call.send(ASK)
        return await answer or None

    def results(self) -> AsyncIterator[Partial | Transcript]:
        return self._results()

    async def _results(self) -> AsyncGenerator[Partial | Transcript, None]:
        if refusal := self._refusal():
            raise refusal
        # Only here: an utterance that nobody listens to must not take a decoder.
        worker = min(self._workers, key=lambda worker: worker.load)
        wanted = _wanted(self._settings.hints)
        call = self._call = worker.begin(wanted) or await worker.call(wanted)  # a worker that was down comes back
        if self._settings.narrowband:
            call.send(NARROW)
        for kind, body in self._waiting:
            call.send(kind, body)
        self._waiting.clear()
        answers = call.data()
        try:
            async for answer in answers:
                match msgspec.msgpack.decode(answer, type=Transcript | str):
                    case str(guess):
                        asked = self._asked.popleft()
                        if not asked.done():  # whoever asked may have gone
                            asked.set_result(guess)
                    case Transcript() as transcript:
                        yield transcript
        finally:
            for asked in self._asked:
                if not asked.done():
                    asked.set_result("")
            await answers.aclose()

    def _send(self, kind: int, body: bytes) -> None:
        self._fed_bytes += len(body)
        if self._fed_bytes > _LONGEST_BYTES:
            self._waiting.clear()
            if self._call:
                self._call.abort()
                self._call.fail(self._too_long())
            return
        if self._call is None:
            self._waiting.append((kind, body))
        else:
            self._call.send(kind, body)

    def _refusal(self) -> EngineError | None:
        language = self._settings.language
        if language and language.lower().replace("_", "-").split("-")[0] != "en":
            return EngineError(
                PocketsphinxStt.name,
                f"the embedded recognizer understands English only, not {language!r}.",
                code="unsupported_language",
                remedy="Connect a recognizer for it with --stt-url.",
            )
        if self._fed_bytes > _LONGEST_BYTES:
            return self._too_long()
        try:
            _check_installed()
        except EngineError as error:
            return error
        return None

    def _too_long(self) -> EngineError:
        return EngineError(PocketsphinxStt.name, "the utterance is longer than 300 s.", code="audio_too_long")


def _check_installed() -> None:
    if importlib.util.find_spec("pocketsphinx") is not None:
        return
    remedy = "Run: pip install 'duologue[server]', or connect a recognizer with --stt-url."
    if sys.version_info >= (3, 14):
        remedy = "It has no build for this Python yet: use Python 3.11-3.13, or connect a recognizer with --stt-url."
    raise EngineError("pocketsphinx", "pocketsphinx is not installed.", code="engine_missing", remedy=remedy)


def _wanted(hints: SpeechHints) -> bytes:
    # Hints hold a mapping and so cannot be a key themselves.
    return _grammar(msgspec.msgpack.encode(hints))


@lru_cache(_GRAMMARS)
def _grammar(hints: bytes) -> bytes:
    return msgspec.msgpack.encode(grammar_of(msgspec.msgpack.decode(hints, type=SpeechHints)))
