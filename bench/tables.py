"""Medians, percentiles, and the sheet that figures are written on: Markdown, as in docs/performance.md."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

DOC = Path(__file__).parents[1] / "docs" / "performance.md"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0-1) of the values lie; not a number where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def spread(values: Sequence[float], digits: int = 0) -> list[str]:
    """p50, p95 and p99 as cells."""
    return [f"{percentile(values, share):.{digits}f}" for share in (0.5, 0.95, 0.99)]


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


class Sheet:
    """What one part of the measurement has to say: printed as it comes, and kept for the document."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._blocks: list[str] = []

    def say(self, text: str) -> None:
        """A paragraph."""
        self._add(text)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows under a header: the first column is text, the others are figures."""
        shown = [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in [header, *rows]]
        widths = [max(3, *(len(row[i]) for row in shown)) for i in range(len(header))]
        ruler = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
        lines = [
            [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))]
            for r in shown
        ]
        lines.insert(1, ruler)
        self._add("\n".join(f"| {' | '.join(line)} |" for line in lines))

    def _add(self, block: str) -> None:
        print(f"\n{block}" if self._blocks else block, flush=True)
        self._blocks.append(block)

    def write(self, document: Path = DOC) -> None:
        """Put it where the document has a place for it: between `<!-- figures: NAME -->` and `<!-- end -->`."""
        text = document.read_text()
        begin = f"<!-- figures: {self.name} -->\n"
        head, found, rest = text.partition(begin)
        _, end, tail = rest.partition("<!-- end -->")
        if not found or not end:
            raise SystemExit(f"bench: {document.name} has no place for {self.name!r}")
        document.write_text(head + begin + "\n" + "\n\n".join(self._blocks) + "\n\n" + end + tail)
