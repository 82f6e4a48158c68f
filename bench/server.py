"""What a session costs `duologue serve` on one core, and how long its callers wait for an answer."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import fmean, median

import msgspec
from msgspec import Struct

from bench import processes
from bench.callers import Plan, Result, Turn, same_words
from bench.tables import percentile, table

SILENCE_MS = 500
GOAL_MS = 150
RIGHT_SHARE = 0.9
LATE_MS = 40
"""Two frames: callers that are later than that at p99 need a core that nobody else uses."""
IDLE_SESSIONS = 30
ENOUGH_TURNS = 20
"""A round with fewer turns is shown and ends nothing: its percentiles are single turns."""
BUDGET_SECONDS = 210
TAIL_SECONDS = 8
SEED = 20261121


class Step(Struct):
    """One round of callers and what it cost."""

    callers: int
    seconds: float
    result: Result
    server_cpu: float
    worker_cpu: float
    others_cpu: float
    """Shares of one core: the server's process, its workers, and whatever else ran on that core."""
    memory_mib: float
    """Private memory of the server's process shortly before the end."""

    @property
    def cpu(self) -> float:
        return self.server_cpu + self.worker_cpu


class Server:
    """`duologue serve` in a process of its own, bound to one core with all its workers."""

    def __init__(self, core: int) -> None:
        self._core = core
        begin = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "duologue.cli.main", "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        self.pid = self._process.pid
        assert self._process.stdout
        line = self._process.stdout.readline()
        found = re.search(r"ws://\S+", line)
        if not found:
            raise SystemExit(f"bench: the server did not start: {line!r}")
        self.url = f"{found[0]}?model=embedded"
        self.start_seconds = time.monotonic() - begin

    def measure(self, callers: int, seconds: float, *, core: int, talk: bool = True) -> Step:
        """Let callers talk (or only listen) for a while."""
        plan = Plan(
            url=self.url,
            callers=callers,
            seconds=seconds,
            silence_ms=SILENCE_MS,
            seed=SEED + callers,
            talk=talk,
            core=core,
        )
        with subprocess.Popen(
            [sys.executable, "-m", "bench.callers"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as generator:
            assert generator.stdin
            assert generator.stdout
            generator.stdin.write(msgspec.json.encode(plan) + b"\n")
            generator.stdin.close()
            lines = iter(generator.stdout.readline, b"")
            _expect(lines, b"begin")
            before, busy, begin = self._cpu(), processes.core_seconds(self._core), time.monotonic()
            time.sleep(0.9 * seconds)
            memory_mib, _ = self.memory_mib()
            _expect(lines, b"end")
            after, busy_after, took = self._cpu(), processes.core_seconds(self._core), time.monotonic() - begin
            result = msgspec.json.decode(next(lines), type=Result)
        used = {pid: (after[pid] - before.get(pid, 0)) / took for pid in after}
        own = used.pop(self.pid)
        others = (busy_after - busy) / took - own - sum(used.values())
        return Step(
            callers=callers,
            seconds=took,
            result=result,
            server_cpu=own,
            worker_cpu=sum(used.values()),
            others_cpu=max(0.0, others),
            memory_mib=memory_mib,
        )

    def _cpu(self) -> dict[int, float]:
        return processes.cpu_seconds(processes.family(self.pid))

    def memory_mib(self) -> tuple[float, float]:
        """Private memory of the server's process and of its workers."""
        own, *workers = (processes.private_kib(pid) / 1024 for pid in processes.family(self.pid))
        return own, sum(workers)

    def stop(self) -> None:
        """Ask it to stop and see that it does."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            print("  the server did not stop when asked to")


def _expect(lines: Iterator[bytes], word: bytes) -> None:
    line = next(lines, b"")
    if line.strip() != word:
        raise SystemExit(f"bench: the callers failed before {word.decode()!r}")


@contextlib.contextmanager
def _serving(core: int) -> Iterator[Server]:
    server = Server(core)
    try:
        yield server
    finally:
        server.stop()


def run(*, quick: bool) -> None:
    """Print cost and latency, and at how many callers which rule stopped the ramp. Linux only."""
    if not processes.available():
        print("  needs Linux: /proc and binding to a core")
        return
    cores = sorted(os.sched_getaffinity(0))
    core, callers_core = cores[-1], cores[0]
    begin = time.monotonic()
    print(f"  {processes.cpu_model()}; server and workers on core {core}, callers on core {callers_core}")
    if core == callers_core:
        print("  only one core: the callers take from what the server has")
    with _serving(core) as server:
        _cost(server, callers_core, quick=quick)
        steps: list[Step] = []
        server.measure(1, 1, core=callers_core)  # the first turn loads what is loaded once
        for callers, seconds in ((2, 4), (5, 6)) if quick else _ramp():
            if not quick and time.monotonic() - begin + seconds + TAIL_SECONDS > BUDGET_SECONDS:
                reason = f"{BUDGET_SECONDS} s were over"
                break
            steps.append(server.measure(callers, seconds, core=callers_core))
            if reason := broken_rule(steps[-1]):
                break
        else:
            reason = "no rule was broken"
        _latency(steps)
        _price(steps)
        _verdict(steps, reason)


def _ramp() -> Iterator[tuple[int, float]]:
    yield 1, 20
    yield 5, 40
    yield from ((callers, 20) for callers in range(10, 201, 5))


def _cost(server: Server, callers_core: int, *, quick: bool) -> None:
    own, workers = server.memory_mib()
    idle = IDLE_SESSIONS // 3 if quick else IDLE_SESSIONS
    step = server.measure(idle, 3 if quick else 10, core=callers_core, talk=False)
    print(
        f"  ready after {server.start_seconds:.1f} s; {own:.0f} MiB and workers {workers:.0f} MiB before the first call"
    )
    print(
        f"  listening: {100 * step.cpu / idle:.2f} % of a core a session ({idle} sessions of silence, 50 frames/s each;"
    )
    print(
        f"  ping p99 {percentile(step.result.ping_ms, 0.99):.1f} ms, others on that core {100 * step.others_cpu:.0f} %)"
    )
    print(f"  memory: {1024 * (step.memory_mib - own) / idle:.0f} KiB a listening session")


def waits(turns: list[Turn], field: str) -> list[float]:
    """Times in ms beyond the configured silence, infinite for what never came."""
    values = [getattr(turn, field) for turn in turns]
    return [math.inf if value is None else value - SILENCE_MS for value in values]


def broken_rule(step: Step) -> str:
    """Which of the rules that end the ramp a step has broken; empty if none."""
    turns, who = step.result.turns, f"{step.callers} callers"
    if not turns:
        return f"{who}: no turn came to its end"
    if step.result.errors:
        return f"{who}: {step.result.errors[0]}"
    if len(turns) < ENOUGH_TURNS:
        return ""
    if (late := percentile(step.result.late_ms, 0.99)) > LATE_MS:
        return f"{who} were late themselves (p99 {late:.0f} ms): this says nothing about the server"
    if (right := right_share(turns)) < RIGHT_SHARE:
        return f"{who}: only {100 * right:.0f} % of the transcripts were right"
    if (p95 := percentile(waits(turns, "answer_ms"), 0.95)) > GOAL_MS:
        return f"{who}: p95 {p95:.0f} ms beyond the silence, more than {GOAL_MS} ms"
    return ""


def right_share(turns: list[Turn]) -> float:
    """How many of the transcripts were right, word for word."""
    return fmean(same_words(turn.said, turn.heard) for turn in turns) if turns else math.nan


def _latency(steps: list[Step]) -> None:
    print(f"\n  ms after the last voiced sample was sent, beyond silence_duration_ms = {SILENCE_MS}:")
    rows: list[list[object]] = []
    for step in steps:
        turns = step.result.turns
        spoken, calls = [turn for turn in turns if not turn.tool], [turn for turn in turns if turn.tool]
        for name, group, field in (
            ("speech_stopped", turns, "stopped_ms"),
            ("transcript", turns, "transcript_ms"),
            ("first audio", spoken, "answer_ms"),
            ("tool call", calls, "answer_ms"),
            ("either, a session's first turn", [turn for turn in turns if turn.first], "answer_ms"),
            ("either, later turns", [turn for turn in turns if not turn.first], "answer_ms"),
        ):
            values = waits(group, field)
            if values:
                rows.append([f"{step.callers} callers: {name}", len(values), *_spread(values)])
    table(["", "turns", "p50", "p95", "p99"], rows)


def _spread(values: list[float]) -> list[str]:
    return [f"{percentile(values, share):.0f}" for share in (0.5, 0.95, 0.99)]


def _price(steps: list[Step]) -> None:
    rows: list[list[object]] = []
    for step in steps:
        turns, result = step.result.turns, step.result
        rows.append(
            [
                step.callers,
                f"{60 * len(turns) / step.seconds / step.callers:.0f}",
                f"{100 * step.server_cpu / step.callers:.2f}",
                f"{100 * step.worker_cpu / step.callers:.2f}",
                f"{100 * step.cpu:.0f}",
                f"{100 * step.others_cpu:.0f}",
                f"{percentile(result.ping_ms, 0.99):.1f}",
                f"{percentile(result.late_ms, 0.99):.1f}",
                f"{100 * right_share(turns):.0f}",
                result.unasked,
                len(result.errors),
            ]
        )
    print("\n  CPU in % of a core, a conversing session (server, workers), in all, and others on that core:")
    header = [
        "callers",
        "turns/min",
        "server",
        "workers",
        "all",
        "others",
        "ping p99",
        "callers late p99",
        "right %",
        "unasked",
        "errors",
    ]
    table(header, rows)
    for error in dict.fromkeys(error for step in steps for error in step.result.errors):
        print(f"  error: {error}")
    missed = {(t.said, t.heard) for step in steps for t in step.result.turns if not same_words(t.said, t.heard)}
    for said, heard in sorted(missed, key=str):
        print(f"  misheard: {said!r} as {heard!r}")


def _verdict(steps: list[Step], reason: str) -> None:
    judged = [step for step in steps if len(step.result.turns) >= ENOUGH_TURNS]
    held = [step.callers for step in judged if not broken_rule(step)]
    most = str(held[-1]) if held else "none" if judged else f"not known (no round had {ENOUGH_TURNS} turns)"
    share = median(step.cpu / step.callers for step in steps)
    print(f"\n  sessions held on one core: {most} (by CPU alone {1 / share:.0f}); stopped because: {reason}")
