"""The scripted responder as a language-model engine: plans made by pure code, streamed at a pace."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import lru_cache

from msgspec import msgpack

from duologue import clock
from duologue.engines import places
from duologue.engines.base import LlmDone, LlmEvent, LlmRequest, SpeechHints, TextDelta, ToolCallDelta
from duologue.engines.scripted.hints import speech_hints
from duologue.engines.scripted.respond import respond
from duologue.protocol.session import FunctionTool

_HINTS = 64
"""Sets of tools whose hints are remembered: making them takes 17 ms where a tool asks for a city."""
_PIECE = re.compile(r"\s*\S{1,12}|\s+")


def local_time() -> datetime:
    """The wall clock in the local time zone."""
    return datetime.fromtimestamp(clock.unix_s()).astimezone()


class ScriptedLlm:
    """Answers from scripts and tool schemas, and says so. Needs no model, no key and no network.

    `tokens_per_second` paces the stream (0: as fast as it is read), a token being a word or a piece of a long one;
    `now` tells the local time; `hint_places` bounds the city names among the speech hints.
    """

    name = "scripted"

    def __init__(
        self,
        *,
        tokens_per_second: float = 0.0,
        now: Callable[[], datetime] = local_time,
        hint_places: int = 800,
    ) -> None:
        self._pause_s = 1 / tokens_per_second if tokens_per_second > 0 else 0.0
        self._now = now
        self._hint_places = hint_places

    async def start(self) -> None:
        """Reads the table of cities, in a thread: the first turn must not wait for it, nor other sessions' sound."""
        await asyncio.to_thread(places.spoken, self._hint_places)

    async def close(self) -> None:
        """Nothing to stop."""

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        """The answer in pieces. Ends with reason "length" once `max_output_tokens` pieces were sent and more were due.

        Cancelling or closing the iterator stops at once; nothing is held. Token counts are not reported.
        """
        plan = respond(request, self._now())
        left = request.max_output_tokens
        events: list[LlmEvent] = [TextDelta(text=piece) for piece in _PIECE.findall(plan.text)]
        for index, call in enumerate(plan.calls):
            pieces = _PIECE.findall(call.arguments)
            events.append(ToolCallDelta(index=index, name=call.name, arguments=pieces[0]))
            events += [ToolCallDelta(index=index, arguments=piece) for piece in pieces[1:]]
        for event in events:
            if left is not None:
                if left <= 0:
                    yield LlmDone(reason="length")
                    return
                left -= 1
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
            yield event
        yield LlmDone()

    def hints(self, tools: tuple[FunctionTool, ...], prompt: str | None) -> SpeechHints:
        """What users of these tools are likely to say, and the phrases of the transcription prompt."""
        return _hints(msgpack.encode(tools), prompt, self._hint_places)


@lru_cache(_HINTS)
def _hints(tools: bytes, prompt: str | None, places_limit: int) -> SpeechHints:
    # Tools hold mappings and so cannot be a key themselves.
    return speech_hints(msgpack.decode(tools, type=tuple[FunctionTool, ...]), prompt, places_limit=places_limit)
