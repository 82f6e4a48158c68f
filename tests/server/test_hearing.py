"""duologue.server.hearing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from duologue.engines.base import Partial, SttSettings, Transcript
from duologue.errors import EngineError
from duologue.server.hearing import Hearing
from duologue.server.inputs import TranscriptFailed, TranscriptGuess, TranscriptReady

SETTINGS = SttSettings()


class Slate:
    """An utterance whose results a test writes; None breaks it."""

    def __init__(self) -> None:
        self.results_to_come: asyncio.Queue[Partial | Transcript | None] = asyncio.Queue()
        self.audio = b""
        self.finished = False

    def feed(self, audio: bytes) -> None:
        self.audio += audio

    def finish(self) -> None:
        self.finished = True

    async def results(self) -> AsyncIterator[Partial | Transcript]:
        while result := await self.results_to_come.get():
            yield result
            if isinstance(result, Transcript):
                return
        raise EngineError("slate", "is broken", code="broken")


class Slates:
    name = "slates"

    def __init__(self) -> None:
        self.opened: list[Slate] = []

    def open(self, settings: SttSettings) -> Slate:
        self.opened.append(Slate())
        return self.opened[-1]


class Guessing(Slate):
    """An utterance that guesses when asked: what `guess` comes to."""

    def __init__(self) -> None:
        super().__init__()
        self.guess: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def so_far(self) -> str | None:
        return await self.guess


async def scene(silence_s: float = 60) -> tuple[Hearing, Slates, asyncio.Queue[Any], asyncio.TaskGroup]:
    stt, posted, group = Slates(), asyncio.Queue[Any](), asyncio.TaskGroup()
    await group.__aenter__()
    hearing = Hearing(stt, lambda work, name: group.create_task(work, name=name), posted.put, silence_s)  # type: ignore[arg-type]
    return hearing, stt, posted, group


def test_results_are_posted_and_the_last_is_remembered() -> None:
    async def story() -> None:
        hearing, stt, posted, group = await scene()
        hearing.open("a", SETTINGS)
        assert await hearing.words_so_far("a", 1) is None
        slate = stt.opened[0]
        hearing.feed("a", b"12")
        slate.results_to_come.put_nowait(Partial(text="what is"))
        assert await posted.get() == TranscriptGuess(item_id="a", text="what is")
        assert await hearing.words_so_far("a", 1) == "what is"
        hearing.finish("a")
        slate.results_to_come.put_nowait(Transcript(text="what is it"))
        assert await posted.get() == TranscriptReady(item_id="a", text="what is it")
        await group.__aexit__(None, None, None)
        assert (slate.audio, slate.finished, hearing.tasks) == (b"12", True, [])

    asyncio.run(story())


def test_a_failure_is_posted_and_an_abortion_is_not() -> None:
    async def story() -> None:
        hearing, stt, posted, group = await scene()
        hearing.open("a", SETTINGS)
        hearing.open("b", SETTINGS)
        stt.opened[0].results_to_come.put_nowait(None)
        failure = await posted.get()
        assert isinstance(failure, TranscriptFailed)
        assert (failure.item_id, failure.code) == ("a", "broken")
        hearing.abort("b")
        await group.__aexit__(None, None, None)
        assert posted.empty()
        for nobody in (hearing.finish, hearing.abort):
            nobody("a")
        hearing.feed("a", b"")
        assert await hearing.words_so_far("a", 1) is None

    asyncio.run(story())


def test_a_guess_is_waited_for_as_long_as_the_sound_is_ahead() -> None:
    async def story() -> None:
        hearing, stt, posted, group = await scene()
        stt.open = lambda settings: stt.opened.append(Guessing()) or stt.opened[-1]  # type: ignore[assignment, func-returns-value]
        hearing.open("a", SETTINGS)
        slate = stt.opened[0]
        assert isinstance(slate, Guessing)
        slate.results_to_come.put_nowait(Partial(text="what"))
        await posted.get()
        assert await hearing.words_so_far("a", 0) == "what"  # spoken as fast as it came: no time for the guess
        slate.guess = asyncio.get_running_loop().create_future()
        hearing.feed("a", bytes(48 * 60_000))
        asked = asyncio.create_task(hearing.words_so_far("a", 0), name="asked")
        await asyncio.sleep(0)
        slate.guess.set_result("what is it")
        assert await asked == "what is it"
        hearing.abort("a")
        await group.__aexit__(None, None, None)

    asyncio.run(story())


def test_a_recognizer_that_never_ends_is_waited_for_only_so_long() -> None:
    async def story() -> None:
        hearing, _, posted, group = await scene(silence_s=0.02)
        hearing.open("a", SETTINGS)
        hearing.finish("a")
        failure = await posted.get()
        assert isinstance(failure, TranscriptFailed)
        assert (failure.item_id, failure.code) == ("a", "engine_timeout")
        await group.__aexit__(None, None, None)
        assert hearing.tasks == []

    asyncio.run(story())


def test_a_recognizer_that_prepares_is_told_and_another_is_not() -> None:
    class Preparing(Slates):
        def __init__(self) -> None:
            super().__init__()
            self.expected: list[SttSettings] = []

        def expect(self, settings: SttSettings) -> None:
            self.expected.append(settings)

    async def story() -> None:
        hearing, *_, group = await scene()
        hearing.expect(SETTINGS)
        preparing = Preparing()
        Hearing(preparing, lambda work, name: group.create_task(work, name=name), None).expect(SETTINGS)  # type: ignore[arg-type]
        assert preparing.expected == [SETTINGS]
        await group.__aexit__(None, None, None)

    asyncio.run(story())
