"""The relay under its default policy, next to others, in rounds that take turns: a relay in Node's `ws` that looks at
nothing, the one of the console of 2024, and nginx as a proxy that knows nothing but TCP."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import shutil
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from msgspec import Struct

from bench import relays
from bench.host import Cores, cores
from bench.relays import BARE, CONSOLES, FORGETFUL, NONE, OURS, THEIRS, Contender, Round
from bench.tables import Sheet, percentile
from bench.traffic import Traffic, of_2024, today

SESSIONS = 100
GROWTH = (200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1400)
SLOW_GROWTH = (5, 10, 25, 50, 75, 100, 125, 150, 175, 200, 250, 300, 400)
"""Of the relay of 2024, which is full before the others' first step."""
HELD_MS = 20.0
FEW, MANY = 100, 500
ATTEMPTS, PATIENCE = 4, 12
"""None is failed by one bad round; and by none of those in which others were busy, while patience lasts."""
DISTURBED = 0.1
"""Of a core, taken by others."""
BACK = 2
"""Steps below what was held before, where another pass begins."""
FULL = 0.93
"""A core that is used so much has nothing left."""
CPU_GOAL = 0.75
SESSIONS_GOALS = {THEIRS: 1.4, CONSOLES: 6.0, BARE: 0.8}


class Effort(Struct, frozen=True, kw_only=True):
    """How long each part takes."""

    rounds: int
    seconds: float
    growth: tuple[int, ...]
    slow_growth: tuple[int, ...]
    few: int
    many: int
    passes: int


class Field(Struct, frozen=True, kw_only=True):
    """Who is measured. The two that everything is measured with, others beside them, and nobody between.

    `console` holds sessions and no more: with a hundred of them it would be busy in the rounds of the others as well.
    """

    main: list[Contender]
    console: Contender
    others: list[Contender]
    nothing: Contender

    @property
    def steady(self) -> list[Contender]:
        return [*self.main, *self.others, self.nothing]

    @property
    def whole(self) -> list[Contender]:
        return [*self.main, self.console, *self.others, self.nothing]


def run(sheet: Sheet, *, quick: bool) -> None:
    """Print CPU per event, delays, throughput, sessions per core and memory. Needs Linux, two cores, Node and its `ws`."""
    where = cores()
    if where is None or where.shared:
        sheet.say("This part needs Linux with two cores: one for the relay, one for its callers and its upstream.")
        return
    node = shutil.which("node")
    if node is None or not relays.PEERS.is_dir():
        sheet.say("This part needs Node and what `tools/install_peers.py` installs.")
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {where.callers})
    effort = (
        Effort(rounds=1, seconds=0.5, growth=(50,), slow_growth=(5,), few=20, many=60, passes=1) if quick
        else Effort(rounds=4, seconds=2.0, growth=GROWTH, slow_growth=SLOW_GROWTH, few=FEW, many=MANY, passes=3)
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
    async with contextlib.AsyncExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        upstreams = (today, today, of_2024, today, today, today)
        loads = [await ends.enter_async_context(Traffic(upstream)) for upstream in upstreams]
        main = [
            ends.enter_context(relays.ours(where, loads[0], folder)),
            ends.enter_context(relays.in_node(THEIRS, "passthrough.mjs", where, loads[1], node)),
        ]
        console, forgetful = (
            ends.enter_context(relays.in_node(name, "console_relay.mjs", where, load, node))
            for name, load in ((CONSOLES, loads[2]), (FORGETFUL, loads[3]))
        )
        others = [forgetful]
        if relays.stream_module():
            others.append(ends.enter_context(relays.bare(where, loads[4], folder)))
        else:
            sheet.say("There is no bare TCP proxy in these tables: nginx or its module `stream` is missing.")
        nothing = Contender(NONE, where, loads[5], None, relays.address(loads[5]))
        field = Field(main=main, console=console, others=others, nothing=nothing)
        await _memory(sheet, main, effort)
        ratio = await _steady(sheet, field, effort)
        await _flat_out(sheet, main, nothing, effort)
        await _growing(sheet, field, effort, ratio)


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
        others_cpu=sum(one.others_cpu for one in rounds) / count,
        missing=sum(one.missing for one in rounds),
    )


async def _steady(sheet: Sheet, field: Field, effort: Effort) -> float:
    """What the same load costs each. Returns our CPU per event as a share of the pass-through's."""
    found = await _in_turns(field.steady, effort.rounds, lambda contender: contender.paced(SESSIONS, effort.seconds))
    whole = {name: _together(rounds) for name, rounds in found.items()}
    base_s = percentile(whole[NONE].delays_s, 0.5)
    rows: list[list[object]] = []
    for name, one in whole.items():
        relay = name != NONE
        rows.append([
            name, f"{one.events_per_s:.0f}",
            f"{100 * one.relay_cpu:.1f}" if relay else "-", f"{one.cpu_us:.1f}" if relay else "-",
            *(f"{one.added_ms(share, base_s if relay else 0.0):.3f}" for share in (0.5, 0.99)),
            f"{100 * one.load_cpu:.0f}", f"{100 * one.others_cpu:.0f}", one.missing,
        ])  # fmt: skip
    sheet.table(
        [f"{SESSIONS} sessions, 50 events/s each way", "events/s", "relay CPU %", "CPU µs/event", "added p50 ms",
         "p99 ms", "callers' CPU %", "others' %", "lost"],
        rows,
    )  # fmt: skip
    ratio = whole[OURS].cpu_us / whole[THEIRS].cpu_us
    spread = sorted(a.cpu_us / b.cpu_us for a, b in zip(found[OURS], found[THEIRS], strict=True))
    tail = whole[OURS].added_ms(0.99, base_s) / whole[THEIRS].added_ms(0.99, base_s)
    others = "".join(f", to {one.name} {whole[OURS].cpu_us / whole[one.name].cpu_us:.2f}" for one in field.others)
    sheet.say(
        f"CPU per event, {OURS} to {THEIRS}: **{ratio:.2f}** (rounds {spread[0]:.2f} to {spread[-1]:.2f}; goal at most "
        f"{CPU_GOAL}){others}. Added p99, to {THEIRS}: **{tail:.2f}** (goal at most 1). The row without a relay shows "
        "delays themselves, the others what a relay adds to its p50."
    )
    for contender in field.steady:
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


class Climb(Struct):
    """How many sessions one contender held in one pass, and what ended it. `rows`: the last step that held, and the next."""

    name: str
    steps: tuple[int, ...]
    held: int = 0
    limit: str = "none reached"
    rows: list[list[object]] = []

    def take(self, sessions: int, one: Round, *, alone: bool) -> bool:
        """Take a step's round in; True if there may be another step."""
        row: list[object] = [
            self.name, sessions, f"{one.added_ms(0.5):.2f}", f"{one.added_ms(0.99):.1f}",
            f"{100 * one.relay_cpu:.0f}", f"{100 * one.load_cpu:.0f}", f"{100 * one.others_cpu:.0f}",
            f"{1000 * one.late_p99_s:.1f}", one.missing,
        ]  # fmt: skip
        if _holds(one, sessions):
            self.held, self.rows = sessions, [row]
            return sessions != self.steps[-1]
        full = "disturbed" if one.others_cpu > DISTURBED else f"{_limit(one, not alone)} full"
        self.limit = f"{full} at {sessions}"
        self.rows = [*self.rows, row]
        return False


async def _growing(sheet: Sheet, field: Field, effort: Effort, cpu_ratio: float) -> None:
    passes: list[dict[str, Climb]] = []
    for _ in range(effort.passes):
        climbs = {one.name: Climb(name=one.name, steps=_steps(one.name, effort, passes)) for one in field.whole}
        await _climb(field, climbs, effort.seconds)
        passes.append(climbs)
    sheet.table(
        ["sessions", "number", "p50 ms", "p99 ms", "relay CPU %", "callers' CPU %", "others' %", "callers late p99 ms",
         "lost"],
        [row for one in field.whole for climbs in passes for row in climbs[one.name].rows],
    )  # fmt: skip
    held = {one.name: statistics.median_low(climbs[one.name].held for climbs in passes) for one in field.whole}
    told = "; ".join(
        f"{name} {count} ({', '.join(f'{climbs[name].held}: {climbs[name].limit}' for climbs in passes)})"
        for name, count in held.items()
    )
    ratios = (
        f"to {name} **{held[OURS] / held[name]:.2f}** (goal at least {goal})"
        for name, goal in SESSIONS_GOALS.items()
        if held.get(name)
    )
    sheet.say(
        f"Sessions held on one core with a p99 below {HELD_MS:g} ms, the median of {len(passes)} passes: {told}. Ratio of "
        f"{OURS} {', '.join(ratios)}; by CPU per event it would be {1 / cpu_ratio:.2f} to {THEIRS}."
    )


def _steps(name: str, effort: Effort, passes: list[dict[str, Climb]]) -> tuple[int, ...]:
    """The first pass begins at the bottom, the others two steps below what was held then."""
    steps = effort.slow_growth if name in (CONSOLES, FORGETFUL) else effort.growth
    first = passes[0][name].held if passes else 0
    return steps[max(0, steps.index(first) - BACK) :] if first else steps


async def _climb(field: Field, climbs: dict[str, Climb], seconds: float) -> None:
    running = field.whole
    for number in itertools.count():
        for contender in tuple(running):
            climb = climbs[contender.name]
            sessions = climb.steps[number]
            one = await _tried(contender, sessions, seconds)
            if not climb.take(sessions, one, alone=contender is field.nothing):
                running.remove(contender)
                await contender.traffic.disconnect()
        if not running:
            return


async def _tried(contender: Contender, sessions: int, seconds: float) -> Round:
    """The first round that holds, or the last one that did not."""
    failures = 0
    for _ in range(PATIENCE):
        one = await contender.paced(sessions, seconds)
        failures += one.others_cpu <= DISTURBED
        if _holds(one, sessions) or failures == ATTEMPTS:
            break
    return one


def _holds(one: Round, sessions: int) -> bool:
    return one.added_ms(0.99) <= HELD_MS and not one.missing and one.events_per_s >= 0.98 * sessions * 100
