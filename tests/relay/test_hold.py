"""Many calls for a long time over two processes of `duologue relay`, while some callers vanish, stall or misbehave.

The upstream and all callers are this process, on the relay's own sockets, which are light enough to make the load: events
of 100 ms of sound at the pace of speech, in both directions. Events of 20 ms are what the benchmark sends; a thousand
such calls are 200,000 frames a second to make and to take in here, which two shared cores do not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from duologue.clock import monotonic_ms
from duologue.relay.lines import NOWHERE, Line, Refusal, Request, Welcome
from duologue.relay.sockets import Socket, connect, upgrader

CALLS = int(os.environ.get("HOLD_CALLS", "1000"))
SECONDS = int(os.environ.get("HOLD_SECONDS", "600"))
"""Smaller numbers for a smaller machine, or for a look at whether it runs."""
PACE_MS = 100
MISCHIEF_SHARE = 0.01
"""Of the callers, each minute."""
SETTLED_SECONDS = 60
"""Memory is looked at from then on: what a call allocates only once has been allocated."""
FORGOTTEN_MS = 10_000
"""Nobody goes without a delta for so long, however busy the machine is."""
GROWTH = 1.1
SPARE_KIB = 4096
"""A stalled caller's frames wait in the relay until it is cut off."""
BYTES = 1 << 20
SETTINGS = """
[upstream]
url = "{url}"
[limits]
sessions = {calls}
sessions_per_user = {calls}
[ledger]
path = "{folder}/relay.sqlite3"
"""
SOUND = b64encode(bytes(4800))
APPEND = b'{"type":"input_audio_buffer.append","audio":"%s"}' % SOUND
CREATED = b'{"type":"session.created","event_id":"event_0","session":{"type":"realtime","id":"sess_1","model":"m"}}'
DELTA = (
    b'{"type":"response.output_audio.delta","event_id":"event_%d","response_id":"resp_1","item_id":"item_1",'
    b'"output_index":0,"content_index":0,"delta":"' + SOUND + b'"}'
)
NONSENSE = (b"{", b"[]", b'{"type":"session.update","type":"response.create"}', b'{"type":"no.such.event"}')


class Upstream:
    """One end at the upstream: hears appends and nothing else, and says deltas with a running number."""

    def __init__(self, hold: Hold, line: Line) -> None:
        self.hold, self.line = hold, line
        self.onto, self.passed = NOWHERE, 0
        self.said = 0
        self.waits = False
        line.send(CREATED)
        hold.upstreams[self] = None

    def passes(self, frame: bytes, _now_ms: float) -> bool:
        if frame != APPEND:
            self.hold.faults.append(f"the upstream got {frame[:200]!r}")
        self.hold.heard += 1
        return True

    def speak(self) -> None:
        if not self.waits:
            self.said += 1
            self.line.send(DELTA % self.said)

    def heard(self, frame: bytes) -> None: ...

    def heard_binary(self) -> None:
        self.hold.faults.append("the upstream got a binary frame")

    def full(self) -> None:
        self.waits = True

    def room(self) -> None:
        self.waits = False

    def ended(self, code: int, reason: str) -> None:
        self.hold.upstreams.pop(self, None)


class Caller:
    """One caller. While it behaves, it has to get every delta, in order, and nothing else."""

    def __init__(self, hold: Hold, line: Line) -> None:
        self.hold, self.line = hold, line
        self.onto, self.passed = NOWHERE, 0
        self.got = -1
        self.behaves = True
        self.leaves = False
        self.over = asyncio.Event()
        self.last_ms = monotonic_ms()

    def passes(self, frame: bytes, _now_ms: float) -> bool:
        self.got += 1
        self.last_ms = monotonic_ms()
        if self.behaves and self.got and frame != DELTA % self.got:
            self.hold.faults.append(f"instead of delta {self.got} a caller got {frame[:200]!r}")
        return True

    def speak(self) -> None:
        self.hold.spoken += self.behaves
        self.line.send(APPEND)

    def heard(self, frame: bytes) -> None: ...

    def heard_binary(self) -> None:
        self.hold.faults.append("a caller got a binary frame")

    def full(self) -> None: ...

    def room(self) -> None: ...

    def ended(self, code: int, reason: str) -> None:
        self.over.set()
        if self.behaves and not self.leaves:
            self.hold.faults.append(f"a caller lost its call: {code} {reason}")


class Hold:
    """Keeps the calls up, and the mischief."""

    def __init__(self, relays: list[str]) -> None:
        self.relays = cycle(relays)
        self.upstreams: dict[Upstream, None] = {}
        self.callers: list[Caller] = []
        self.rogues: list[Caller] = []
        self.faults: list[str] = []
        self.spoken = self.heard = 0
        self.chance = random.Random(20261121)
        self.deeds = cycle((self.vanish, self.stall, self.misbehave))

    async def call(self) -> Caller:
        """One caller more, at the next relay."""
        made: list[Caller] = []

        def meet(line: Line) -> Caller:
            made.append(Caller(self, line))
            return made[0]

        await connect(next(self.relays), {}, meet, most_bytes=BYTES)
        return made[0]

    async def mischief(self) -> None:
        """One of the callers stops behaving, and another one takes its place."""
        place = self.chance.randrange(len(self.callers))
        rogue = self.callers[place]
        rogue.behaves = False
        self.rogues.append(rogue)
        next(self.deeds)(rogue)
        self.callers[place] = await self.call()

    def vanish(self, rogue: Caller) -> None:
        assert isinstance(rogue.line, Socket)
        rogue.line.abort()

    def stall(self, rogue: Caller) -> None:
        rogue.line.pause()

    def misbehave(self, rogue: Caller) -> None:
        for _ in range(40):
            for frame in NONSENSE:
                rogue.line.send(frame)

    async def pace(self, seconds: float) -> None:
        """Everybody speaks ten times a second, each in its own millisecond."""
        begin = monotonic_ms()
        for tick in range(round(seconds * 1000)):
            if (wait_ms := begin + tick - monotonic_ms()) > 0:
                await asyncio.sleep(wait_ms / 1000)
            for caller in self.callers[tick % PACE_MS :: PACE_MS]:
                caller.speak()
            for end in tuple(self.upstreams)[tick % PACE_MS :: PACE_MS]:
                end.speak()
            if wait_ms < 0:
                await asyncio.sleep(0)

    async def trouble(self) -> None:
        """Mischief at its rate, evenly."""
        while True:
            await asyncio.sleep(60 / (MISCHIEF_SHARE * CALLS))
            await self.mischief()


@contextlib.asynccontextmanager
async def upstream(hold: Hold) -> AsyncIterator[int]:
    def gate(request: Request) -> Refusal | Welcome:
        return Welcome(subprotocol=None, meet=lambda line: Upstream(hold, line))

    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError("only WebSockets come here")

    ws: Any = upgrader(gate, lambda: BYTES)
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws=ws)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(), name="upstream")
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def relay(folder: Path, port: int) -> AsyncIterator[tuple[str, int, Path]]:
    """A relay's address, its process and its log; it has to stop cleanly."""
    folder.mkdir()
    settings, log = folder / "relay.toml", folder / "calls.jsonl"
    url = f"ws://127.0.0.1:{port}/v1/realtime"
    settings.write_text(SETTINGS.format(url=url, calls=4 * CALLS, folder=folder))
    with log.open("wb") as lines:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "duologue.cli.main", "relay", "--config", str(settings), "--port", "0",
            stdout=asyncio.subprocess.PIPE, stderr=lines,
        )  # fmt: skip
    assert process.stdout
    try:
        found = re.search(r"ws://\S+", (await process.stdout.readline()).decode())
        assert found
        yield found[0], process.pid, log
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.fixture
def many_files() -> Iterator[None]:
    """Two connections a call are open here; more than a process may have unless it asks."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def private_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


@pytest.mark.deep
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from /proc")
@pytest.mark.usefixtures("many_files")
def test_one_in_a_hundred_callers_harms_none_of_the_others(tmp_path: Path) -> None:
    async def story() -> None:
        hold = Hold([])
        async with (
            upstream(hold) as port,
            relay(tmp_path / "one", port) as (first, one, log_one),
            relay(tmp_path / "two", port) as (second, two, log_two),
        ):
            hold.relays = cycle((first, second))
            hold.callers = [await hold.call() for _ in range(CALLS)]
            trouble = asyncio.create_task(hold.trouble(), name="trouble")
            await hold.pace(SETTLED_SECONDS)
            before = [private_kib(pid) for pid in (one, two)]
            await hold.pace(SECONDS - SETTLED_SECONDS)
            after = [private_kib(pid) for pid in (one, two)]
            trouble.cancel()
            await asyncio.gather(trouble, return_exceptions=True)
            waited_ms = monotonic_ms() - min(caller.last_ms for caller in hold.callers)
            # Who has only just begun to stall is not cut off yet.
            for caller in (*hold.callers, *hold.rogues):
                caller.leaves = True
                caller.line.close(1000)
            async with asyncio.timeout(60):
                for caller in (*hold.callers, *hold.rogues):
                    await caller.over.wait()
        assert hold.faults == []
        assert hold.rogues
        assert all(caller.got > 0 for caller in hold.callers)
        assert waited_ms < FORGOTTEN_MS, "somebody had not been heard of for long"
        assert hold.heard >= 0.99 * hold.spoken
        for earlier, later in zip(before, after, strict=True):
            assert later <= earlier * GROWTH + SPARE_KIB, (before, after)
        lines = (line for log in (log_one, log_two) for line in log.read_text().splitlines())
        # A relay that is told to stop while its last call ends says so, in words.
        reports = [json.loads(line) for line in lines if line.startswith("{")]
        assert len(reports) == CALLS + len(hold.rogues)
        assert sum(report["code"] == 1000 for report in reports) >= CALLS
        print(f"{CALLS} calls, {SECONDS} s, {len(hold.rogues)} rogues, {hold.heard} appends, KiB {before} -> {after}")

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
