"""WebRTC: how many calls one core holds without loss, how long a call takes to set up, and how soon it is silent."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import fmean

import msgspec
from msgspec import Struct

from bench import processes
from bench.host import Cores, Host, cores, serving
from bench.rtc_callers import RtcPlan, RtcResult
from bench.tables import Sheet, spread

FULL_RATE = 49.5
"""Packets a second; a call sends 50."""
FULL_CPU = 0.97
STEPS = (10, 20, 30, 40, 60)
SECONDS = 20
TRIES = 2
"""A step that fails is tried once more: a machine that others use too may have had something else to do."""
SETUPS = 30
INTERRUPTIONS = 10


class _Step(Struct, frozen=True, kw_only=True):
    calls: int
    cpu: float
    others: float
    """Shares of the core: the server's process and its workers, and whatever else ran there."""
    result: RtcResult

    @property
    def failing(self) -> str:
        """What was lost; empty where nothing was."""
        lost = self.result.lost + self.result.reported_lost
        if lost:
            return f"{lost} packets lost"
        slow = min(self.result.rates)
        return f"a call at {slow:.1f} packets/s" if slow < FULL_RATE else ""


def run(sheet: Sheet, *, quick: bool) -> None:
    """Setup, interruptions, then ramps of silent and of conversing calls. Linux only."""
    where = cores()
    if where is None:
        sheet.say("This part needs Linux: /proc and binding to a core.")
        return
    with serving(where) as host:
        _setup(sheet, host, where, 5 if quick else SETUPS)
        _interruptions(sheet, host, where, 2 if quick else INTERRUPTIONS)
        for talk in (False, True):
            _ramp(sheet, host, where, STEPS[:1] if quick else STEPS, 4 if quick else SECONDS, talk=talk)


def _setup(sheet: Sheet, host: Host, where: Cores, count: int) -> None:
    first, *rest = _call(host, where, callers=1, calls=count + 1)[0].setup_ms
    rows = [["from nothing to `session.created`", *spread(rest), f"{first:.0f}"]]
    sheet.table(["setup on loopback, ms", "p50", "p95", "p99", "the very first"], rows)


def _interruptions(sheet: Sheet, host: Host, where: Cores, count: int) -> None:
    result, *_ = _call(host, where, callers=1, interruptions=count)
    rows = [
        ["until `output_audio_buffer.cleared`", *spread(result.cleared_ms)],
        ["until the last sound of the answer (earlier where it was between two words)", *spread(result.silence_ms)],
    ]
    sheet.table([f"from the first sound of an interruption, ms, {count} times", "p50", "p95", "p99"], rows)


def _ramp(sheet: Sheet, host: Host, where: Cores, steps: tuple[int, ...], seconds: float, *, talk: bool) -> None:
    done: list[_Step] = []
    for calls in steps:
        for _ in range(TRIES):
            result, cpu, others = _call(host, where, callers=calls, seconds=seconds, talk=talk)
            done.append(_Step(calls=calls, cpu=cpu, others=others, result=result))
            if not done[-1].failing:
                break
        if done[-1].failing or cpu > FULL_CPU:
            break
    rows = [
        [
            step.calls,
            f"{100 * step.cpu:.0f}",
            f"{100 * step.cpu / step.calls:.1f}",
            f"{100 * step.others:.0f}",
            f"{fmean(step.result.rates):.1f}",
            f"{min(step.result.rates):.1f}",
            step.result.lost + step.result.reported_lost,
            f"{100 * step.result.process_seconds:.0f}",
            step.result.turns,
        ]
        for step in done
    ]
    name = "conversing calls" if talk else "listening calls"
    header = [name, "CPU %", "each", "others", "packets/s", "the slowest", "lost", "callers' core %", "answers"]
    sheet.table(header, rows)
    held = [step.calls for step in done if not step.failing]
    why = done[-1].failing or (f"{FULL_CPU:.0%} of the core" if done[-1].cpu > FULL_CPU else "no rule was broken")
    sheet.say(f"Held on one core at 50 packets/s each way without loss: **{max(held, default=0)}**; stopped by: {why}.")


def _call(host: Host, where: Cores, **plan: object) -> tuple[RtcResult, float, float]:
    """Let callers do what is planned; their result, and the shares of the core that the server and others took."""
    wanted = msgspec.convert({"url": host.url, "core": where.callers, **plan}, RtcPlan)
    command = [sys.executable, "-m", "bench.rtc_callers"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as generator:
        assert generator.stdin
        assert generator.stdout
        generator.stdin.write(msgspec.json.encode(wanted) + b"\n")
        generator.stdin.close()
        moments: list[tuple[float, float, float]] = []
        for word in (b"begin", b"end"):
            if generator.stdout.readline().strip() != word:
                raise SystemExit(f"bench: the callers failed before {word.decode()!r}")
            used = processes.cpu_seconds(processes.family(host.pid))
            moments.append((time.monotonic(), sum(used.values()), processes.core_seconds(where.server)))
        result = msgspec.json.decode(generator.stdout.readline(), type=RtcResult)
    took, own, busy = (after - before for before, after in zip(*moments, strict=True))
    return result, own / max(0.001, took), max(0.0, busy - own) / max(0.001, took)
