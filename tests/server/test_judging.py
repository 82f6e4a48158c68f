"""The judge of turns behind the server: its answer counts, its failures do not."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace
from wire import calling, serving, simple_engines

from duologue.server.runner import RealtimeServer


class Judge:
    """Says what it is told to say; keeps what it was asked."""

    name = "judge"

    def __init__(self, verdict: float | Exception | None) -> None:
        self.verdict = verdict
        self.asked: list[tuple[int, str | None]] = []
        self.running = False

    async def start(self) -> None:
        self.running = True

    async def close(self) -> None:
        self.running = False

    async def score(self, audio: bytes, transcript: str | None) -> float:
        self.asked.append((len(audio) // 48, transcript))
        if isinstance(self.verdict, Exception):
            raise self.verdict
        if self.verdict is None:
            await asyncio.Event().wait()
            raise AssertionError
        return self.verdict


def ended_ms(judge: Judge, *, chunks: int) -> int:
    """Where the turn ended: 992 ms of speech, then silence, sent as fast as it goes."""

    async def check() -> int:
        server = RealtimeServer(replace(simple_engines(), eot=judge))
        async with server.running(), serving(server) as url, calling(url) as caller:
            assert judge.running
            await caller.configure(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
            await caller.append(992, sound=1)
            for _ in range(chunks):
                await caller.append(6_400 // chunks)
            stopped = (await caller.until("input_audio_buffer.speech_stopped"))[-1]
            await caller.until("response.done")
            return int(stopped["audio_end_ms"])

    found = asyncio.run(check())
    assert not judge.running
    return found


@pytest.mark.parametrize("chunks", [1, 200])
@pytest.mark.parametrize(("verdict", "pause_ms"), [(0.97, 320), (0.5, 992), (0.0, 4_000)])
def test_its_score_decides_however_fast_the_sound_comes(verdict: float, pause_ms: int, chunks: int) -> None:
    judge = Judge(verdict)
    assert ended_ms(judge, chunks=chunks) == 992 + pause_ms
    assert judge.asked[0] == (992 + 224, None)


@pytest.mark.parametrize("verdict", [RuntimeError("no model"), None])
def test_a_judge_that_fails_or_hangs_costs_only_its_judgement(verdict: Exception | None) -> None:
    assert ended_ms(Judge(verdict), chunks=50) == 992 + 992
