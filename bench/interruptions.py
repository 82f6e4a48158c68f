"""Barge-in: from the moment the detector can know that somebody talks to the last byte of the answer talked over."""

from __future__ import annotations

from bench.host import Step, cores, serving
from bench.tables import Sheet, spread

PACE = 8
"""Tokens a second: the answer (up to twenty) is still being written when it is interrupted."""
SECONDS = 60
SLOW_BYTES_S = 128_000
"""Twice what PCM takes as base64."""
TALKERS = 3


def run(sheet: Sheet, *, quick: bool) -> None:
    """Interruptions alone, beside listening sessions, and beside conversations. Linux only."""
    where = cores()
    if where is None:
        sheet.say("This part needs Linux: /proc and binding to a core.")
        return
    seconds = 12 if quick else SECONDS
    with serving(where, "--tokens-per-second", str(PACE)) as host:
        host.measure(host.plan(1, 1))  # what is loaded once
        steps = [
            ("alone", host.measure(host.plan(0, seconds, interrupters=1))),
            (f"and {TALKERS} conversing", host.measure(host.plan(TALKERS, seconds, interrupters=2))),
        ]
        if not quick:
            busy = host.measure(host.plan(2 * TALKERS, seconds, interrupters=2))
            steps.append((f"and {2 * TALKERS} conversing", busy))
    with serving(where) as host:  # the whole answer at once: what waits for the line waits in the server
        slow = host.plan(0, seconds, interrupters=1, slow_bytes_s=SLOW_BYTES_S)
        steps.append(("read at twice the speed of speech", host.measure(slow)))
    rows: list[list[object]] = []
    for name, step in steps:
        rows += _rows(name, step)
    sheet.table(["ms after the frame that tells", "times", "p50", "p95", "p99"], rows)
    cpu = ", ".join(f"{name} {100 * step.cpu:.0f} % (others {100 * step.others_cpu:.0f} %)" for name, step in steps)
    missed = sum(step.result.missed for _, step in steps)
    sheet.say(f"CPU of the core: {cpu}. Answers that were over before they could be cut short: {missed}.")
    for error in dict.fromkeys(error for _, step in steps for error in step.result.errors):
        sheet.say(f"error: {error}")


def _rows(name: str, step: Step) -> list[list[object]]:
    cuts = step.result.interruptions
    if not cuts:
        return [[f"{name}: nothing was interrupted", 0, "-", "-", "-"]]
    return [
        [f"{name}: {what}", len(cuts), *spread([getattr(cut, field) for cut in cuts], 1)]
        for what, field in (
            ("speech_started", "started_ms"),
            ("last byte of sound", "sound_ms"),
            ("response.done, cancelled", "done_ms"),
            ("the same since the voice began", "voice_ms"),
        )
    ]
