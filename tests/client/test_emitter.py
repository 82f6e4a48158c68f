from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duologue.client.emitter import Emitter
from duologue.errors import TransportClosed


def test_on_on_next_off_and_the_decorator() -> None:
    emitter, got = Emitter(), []
    emitter.on("a", got.append)
    emitter.on_next("a", lambda event: got.append(-event))

    @emitter.on("b")
    def decorated(event: int) -> None:
        got.append(event * 10)

    for number in (1, 2):
        emitter.emit("a", number)
        emitter.emit("b", number)
    emitter.off("a", got.append)
    emitter.off("a", print)
    emitter.emit("a", 3)
    assert got == [1, -1, 10, 2, 20]
    emitter.clear_event_handlers()
    assert not emitter.heard("b")


def test_async_handlers_keep_the_order_and_failures_become_errors() -> None:
    async def story() -> None:
        emitter, got = Emitter(), []
        failures: list[Exception] = []

        async def slow(event: int) -> None:
            await asyncio.sleep(0)
            if event == 2:
                raise ValueError("two")
            got.append(event)

        emitter.on("a", slow)
        emitter.on("error", failures.append)
        for number in (1, 2, 3):
            emitter.emit("a", number)
        await emitter.finish()
        assert got == [1, 3]
        assert [str(failure) for failure in failures] == ["two"]

    asyncio.run(story())


def test_finish_cancels_handlers_that_never_end() -> None:
    async def story() -> None:
        emitter = Emitter()

        async def forever(event: int) -> None:
            await asyncio.Event().wait()

        emitter.on("a", forever)
        emitter.emit("a", 1)
        await emitter.finish(patience_s=0.01)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(story())


def test_waiting_ends_with_the_event_the_time_or_the_connection() -> None:
    async def story() -> None:
        emitter = Emitter()
        waiting = asyncio.create_task(emitter.wait_for_next("a"))
        await asyncio.sleep(0)
        emitter.emit("a", 7)
        assert await waiting == 7
        with pytest.raises(TimeoutError, match=r"no '\w+' came within 0\.01 s"):
            await emitter.wait_for_next("a", 0.01)
        assert not emitter.heard("a")
        waiting = asyncio.create_task(emitter.wait_for_next("a"))
        await asyncio.sleep(0)
        emitter.fail_waiters(TransportClosed(1001, "gone"))
        with pytest.raises(TransportClosed):
            await waiting

    asyncio.run(story())


def test_handlers_of_the_next_event_run_once_and_can_be_taken_back() -> None:
    async def story() -> None:
        got: list[Any] = []
        emitter = Emitter()

        async def slowly(event: Any) -> None:
            got.append(("slowly", event))

        def gone(event: Any) -> None:
            got.append(("gone", event))

        def always(event: Any) -> None:
            got.append(("always", event))

        emitter.once("x", slowly)
        emitter.on_next("x", gone)
        emitter.on("x", always)
        emitter.off_next("x", gone)
        emitter.emit("x", 1)
        emitter.emit("x", 2)
        await emitter.finish()
        assert sorted(got) == [("always", 1), ("always", 2), ("slowly", 1)]
        emitter.on_next("x", gone)
        emitter.off("x", gone)
        emitter.on_next("x", gone)
        emitter.off_next("x")
        emitter.emit("x", 3)
        assert got[-1] == ("always", 3)
        emitter.clear_event_handlers()
        assert not emitter.heard("x")

    asyncio.run(story())


def test_who_comes_or_goes_while_an_event_is_told_counts_from_the_next_one() -> None:
    emitter, got = Emitter(), []

    def second(event: int) -> None:
        got.append(("second", event))

    def first(event: int) -> None:
        got.append(("first", event))
        emitter.off("a", second)
        emitter.on("a", lambda event: got.append(("third", event)))

    emitter.on_next("a", first)
    emitter.on("a", second)
    emitter.emit("a", 1)
    emitter.emit("a", 2)
    assert got == [("first", 1), ("second", 1), ("third", 2)]
