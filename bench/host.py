"""`duologue serve` under measurement: a process of its own, bound to one core together with its workers."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from bench import processes
from bench.caller import Plan, Result

SILENCE_MS = 500
SEED = 20261121
MAX_SESSIONS = 2_000


class Cores(Struct, frozen=True, kw_only=True):
    """Which core is whose."""

    server: int
    callers: int

    @property
    def shared(self) -> bool:
        """Only one core: the callers take from what the server has."""
        return self.server == self.callers


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


def cores() -> Cores | None:
    """One for the server, one for the callers; None where the system cannot tell or bind."""
    if not processes.available():
        return None
    usable = sorted(os.sched_getaffinity(0))
    return Cores(server=usable[-1], callers=usable[0])


class Host:
    """The server's process. Figures of CPU and memory come from /proc."""

    def __init__(self, where: Cores, *options: str) -> None:
        self._where = where
        begin = time.monotonic()
        command = (sys.executable, "-m", "duologue.cli.main", "serve", "--port", "0")
        self._process = subprocess.Popen(
            [*command, "--max-sessions", str(MAX_SESSIONS), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a line a session
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {where.server}),
        )
        self.pid = self._process.pid
        assert self._process.stdout
        line = self._process.stdout.readline()
        found = re.search(r"ws://\S+", line)
        if not found:
            raise SystemExit(f"bench: the server did not start: {line!r}")
        self.url = f"{found[0]}?model=embedded"
        self.start_seconds = time.monotonic() - begin

    def plan(self, callers: int, seconds: float, **wishes: object) -> Plan:
        """A plan for callers of this server."""
        chosen = {"callers": callers, "seconds": seconds, "silence_ms": SILENCE_MS, "seed": SEED + callers, **wishes}
        return msgspec.convert({"url": self.url, "core": self._where.callers, **chosen}, Plan)

    def measure(self, plan: Plan) -> Step:
        """Let callers do what is planned, and see what it costs."""
        with generating(plan) as lines:
            _expect(lines, b"begin")
            before, busy, begin = self._cpu(), processes.core_seconds(self._where.server), time.monotonic()
            time.sleep(0.9 * plan.seconds)
            memory_mib, _ = self.memory_mib()
            _expect(lines, b"end")
            after, busy_after = self._cpu(), processes.core_seconds(self._where.server)
            took = time.monotonic() - begin
            result = told(lines)
        used = {pid: (after[pid] - before.get(pid, 0)) / took for pid in after}
        own = used.pop(self.pid)
        others = (busy_after - busy) / took - own - sum(used.values())
        return Step(
            callers=plan.callers + plan.interrupters,
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
            self._process.wait(12)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            print("the server did not stop when asked to")


@contextlib.contextmanager
def generating(plan: Plan) -> Iterator[Iterator[bytes]]:
    """The callers' process; gives the lines that it prints."""
    command = [sys.executable, "-m", "bench.callers"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as generator:
        assert generator.stdin
        assert generator.stdout
        generator.stdin.write(msgspec.json.encode(plan) + b"\n")
        generator.stdin.close()
        try:
            yield iter(generator.stdout.readline, b"")
        finally:
            generator.terminate()  # nothing happens where it has ended
            if generator.wait() not in (0, -signal.SIGTERM):
                print(f"the callers ended with status {generator.returncode}")


def told(lines: Iterator[bytes]) -> Result:
    """What the callers saw."""
    line = next(lines, b"")
    if not line.endswith(b"\n"):
        raise SystemExit(f"bench: the callers ended before they had told what they saw ({len(line)} bytes)")
    return msgspec.json.decode(line, type=Result)


def _expect(lines: Iterator[bytes], word: bytes) -> None:
    line = next(lines, b"")
    if line.strip() != word:
        raise SystemExit(f"bench: the callers failed before {word.decode()!r}")


@contextlib.contextmanager
def serving(where: Cores, *options: str) -> Iterator[Host]:
    """A server for as long as it is needed."""
    host = Host(where, *options)
    try:
        yield host
    finally:
        host.stop()
