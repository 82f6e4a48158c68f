"""The recognizer's work for one session: utterances under way, what they came to so far, and when they are over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from msgspec import Struct

from duologue.engines.base import Stt, SttSettings, Transcript, Utterance
from duologue.server.generation import explain
from duologue.server.input_buffer import BYTES_PER_MS
from duologue.server.inputs import TranscriptFailed, TranscriptGuess, TranscriptReady
from duologue.server.punctual import ENGINE_SILENCE_S, late

LONGEST_LEAD_S = 5.0
"""A session is not held up for longer than this, however much sound was sent at once."""

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
Post = Callable[[TranscriptGuess | TranscriptReady | TranscriptFailed], Awaitable[None]]


class _Open(Struct, kw_only=True):
    utterance: Utterance
    task: asyncio.Task[None]
    since: float
    fed_bytes: int = 0
    finished: bool = False
    limit: asyncio.Timeout | None = None
    """Of the time after the last of the sound."""
    text: str | None = None

    def ahead_s(self) -> float:
        """How much faster the sound came than it was spoken."""
        passed_s = asyncio.get_running_loop().time() - self.since
        return max(self.fed_bytes / BYTES_PER_MS / 1000 - passed_s, 0.0)


class Hearing:
    """Each utterance is a task of the session's and posts its results. What belongs to none is ignored."""

    def __init__(self, stt: Stt, spawn: Spawn, post: Post, silence_s: float = ENGINE_SILENCE_S) -> None:
        self._stt = stt
        self._spawn = spawn
        self._post = post
        self._silence_s = silence_s
        self._open: dict[str, _Open] = {}

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Everything that runs."""
        return [opened.task for opened in self._open.values()]

    def expect(self, settings: SttSettings) -> None:
        """Speech may follow that is to be recognized so."""
        expect: Callable[[SttSettings], None] | None = getattr(self._stt, "expect", None)
        if expect is not None:
            expect(settings)

    def open(self, item_id: str, settings: SttSettings) -> None:
        """Begin to recognize the speech that will become `item_id`."""
        utterance = self._stt.open(settings)
        task = self._spawn(self._transcribe(item_id, utterance), f"stt-{item_id}")
        self._open[item_id] = _Open(utterance=utterance, task=task, since=asyncio.get_running_loop().time())
        task.add_done_callback(lambda _: self._open.pop(item_id, None))

    def feed(self, item_id: str, audio: bytes) -> None:
        """More of its sound."""
        if item_id in self._open:
            self._open[item_id].fed_bytes += len(audio)
            self._open[item_id].utterance.feed(audio)

    def finish(self, item_id: str) -> None:
        """That was all of its sound."""
        opened = self._open.get(item_id)
        if opened is not None:
            opened.utterance.finish()
            opened.finished = True
            self._wait_no_longer(opened)

    def _wait_no_longer(self, opened: _Open) -> None:
        """From here on the transcript is waited for, but not for ever."""
        if opened.finished and opened.limit is not None and not opened.limit.expired():
            opened.limit.reschedule(asyncio.get_running_loop().time() + self._silence_s + opened.ahead_s())

    def abort(self, item_id: str) -> None:
        """Nobody wants it any more."""
        if item_id in self._open:
            self._open[item_id].task.cancel()

    async def words_so_far(self, item_id: str, within_s: float) -> str | None:
        """What has been said up to now; where the recognizer cannot tell in time, the last it wrote. None before the first.

        Sound that came faster than it was spoken gives the recognizer as much more time: nobody waits for it yet.
        """
        opened = self._open.get(item_id)
        if opened is None:
            return None
        so_far: Callable[[], Awaitable[str | None]] | None = getattr(opened.utterance, "so_far", None)
        if so_far is None:
            return opened.text
        try:
            async with asyncio.timeout(within_s + min(opened.ahead_s(), LONGEST_LEAD_S)):
                return await so_far()
        except TimeoutError:
            return opened.text

    async def _transcribe(self, item_id: str, utterance: Utterance) -> None:
        opened = self._open[item_id]
        try:
            async with asyncio.timeout(None) as opened.limit:
                self._wait_no_longer(opened)
                try:
                    async for result in utterance.results():
                        opened.text = result.text
                        news = TranscriptReady if isinstance(result, Transcript) else TranscriptGuess
                        await self._post(news(item_id=item_id, text=result.text))
                finally:
                    opened.limit = None  # the end of the sound may come after the recognizer's
        except Exception as error:
            code, message = explain(late(self._stt.name, self._silence_s) if isinstance(error, TimeoutError) else error)
            await self._post(TranscriptFailed(item_id=item_id, code=code, message=message))
