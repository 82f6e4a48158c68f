from __future__ import annotations

import asyncio

import pytest

from duologue.console.chores import Chores
from duologue.errors import NotConnected


def test_what_is_due_happens_once_under_its_last_wish() -> None:
    async def story() -> None:
        chores, done = Chores(), asyncio.Queue[str]()
        chores.after("end", 60, lambda: done.put("first"))
        chores.after("end", 0, lambda: done.put("second"))
        assert chores.due("end")
        assert await asyncio.wait_for(done.get(), 5) == "second"
        assert not chores.due("end")

    asyncio.run(story())


def test_closing_ends_jobs_and_timers_but_not_the_act_that_closes() -> None:
    async def story() -> None:
        chores, done = Chores(), asyncio.Event()
        ended: list[str] = []

        async def job() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("job")

        async def act() -> None:
            chores.close()
            await asyncio.sleep(0)
            done.set()

        chores.do(job(), "job")
        await asyncio.sleep(0)
        chores.after("never", 0.05, lambda: done.wait())
        chores.after("end", 0, act)
        await asyncio.wait_for(done.wait(), 5)
        assert not chores.due("never")
        assert ended == ["job"]

    asyncio.run(story())


def test_a_connection_that_has_just_ended_is_no_news() -> None:
    async def story() -> None:
        async def fail() -> None:
            raise NotConnected

        chores = Chores()
        chores.do(fail(), "fail")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(story())


def test_a_defect_in_a_job_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async def job() -> None:
            raise KeyError("defect")

        chores = Chores()
        chores.do(job(), "truncate")
        await asyncio.gather(*chores._jobs)
        assert "truncate failed by a defect" in caplog.text

    asyncio.run(story())
