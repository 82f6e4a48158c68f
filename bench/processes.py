"""What a process and its children use, read from Linux's /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def available() -> bool:
    """False where the system has no /proc or cannot bind a process to a core."""
    return Path("/proc/self/smaps_rollup").exists() and hasattr(os, "sched_setaffinity")


def family(root: int) -> list[int]:
    """The process and all below it."""
    parents = {pid: int(fields[1]) for pid, fields in _stats()}
    members = [root]
    for pid in members:
        members += [child for child, parent in parents.items() if parent == pid]
    return members


def cpu_seconds(pids: list[int]) -> dict[int, float]:
    """CPU time that each process has used so far, its own and the kernel's for it."""
    wanted = set(pids)
    return {pid: (int(fields[11]) + int(fields[12])) / _TICKS for pid, fields in _stats() if pid in wanted}


def precise_cpu_seconds(pid: int) -> float:
    """CPU time of one process with its threads, by its own clock: `cpu_seconds` counts in hundredths of a second."""
    return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it


def core_seconds(core: int) -> float:
    """How long a core has been busy, with whatever."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *counts = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(count) for count in counts[:8])
            return (user + nice + system + irq + softirq + steal) / _TICKS
    return 0.0


def private_kib(pid: int) -> int:
    """Memory that belongs to this process alone (USS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def cpu_model() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


def _stats() -> Iterator[tuple[int, list[str]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except OSError:
                continue  # it ended meanwhile
            # The name in brackets may hold blanks; the fields after it do not.
            yield int(folder.name), text.rpartition(")")[2].split()
