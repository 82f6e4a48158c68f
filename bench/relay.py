"""The relay under its default policy, next to others, in rounds that take turns: a relay in Node's `ws` that looks at
nothing, the one of the console of 2024, and nginx as a proxy that knows nothing but TCP."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from msgspec import Struct

from bench import relays
from bench.host import Cores, cores
from bench.relays import BARE, CONSOLES, NONE, OURS, THEIRS, Contender, Round
from bench.tables import Sheet, percentile
from bench.traffic import Traffic

SESSIONS = 100
GROWTH = (200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1400)
SLOW_GROWTH = (50, 75, 100, 125, 150, 175, 200, 250, 300, 400)
"""Of the console's relay, which is full before the others' first step."""
HELD_MS = 20.0
FEW, MANY = 100, 500
ATTEMPTS, PATIENCE = 4, 12
"""None is failed by one bad round; and by none of those in which others were busy, while patience lasts."""
DISTURBED = 0.1
"""Of a core, taken by others."""
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


class Field(Struct, frozen=True, kw_only=True):
    """Who is measured. The two that everything is measured with, those that only hold sessions, and nobody between."""

    main: list[Contender]
    others: list[Contender]
    nothing: Contender

    @property
    def whole(self) -> list[Contender]:
        return [*self.main, *self.others, self.nothing]


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
        Effort(rounds=1, seconds=0.5, growth=(50,), slow_growth=(25,), few=20, many=60) if quick
        else Effort(rounds=4, seconds=2.0, growth=GROWTH, slow_growth=SLOW_GROWTH, few=FEW, many=MANY)
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
        loads = [await ends.enter_async_context(Traffic()) for _ in range(5)]
        main = [
            ends.enter_context(relays.ours(where, loads[0], folder)),
            ends.enter_context(relays.in_node(THEIRS, "passthrough.mjs", where, loads[1], node)),
        ]
        others = [ends.enter_context(relays.in_node(CONSOLES, "console_relay.mjs", where, loads[2], node))]
        if relays.stream_module():
            others.append(ends.enter_context(relays.bare(where, loads[3], folder)))
        else:
            sheet.say("There is no bare TCP proxy in these tables: nginx or its module `stream` is missing.")
        nothing = Contender(NONE, where, loads[4], None, relays.address(loads[4]))
        field = Field(main=main, others=others, nothing=nothing)
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
    found = await _in_turns(field.whole, effort.rounds, lambda contender: contender.paced(SESSIONS, effort.seconds))
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
    for contender in field.whole:
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


async def _growing(sheet: Sheet, field: Field, effort: Effort, cpu_ratio: float) -> None:
    steps = {one.name: effort.slow_growth if one.name == CONSOLES else effort.growth for one in field.whole}
    held, limits = dict.fromkeys(steps, 0), dict.fromkeys(steps, "none reached")
    running = field.whole
    rows: list[list[object]] = []
    for number in range(max(map(len, steps.values()))):
        for contender in [one for one in running if number < len(steps[one.name])]:
            sessions = steps[contender.name][number]
            one = await _tried(contender, sessions, effort.seconds)
            rows.append([
                contender.name, sessions, f"{one.added_ms(0.5):.2f}", f"{one.added_ms(0.99):.1f}",
                f"{100 * one.relay_cpu:.0f}", f"{100 * one.load_cpu:.0f}", f"{100 * one.others_cpu:.0f}",
                f"{1000 * one.late_p99_s:.1f}", one.missing,
            ])  # fmt: skip
            if _holds(one, sessions):
                held[contender.name] = sessions
            else:
                full = (
                    "disturbed" if one.others_cpu > DISTURBED else f"{_limit(one, contender is not field.nothing)} full"
                )
                limits[contender.name] = f"{full} at {sessions}"
                running.remove(contender)
                await contender.traffic.disconnect()
    sheet.table(
        ["sessions", "number", "p50 ms", "p99 ms", "relay CPU %", "callers' CPU %", "others' %", "callers late p99 ms",
         "lost"],
        rows,
    )  # fmt: skip
    told = "; ".join(f"{name} {count} ({limits[name]})" for name, count in held.items())
    ratios = (
        f"to {name} **{held[OURS] / held[name]:.2f}** (goal at least {goal})"
        for name, goal in SESSIONS_GOALS.items()
        if held.get(name)
    )
    sheet.say(
        f"Sessions held on one core with a p99 below {HELD_MS:g} ms: {told}. Ratio of {OURS} {', '.join(ratios)}; by CPU "
        f"per event it would be {1 / cpu_ratio:.2f} to {THEIRS}."
    )


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
