"""How many sessions one core of `duologue serve` holds, listening and conversing, and how long its callers wait."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from statistics import fmean, median

from bench import processes
from bench.caller import Turn, same_words
from bench.host import SILENCE_MS, Cores, Host, Step, cores, serving
from bench.tables import Sheet, percentile, spread

GOAL_MS = 150
RIGHT_SHARE = 0.9
LATE_MS = 40
"""Two frames: callers that are later than that at p99 need a core that nobody else uses."""
FULL = 0.97
PING_MS = 50
LISTENING_SECONDS = 6
SHARES = (0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
"""Of the number of listening sessions that the first round's cost promises."""
FIRST_LISTENING = 20
CPU_COLUMNS = ("conversing", "turns/min", "server CPU % each", "workers", "in all", "others")
ENOUGH_TURNS = 20
"""A round with fewer turns is shown and ends nothing: its percentiles are single turns."""
BUDGET_SECONDS = 240
TAIL_SECONDS = 8


def run(sheet: Sheet, *, quick: bool) -> None:
    """Ramps of listening and of conversing sessions, and which rule stopped them. Linux only."""
    where = cores()
    if where is None:
        sheet.say("This part needs Linux: /proc and binding to a core.")
        return
    with serving(where) as host:
        own, workers = host.memory_mib()
        alone = ", only one core: the callers take from what the server has" if where.shared else ""
        sheet.say(
            f"{processes.cpu_model()}; server and workers on one core, callers on another{alone}. Ready after "
            f"{host.start_seconds:.1f} s with {own:.0f} MiB and workers of {workers:.0f} MiB."
        )
        _listening(sheet, host, quick=quick)
        _conversing(sheet, host, where, quick=quick)


# --- listening -----------------------------------------------------------------------------------------------


def _listening(sheet: Sheet, host: Host, *, quick: bool) -> None:
    seconds = 2 if quick else LISTENING_SECONDS
    steps = [host.measure(host.plan(FIRST_LISTENING, seconds, doing="listen"))]
    reason = deaf(steps[0])
    promise = FIRST_LISTENING / steps[0].cpu
    for share in () if quick else SHARES:
        if reason:
            break
        steps.append(host.measure(host.plan(max(1, round(share * promise)), seconds, doing="listen")))
        reason = deaf(steps[-1])
    rows: list[list[object]] = [
        [
            step.callers,
            f"{100 * step.cpu / step.callers:.2f}",
            f"{100 * step.cpu:.0f}",
            f"{100 * step.others_cpu:.0f}",
            *spread(step.result.ping_ms, 1),
            f"{percentile(step.result.late_ms, 0.99):.1f}",
        ]
        for step in steps
    ]
    sheet.table(
        ["listening", "CPU % each", "in all", "others", "ping p50", "p95", "p99 ms", "callers late p99 ms"], rows
    )
    held = [step.callers for step in steps if not deaf(step)]
    most = str(max(held)) if held else "none"
    sheet.say(f"Listening sessions held on one core: **{most}**; stopped because: {reason or 'no rule was broken'}.")


def deaf(step: Step) -> str:
    """Which of the rules for listening sessions a step has broken; empty if none."""
    who = f"{step.callers} sessions"
    if step.result.errors:
        return f"{who}: {step.result.errors[0]}"
    if (late := percentile(step.result.late_ms, 0.99)) > LATE_MS:
        return f"{who} were late themselves (p99 {late:.0f} ms): this says nothing about the server"
    if step.cpu + step.others_cpu > FULL:
        return f"{who}: the core is full"
    if (p95 := percentile(step.result.ping_ms, 0.95)) > PING_MS:
        return f"{who}: p95 of a ping {p95:.0f} ms, more than {PING_MS} ms"
    return ""


# --- conversing ----------------------------------------------------------------------------------------------


def _conversing(sheet: Sheet, host: Host, where: Cores, *, quick: bool) -> None:
    begin, steps, reason = time.monotonic(), list[Step](), "no rule was broken"
    host.measure(host.plan(1, 1))  # the first turn loads what is loaded once
    rounds = iter([(2, 4), (5, 6)]) if quick else _ramp(steps)
    for callers, seconds in rounds:
        if not quick and time.monotonic() - begin + seconds + TAIL_SECONDS > BUDGET_SECONDS:
            reason = reason if any(map(broken_rule, steps)) else f"{BUDGET_SECONDS} s were over"
            break
        steps.append(host.measure(host.plan(callers, seconds)))
        reason = broken_rule(steps[-1]) or reason
    steps.sort(key=lambda step: step.callers)
    _latency(sheet, steps)
    _price(sheet, steps)
    judged = [step for step in steps if len(step.result.turns) >= ENOUGH_TURNS]
    held = [step.callers for step in judged if not broken_rule(step)]
    most = str(held[-1]) if held else "none" if judged else f"not known (no round had {ENOUGH_TURNS} turns)"
    share = median(step.cpu / step.callers for step in steps)
    broken = [found for step in steps if (found := broken_rule(step))]
    sheet.say(
        f"Conversing sessions held on one core: **{most}** (by CPU alone {1 / share:.0f}); stopped because: "
        f"{broken[0] if broken else reason}."
    )


def _ramp(steps: list[Step]) -> Iterator[tuple[int, float]]:
    """Up in fives until a rule is broken, then halves of the gap."""
    yield 1, 20
    yield 5, 40
    callers = 10
    while not broken_rule(steps[-1]):
        yield callers, 20
        callers += 5
    low, high = max((s.callers for s in steps if not broken_rule(s)), default=0), steps[-1].callers
    while high - low > 1:
        middle = (low + high) // 2
        yield middle, 30
        low, high = (low, middle) if broken_rule(steps[-1]) else (middle, high)


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


def _latency(sheet: Sheet, steps: list[Step]) -> None:
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
            if values := waits(group, field):
                rows.append([f"{step.callers} callers: {name}", len(values), *spread(values)])
    sheet.table([f"ms beyond the silence of {SILENCE_MS} ms", "turns", "p50", "p95", "p99"], rows)


def _price(sheet: Sheet, steps: list[Step]) -> None:
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
                *spread(result.ping_ms, 1),
                f"{percentile(result.late_ms, 0.99):.1f}",
                f"{100 * right_share(turns):.0f}",
                len(result.errors) + result.unasked,
            ]
        )
    sheet.table(
        [*CPU_COLUMNS, "ping p50", "p95", "p99 ms", "callers late p99 ms", "right %", "errors"],
        rows,
    )
    for error in dict.fromkeys(error for step in steps for error in step.result.errors):
        print(f"error: {error}")
    missed = {(t.said, t.heard) for step in steps for t in step.result.turns if not same_words(t.said, t.heard)}
    for said, heard in sorted(missed, key=str):
        print(f"misheard: {said!r} as {heard!r}")
