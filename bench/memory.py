"""What a session of `duologue serve` holds in memory: connected, listening, and after an hour of talk."""

from __future__ import annotations

from statistics import fmean

from bench.host import Host, cores, generating, serving, told
from bench.tables import Sheet

FEW, MANY = 50, 150
"""A session costs what the hundred further ones do: the first ones live in what starting has left free."""
HOUR_SECONDS = 3_600
QUICK_SECONDS = 240
EVERY_MINUTES = 10
WARM_MINUTES = 20
"""By then the session holds all the sound that it may: the growth after it is what an hour costs."""


def run(sheet: Sheet, *, quick: bool) -> None:
    """Memory of idle and of listening sessions, and of one session by the minute of its audio. Linux only."""
    where = cores()
    if where is None:
        sheet.say("This part needs Linux: /proc and binding to a core.")
        return
    rows: list[list[object]] = []
    for name, doing in (("connected, no sound", "nothing"), ("listening", "listen")):
        with serving(where) as host:
            few, many = (host.measure(host.plan(count, 4, doing=doing)).memory_mib for count in (FEW, MANY))
        rows.append([name, f"{few:.0f}", f"{many:.0f}", f"{1024 * (many - few) / (MANY - FEW):.0f}"])
    sheet.table(["sessions", f"MiB with {FEW}", f"with {MANY}", "KiB each"], rows)
    with serving(where) as host:
        _hour(sheet, host, QUICK_SECONDS if quick else HOUR_SECONDS)


def _hour(sheet: Sheet, host: Host, seconds: int) -> None:
    marks = [(0, *host.memory_mib())]
    with generating(host.plan(1, seconds, doing="hour")) as lines:
        for line in lines:
            if line.strip() == b"end":
                break
            if line.strip().isdigit() and (int(line) >= marks[-1][0] + EVERY_MINUTES or int(line) == seconds // 60):
                marks.append((int(line), *host.memory_mib()))
        result = told(lines)
    rows: list[list[object]] = [[minute, f"{own:.1f}", f"{workers:.1f}"] for minute, own, workers in marks]
    sheet.table(["minutes of audio", "server MiB", "workers MiB"], rows)
    warm = [mark for mark in marks if mark[0] >= WARM_MINUTES]
    if len(warm) > 1:
        own, workers = slope(warm, 1), slope(warm, 2)
        sheet.say(
            f"Growth after {WARM_MINUTES} minutes, per hour of audio: **{own:+.1f} MiB** (workers {workers:+.1f} MiB)."
        )
    for error in dict.fromkeys(result.errors):
        print(f"error: {error}")


def slope(marks: list[tuple[int, float, float]], column: int) -> float:
    """Least squares: growth per hour."""
    hours, values = [mark[0] / 60 for mark in marks], [mark[column] for mark in marks]
    middle, level = fmean(hours), fmean(values)
    spread = sum((hour - middle) ** 2 for hour in hours)
    return sum((h - middle) * (v - level) for h, v in zip(hours, values, strict=True)) / spread
