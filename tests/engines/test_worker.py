from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from duologue.engines.worker import Worker
from duologue.errors import EngineError

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parent.parent / "src")]))


@asynccontextmanager
async def echo() -> AsyncIterator[Worker]:
    worker = Worker("echo", "broken_worker", "echo")
    try:
        yield worker
    finally:
        await worker.close()


async def ask(worker: Worker, body: bytes) -> list[bytes]:
    return [answer async for answer in (await worker.call(body)).data()]


async def gone(pid: int) -> None:
    """Returns once the process has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), 5)
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def test_calls_are_answered_each_with_its_own() -> None:
    async def check() -> None:
        async with echo() as worker:
            bodies = [bytes([number]) * number * 1_000 for number in range(1, 20)]
            assert await asyncio.gather(*(ask(worker, body) for body in bodies)) == [[body] for body in bodies]
            assert worker.load == 0

    asyncio.run(check())


def test_an_exception_fails_only_its_call() -> None:
    async def check() -> None:
        async with echo() as worker:
            pid = (await worker.start(), worker.pid)[1]
            with pytest.raises(EngineError, match="ValueError: not like this"):
                await ask(worker, b"raise")
            assert await ask(worker, b"fine") == [b"fine"]
            assert worker.pid == pid

    asyncio.run(check())


def test_printing_does_not_disturb_the_pipe() -> None:
    async def check() -> None:
        async with echo() as worker:
            assert await ask(worker, b"print") == [b"print"]

    asyncio.run(check())


def test_a_complaint_of_any_length_is_read_and_the_last_line_is_told() -> None:
    async def check() -> None:
        async with echo() as worker:
            assert await ask(worker, b"shout") == [b"shout"]  # a full pipe would stop it here
            assert await ask(worker, b"shout") == [b"shout"]
            with pytest.raises(EngineError, match="last words"):
                await ask(worker, b"exit")

    asyncio.run(check())


def test_abort_reaches_a_busy_worker() -> None:
    async def check() -> None:
        async with echo() as worker:
            call = await worker.call(b"hang")
            call.abort()
            assert await ask(worker, b"next") == [b"next"]

    asyncio.run(check())


def test_death_fails_all_calls_and_the_next_call_restarts() -> None:
    async def check() -> None:
        async with echo() as worker:
            calls = [await worker.call(b"hang") for _ in range(3)]
            first = worker.pid
            assert first
            os.kill(first, signal.SIGKILL)
            failures = await asyncio.gather(*(anext(call.data()) for call in calls), return_exceptions=True)
            assert all(isinstance(e, EngineError) and e.code == "engine_crashed" and e.retryable for e in failures)
            assert await ask(worker, b"again") == [b"again"]
            assert worker.pid not in (None, first)

    asyncio.run(check())


def test_a_child_that_cannot_start_says_why() -> None:
    async def check() -> None:
        worker = Worker("broken", "broken_worker", "die")
        with pytest.raises(EngineError, match="no model here"):
            await worker.start()
        assert worker.pid is None
        await worker.close()

    asyncio.run(check())


def test_closing_leaves_no_process_and_refuses_calls() -> None:
    async def check() -> None:
        async with echo() as worker:
            hanging = await worker.call(b"hang")
            pid = worker.pid
            assert pid
            await worker.close()
            await gone(pid)
            with pytest.raises(EngineError):
                await anext(hanging.data())
            with pytest.raises(EngineError, match="closed"):
                await worker.call(b"late")
            await worker.start()  # a server that could not start, and has closed its engines, starts again
            assert await ask(worker, b"again") == [b"again"]
            await worker.close()

    asyncio.run(check())


def test_interrupt_leaves_the_worker_alone() -> None:
    async def check() -> None:
        async with echo() as worker:
            await worker.start()
            assert worker.pid
            os.kill(worker.pid, signal.SIGINT)
            assert await ask(worker, b"still here") == [b"still here"]

    asyncio.run(check())


def test_no_orphan_outlives_a_killed_parent() -> None:
    script = (
        "import asyncio\n"
        "from duologue.engines.worker import Worker\n"
        "async def main():\n"
        "    worker = Worker('echo', 'broken_worker', 'echo')\n"
        "    await worker.call(b'hang')\n"
        "    print(worker.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    asyncio.run(gone(child))


def test_how_a_child_ended_is_told_truly(caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        for _ in range(20):
            async with echo() as worker:
                with pytest.raises(EngineError, match="exit status 3"):
                    await ask(worker, b"exit")

    asyncio.run(check())
    assert not caplog.records
