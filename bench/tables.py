"""Medians, percentiles and a plain table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0-1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def interleaved(candidates: dict[str, Callable[[], None]], *, rounds: int, calls: int) -> dict[str, float]:
    """CPU µs per call of each candidate: the median of rounds that take turns, so that drift hits all alike."""
    costs: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, work in candidates.items():
            begin = time.process_time_ns()
            for _ in range(calls):
                work()
            costs[name].append((time.process_time_ns() - begin) / calls / 1000)
    return {name: median(values) for name, values in costs.items()}


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a header, columns aligned."""
    shown = [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in shown) for i in range(len(header))]
    for row in shown:
        print(
            "  "
            + "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
        )
