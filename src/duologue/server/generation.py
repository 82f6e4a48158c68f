"""One response's work: the model writes, the voice speaks clause by clause beside it, and both report in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from duologue.engines.base import Llm, LlmDone, LlmEvent, LlmRequest, TextDelta, ToolCallDelta, Tts, VoiceSettings
from duologue.errors import DuologueError
from duologue.server.clauses import ClauseSplitter
from duologue.server.inputs import ModelDone, ModelFailed, ModelOutput, ModelText, ModelToolCall, VoiceAudio, VoiceMark
from duologue.server.punctual import ENGINE_SILENCE_S, punctual

log = logging.getLogger(__name__)

CLAUSES_AHEAD = 8
"""How many clauses the model may be ahead of the voice before it waits."""

Post = Callable[[ModelOutput], Awaitable[None]]


async def generate(
    response_id: str,
    request: LlmRequest,
    voice: VoiceSettings | None,
    *,
    llm: Llm,
    tts: Tts,
    post: Post,
    silence_s: float = ENGINE_SILENCE_S,
) -> None:
    """Run model and voice to the end and post what they produce. Cancelling it stops both at once.

    One that produces nothing for `silence_s` seconds has failed.
    """
    last: ModelOutput
    try:
        async with asyncio.TaskGroup() as group:
            speech = _Speech(response_id, voice, tts, post, silence_s) if voice else None
            if speech:
                group.create_task(speech.run(), name=f"voice-{response_id}")
            async with aclosing(punctual(llm.stream(request), llm.name, silence_s)) as written:
                done = await _write(response_id, written, post, speech)
        last = ModelDone(
            response_id=response_id,
            reason=done.reason,
            input_tokens=done.input_tokens,
            output_tokens=done.output_tokens,
            cached_tokens=done.cached_tokens,
        )
    except* Exception as failures:
        code, message = explain(failures.exceptions[0])
        last = ModelFailed(response_id=response_id, code=code, message=message)
    await post(last)


def explain(failure: BaseException) -> tuple[str, str]:
    """Code and message for the wire. An engine that raises what it should not must not take the session with it."""
    if isinstance(failure, DuologueError):
        return getattr(failure, "code", None) or "server_error", str(failure)
    log.error("an engine broke its promise", exc_info=failure)
    return "server_error", f"The engine failed unexpectedly: {type(failure).__name__}."


async def _write(response_id: str, written: AsyncIterator[LlmEvent], post: Post, speech: _Speech | None) -> LlmDone:
    done = LlmDone()
    async for event in written:
        match event:
            case TextDelta(text=text):
                await post(ModelText(response_id=response_id, text=text))
                if speech:
                    await speech.say(text)
            case ToolCallDelta():
                if speech:
                    # What was said before a call is heard before it: the call's item must not open in mid-speech.
                    await speech.drain()
                await post(
                    ModelToolCall(
                        response_id=response_id, index=event.index, name=event.name, arguments=event.arguments
                    )
                )
            case LlmDone():
                done = event
    if speech:
        await speech.finish()
    return done


class _Speech:
    """Speaks the clauses of one response, one after the other."""

    def __init__(self, response_id: str, voice: VoiceSettings, tts: Tts, post: Post, silence_s: float) -> None:
        self._response_id = response_id
        self._voice = voice
        self._tts = tts
        self._post = post
        self._silence_s = silence_s
        self._splitter = ClauseSplitter()
        self._clauses: asyncio.Queue[str | None] = asyncio.Queue(CLAUSES_AHEAD)

    async def say(self, text: str) -> None:
        """More text to speak; waits while the voice is far behind."""
        for clause in self._splitter.feed(text):
            await self._clauses.put(clause)

    async def drain(self) -> None:
        """Everything said so far has been spoken when this returns."""
        for clause in self._splitter.flush():
            await self._clauses.put(clause)
        await self._clauses.join()

    async def finish(self) -> None:
        """No more text."""
        await self.drain()
        await self._clauses.put(None)

    async def run(self) -> None:
        """Speak until `finish`."""
        while (clause := await self._clauses.get()) is not None:
            if clause.strip():
                speech = self._tts.speak(clause.strip(), self._voice)
                async with aclosing(punctual(speech, self._tts.name, self._silence_s)) as spoken:
                    async for audio in spoken:
                        await self._post(VoiceAudio(response_id=self._response_id, audio=audio))
            await self._post(VoiceMark(response_id=self._response_id, characters=len(clause)))
            self._clauses.task_done()
