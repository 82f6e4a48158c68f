"""The relay under its default policy, next to a relay in Node's `ws` that looks at nothing, in rounds that take turns."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from bench import processes
from bench.host import Cores, cores
from bench.tables import Sheet, percentile
from bench.traffic import Traffic

PASSTHROUGH = Path(__file__).parent / "node" / "passthrough.mjs"
WS = Path(__file__).parents[1] / "tests" / "compat" / "node" / "node_modules" / "ws"
OURS, THEIRS, NONE = "duologue relay", "Node `ws`", "no relay"
SETTINGS = """
[upstream]
url = "ws://127.0.0.1:{port}/v1/realtime"
[limits]
sessions = 100_000
sessions_per_user = 100_000
events_per_s = 1e9
events_burst = 1_000_000_000
audio_s_per_minute = 1e9
[ledger]
path = "{folder}/relay.sqlite3"
"""
SESSIONS = 100
FLOODED, WINDOW = 16, 16
"""Connections of the flood, and events that are on their way on each."""
GROWTH = (200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1400)
HELD_MS = 20.0
FEW, MANY = 100, 500
WARM_SECONDS = 0.5
SETTLE_SECONDS = 3.0
ATTEMPTS = 4
"""Another process on one of the cores is enough to fail a step: none is failed by one bad round."""
FULL = 0.93
"""A core that is used so much has nothing left."""
CPU_GOAL, SESSIONS_GOAL = 0.75, 1.4


class Effort(Struct, frozen=True, kw_only=True):
    """How long each part takes."""

    rounds: int
    seconds: float
    growth: tuple[int, ...]
    few: int
    many: int


class Round(Struct, frozen=True, kw_only=True):
    """What a relay did with some traffic. CPU as shares of a core."""

    events_per_s: float
    delays_s: list[float]
    late_p99_s: float
    relay_cpu: float
    load_cpu: float
    missing: int

    @property
    def cpu_us(self) -> float:
        """CPU of the relay for one event."""
        return 1e6 * self.relay_cpu / self.events_per_s if self.events_per_s else float("nan")

    def added_ms(self, share: float, base_s: float = 0.0) -> float:
        """The delay below which a share of the events stays, beyond what they take without a relay."""
        return 1000 * (percentile(self.delays_s, share) - base_s)


class Contender:
    """One relay, its callers and its upstream."""

    def __init__(self, name: str, traffic: Traffic, process: subprocess.Popen[str] | None, url: str) -> None:
        self.name = name
        self.traffic = traffic
        self.url = url
        self._process = process

    @property
    def memory_kib(self) -> int:
        """Private memory of the relay."""
        return processes.private_kib(self._process.pid) if self._process else 0

    def _cpu(self) -> float:
        return processes.precise_cpu_seconds(self._process.pid) if self._process else 0.0

    async def paced(self, sessions: int, seconds: float) -> Round:
        """So many sessions at 50 events a second each way."""
        await self.traffic.connect(self.url, sessions)
        return await self._round(lambda begun: self.traffic.pace(seconds, WARM_SECONDS, begun))

    async def flooded(self, seconds: float, *, down: bool) -> Round:
        """One direction as fast as it goes."""
        await self.traffic.connect(self.url, FLOODED)
        return await self._round(
            lambda begun: self.traffic.flood(seconds, WARM_SECONDS, begun, down=down, window=WINDOW)
        )

    async def _round(self, drive: Callable[[asyncio.Event], Awaitable[None]]) -> Round:
        begun = asyncio.Event()

        async def until_begun() -> tuple[float, float, float]:
            await begun.wait()
            return time.perf_counter(), self._cpu(), time.process_time()

        async with asyncio.TaskGroup() as group:
            start = group.create_task(until_begun(), name="bench-begun")
            await drive(begun)
            begin, relay_cpu, load_cpu = await start
        took, relay_used, load_used = (
            time.perf_counter() - begin,
            self._cpu() - relay_cpu,
            time.process_time() - load_cpu,
        )
        traffic = self.traffic
        events = traffic.events
        missing = await traffic.settle(SETTLE_SECONDS)
        return Round(
            events_per_s=events / took,
            delays_s=traffic.delays_s,
            late_p99_s=percentile(traffic.late_s, 0.99) if traffic.late_s else 0.0,
            relay_cpu=relay_used / took,
            load_cpu=load_used / took,
            missing=missing + traffic.losses,
        )


def run(sheet: Sheet, *, quick: bool) -> None:
    """Print CPU per event, delays, throughput, sessions per core and memory. Needs Linux, two cores, Node and its `ws`."""
    where = cores()
    if where is None or where.shared:
        sheet.say("This part needs Linux with two cores: one for the relay, one for its callers and its upstream.")
        return
    node = shutil.which("node")
    if node is None or not WS.is_dir():
        sheet.say("This part needs Node and what `tools/install_peers.py` installs.")
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {where.callers})
    effort = (
        Effort(rounds=1, seconds=0.5, growth=(50,), few=20, many=60) if quick
        else Effort(rounds=4, seconds=2.0, growth=GROWTH, few=FEW, many=MANY)
    )  # fmt: skip
    try:
        with asyncio.Runner(loop_factory=_loop()) as runner:
            runner.run(_measure(sheet, where, node, effort))
    finally:
        os.sched_setaffinity(0, usable)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _loop() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.new_event_loop


async def _measure(sheet: Sheet, where: Cores, node: str, effort: Effort) -> None:
    with contextlib.ExitStack() as ends:
        folder = ends.enter_context(tempfile.TemporaryDirectory())
        async with Traffic() as ours, Traffic() as theirs, Traffic() as direct:
            contenders = [
                ends.enter_context(_ours(where, ours, Path(folder))),
                ends.enter_context(_theirs(where, theirs, node)),
            ]
            nothing = Contender(NONE, direct, None, _address(direct))
            await _memory(sheet, contenders, effort)
            ratio = await _steady(sheet, contenders, nothing, effort)
            await _flat_out(sheet, contenders, nothing, effort)
            await _growing(sheet, contenders, nothing, effort, ratio)


def _address(traffic: Traffic) -> str:
    return f"ws://127.0.0.1:{traffic.upstream_port}/v1/realtime"


@contextlib.contextmanager
def _ours(where: Cores, traffic: Traffic, folder: Path) -> Iterator[Contender]:
    settings = folder / "relay.toml"
    settings.write_text(SETTINGS.format(port=traffic.upstream_port, folder=folder))
    command = [sys.executable, "-m", "duologue.cli.main", "relay", "--config", str(settings), "--port", "0"]
    with _running(OURS, where, traffic, command) as contender:
        yield contender


@contextlib.contextmanager
def _theirs(where: Cores, traffic: Traffic, node: str) -> Iterator[Contender]:
    command = [node, str(PASSTHROUGH), _address(traffic), "0"]
    with _running(THEIRS, where, traffic, command) as contender:
        yield contender


@contextlib.contextmanager
def _running(name: str, where: Cores, traffic: Traffic, command: list[str]) -> Iterator[Contender]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line a call
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {where.server}),
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r"ws://\S+", line)
        if not found:
            raise SystemExit(f"bench: {name} did not start: {line!r}")
        yield Contender(name, traffic, process, found[0])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _memory(sheet: Sheet, contenders: list[Contender], effort: Effort) -> None:
    rows: list[list[object]] = []
    for contender in contenders:
        sizes = []
        for count in (effort.few, effort.many):
            await contender.traffic.connect(contender.url, count)
            await asyncio.sleep(1)
            sizes.append(contender.memory_kib)
        few, many = sizes
        each = (many - few) / (effort.many - effort.few)
        rows.append([contender.name, f"{few / 1024:.0f}", f"{many / 1024:.0f}", f"{each:.1f}"])
        await contender.traffic.disconnect()
    sheet.table(["idle calls", f"MiB with {effort.few}", f"with {effort.many}", "KiB each"], rows)


async def _in_turns(
    contenders: list[Contender], rounds: int, work: Callable[[Contender], Awaitable[Round]]
) -> dict[str, list[Round]]:
    """Every contender once a round, the first one of a round being the last one of the next."""
    found: dict[str, list[Round]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            found[contender.name].append(await work(contender))
    return found


def _together(rounds: list[Round]) -> Round:
    """Rounds as one; they have lasted equally long."""
    count = len(rounds)
    return Round(
        events_per_s=sum(one.events_per_s for one in rounds) / count,
        delays_s=list(itertools.chain.from_iterable(one.delays_s for one in rounds)),
        late_p99_s=max(one.late_p99_s for one in rounds),
        relay_cpu=sum(one.relay_cpu for one in rounds) / count,
        load_cpu=sum(one.load_cpu for one in rounds) / count,
        missing=sum(one.missing for one in rounds),
    )


async def _steady(sheet: Sheet, contenders: list[Contender], nothing: Contender, effort: Effort) -> float:
    found = await _in_turns(
        [*contenders, nothing], effort.rounds, lambda contender: contender.paced(SESSIONS, effort.seconds)
    )
    whole = {name: _together(rounds) for name, rounds in found.items()}
    base_s = percentile(whole[NONE].delays_s, 0.5)
    rows: list[list[object]] = []
    for name, one in whole.items():
        relay = name != NONE
        rows.append([
            name, f"{one.events_per_s:.0f}",
            f"{100 * one.relay_cpu:.1f}" if relay else "-", f"{one.cpu_us:.1f}" if relay else "-",
            *(f"{one.added_ms(share, base_s if relay else 0.0):.3f}" for share in (0.5, 0.99)),
            f"{100 * one.load_cpu:.0f}", one.missing,
        ])  # fmt: skip
    sheet.table(
        [f"{SESSIONS} sessions, 50 events/s each way", "events/s", "relay CPU %", "CPU µs/event", "added p50 ms",
         "p99 ms", "callers' CPU %", "lost"],
        rows,
    )  # fmt: skip
    ratio = whole[OURS].cpu_us / whole[THEIRS].cpu_us
    spread = sorted(a.cpu_us / b.cpu_us for a, b in zip(found[OURS], found[THEIRS], strict=True))
    sheet.say(
        f"CPU per event, {OURS} to {THEIRS}: **{ratio:.2f}** (rounds {spread[0]:.2f} to {spread[-1]:.2f}; goal at most "
        f"{CPU_GOAL}). The row without a relay shows delays themselves, the others what a relay adds to its p50."
    )
    for contender in (*contenders, nothing):
        await contender.traffic.disconnect()
    return ratio


async def _flat_out(sheet: Sheet, contenders: list[Contender], nothing: Contender, effort: Effort) -> None:
    rows: list[list[object]] = []
    for down in (False, True):
        flood = partial(Contender.flooded, seconds=effort.seconds, down=down)
        found = await _in_turns([*contenders, nothing], effort.rounds, flood)
        for name, one in ((name, _together(rounds)) for name, rounds in found.items()):
            relay = name != NONE
            rows.append([
                f"{'down, 8.7 kB' if down else 'up, 1.3 kB'}: {name}", f"{one.events_per_s:.0f}",
                f"{100 * one.relay_cpu:.0f}" if relay else "-", f"{100 * one.load_cpu:.0f}",
                f"{one.events_per_s / one.relay_cpu:.0f}" if relay and one.relay_cpu else "-",
                _limit(one, relay), one.missing,
            ])  # fmt: skip
    sheet.table(
        ["flat out", "events/s", "relay CPU %", "callers' CPU %", "events per CPU second", "full first", "lost"], rows
    )
    for contender in (*contenders, nothing):
        await contender.traffic.disconnect()


def _limit(one: Round, relay: bool) -> str:
    """Which core was full."""
    if relay and one.relay_cpu >= FULL:
        return "both" if one.load_cpu >= FULL else "relay"
    return "callers" if one.load_cpu >= FULL else "neither"


async def _growing(
    sheet: Sheet, contenders: list[Contender], nothing: Contender, effort: Effort, cpu_ratio: float
) -> None:
    held, limits = dict.fromkeys((OURS, THEIRS, NONE), 0), dict.fromkeys((OURS, THEIRS, NONE), "none reached")
    running = [*contenders, nothing]
    rows: list[list[object]] = []
    for sessions in effort.growth:
        for contender in tuple(running):
            for _ in range(ATTEMPTS):
                one = await contender.paced(sessions, effort.seconds)
                if _holds(one, sessions):
                    break
            rows.append([
                contender.name, sessions, f"{one.added_ms(0.5):.2f}", f"{one.added_ms(0.99):.1f}",
                f"{100 * one.relay_cpu:.0f}", f"{100 * one.load_cpu:.0f}", f"{1000 * one.late_p99_s:.1f}", one.missing,
            ])  # fmt: skip
            if _holds(one, sessions):
                held[contender.name] = sessions
            else:
                limits[contender.name] = f"{_limit(one, contender is not nothing)} full at {sessions}"
                running.remove(contender)
                await contender.traffic.disconnect()
    sheet.table(
        ["sessions", "number", "p50 ms", "p99 ms", "relay CPU %", "callers' CPU %", "callers late p99 ms", "lost"], rows
    )
    factor = held[OURS] / held[THEIRS] if held[THEIRS] else float("nan")
    told = "; ".join(f"{name} {count} ({limits[name]})" for name, count in held.items())
    sheet.say(
        f"Sessions held on one core with a p99 below {HELD_MS:g} ms: {told}. Ratio **{factor:.2f}** (goal at least "
        f"{SESSIONS_GOAL}); by CPU per event it would be {1 / cpu_ratio:.2f}."
    )


def _holds(one: Round, sessions: int) -> bool:
    return one.added_ms(0.99) <= HELD_MS and not one.missing and one.events_per_s >= 0.98 * sessions * 100
