"""The relays that `bench.relay` compares: each a process on one core, with callers and an upstream of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from msgspec import Struct

from bench import processes
from bench.host import Cores
from bench.tables import percentile
from bench.traffic import Traffic

ROOT = Path(__file__).parents[1]
NODE = Path(__file__).parent / "node"
PEERS = ROOT / "tests" / "compat" / "node" / "node_modules"
FETCHED = ROOT / ".cache" / "proxies"
"""Where `tools/fetch_proxies.sh` puts what the system has not installed."""
STREAM_MODULES = (FETCHED / "usr/lib/nginx/modules", Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))
OURS, THEIRS, BARE, NONE = "duologue relay", "Node `ws`", "nginx, TCP", "no relay"
CONSOLES, FORGETFUL = "console of 2024", "console of 2024, forgetful"
"""The relay of 2024, and what it costs where its library keeps no conversation."""
SETTINGS = """
[upstream]
url = "ws://127.0.0.1:{port}/v1/realtime"
[limits]
sessions = 100_000
sessions_per_user = 100_000
events_per_s = 1e9
events_burst = 1_000_000_000
audio_s_per_minute = 1e9
[ledger]
path = "{folder}/relay.sqlite3"
"""
SPLICE = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
load_module {module};
events {{ worker_connections 16384; }}
stream {{ server {{ listen 127.0.0.1:{port} backlog=1024; proxy_pass 127.0.0.1:{upstream}; }} }}
"""
FLOODED, WINDOW = 16, 16
"""Connections of the flood, and events that are on their way on each."""
WARM_SECONDS = 0.5
SETTLE_SECONDS = 3.0
START_SECONDS = 10.0


class Round(Struct, frozen=True, kw_only=True):
    """What a relay did with some traffic. CPU as shares of a core."""

    events_per_s: float
    delays_s: list[float]
    late_p99_s: float
    relay_cpu: float
    load_cpu: float
    others_cpu: float
    """What everything else took from the two cores."""
    missing: int

    @property
    def cpu_us(self) -> float:
        """CPU of the relay for one event."""
        return 1e6 * self.relay_cpu / self.events_per_s if self.events_per_s else float("nan")

    def added_ms(self, share: float, base_s: float = 0.0) -> float:
        """The delay below which a share of the events stays, beyond what they take without a relay."""
        return 1000 * (percentile(self.delays_s, share) - base_s)


class Contender:
    """One relay, its callers and its upstream."""

    def __init__(
        self, name: str, where: Cores, traffic: Traffic, process: subprocess.Popen[str] | None, url: str
    ) -> None:
        self.name = name
        self.traffic = traffic
        self.url = url
        self._where = where
        self._process = process

    @property
    def memory_kib(self) -> int:
        """Private memory of the relay."""
        return processes.private_kib(self._process.pid) if self._process else 0

    def _cpu(self) -> float:
        return processes.precise_cpu_seconds(self._process.pid) if self._process else 0.0

    def _busy(self) -> float:
        return sum(processes.core_seconds(core) for core in (self._where.server, self._where.callers))

    async def paced(self, sessions: int, seconds: float) -> Round:
        """So many sessions at 50 events a second each way."""
        await self.traffic.connect(self.url, sessions)
        return await self._round(lambda begun: self.traffic.pace(seconds, WARM_SECONDS, begun))

    async def flooded(self, seconds: float, *, down: bool) -> Round:
        """One direction as fast as it goes."""
        await self.traffic.connect(self.url, FLOODED)
        return await self._round(
            lambda begun: self.traffic.flood(seconds, WARM_SECONDS, begun, down=down, window=WINDOW)
        )

    async def _round(self, drive: Callable[[asyncio.Event], Awaitable[None]]) -> Round:
        begun = asyncio.Event()

        async def until_begun() -> tuple[float, float, float, float]:
            await begun.wait()
            return time.perf_counter(), self._cpu(), time.process_time(), self._busy()

        async with asyncio.TaskGroup() as group:
            start = group.create_task(until_begun(), name="bench-begun")
            await drive(begun)
            begin, relay_cpu, load_cpu, busy = await start
        took = time.perf_counter() - begin
        relay_used, load_used = self._cpu() - relay_cpu, time.process_time() - load_cpu
        others_used = self._busy() - busy - relay_used - load_used
        traffic = self.traffic
        events = traffic.events
        missing = await traffic.settle(SETTLE_SECONDS)
        return Round(
            events_per_s=events / took,
            delays_s=traffic.delays_s,
            late_p99_s=percentile(traffic.late_s, 0.99) if traffic.late_s else 0.0,
            relay_cpu=relay_used / took,
            load_cpu=load_used / took,
            others_cpu=max(0.0, others_used / took),
            missing=missing + traffic.losses,
        )


def address(traffic: Traffic) -> str:
    """The upstream's."""
    return f"ws://127.0.0.1:{traffic.upstream_port}/v1/realtime"


@contextlib.contextmanager
def ours(where: Cores, traffic: Traffic, folder: Path) -> Iterator[Contender]:
    """`duologue relay` with its default policy, but for the bounds on rates and sessions."""
    settings = folder / "relay.toml"
    settings.write_text(SETTINGS.format(port=traffic.upstream_port, folder=folder))
    command = [sys.executable, "-m", "duologue.cli.main", "relay", "--config", str(settings), "--port", "0"]
    with _bound(where, command) as process:
        yield Contender(OURS, where, traffic, process, _said(process, OURS))


@contextlib.contextmanager
def in_node(name: str, script: str, where: Cores, traffic: Traffic, node: str) -> Iterator[Contender]:
    """A relay of this folder's in Node."""
    with _bound(where, [node, str(NODE / script), address(traffic), "0"]) as process:
        yield Contender(name, where, traffic, process, _said(process, name))


def stream_module() -> Path | None:
    """The part of nginx that passes TCP on, where there is one."""
    files = (folder / "ngx_stream_module.so" for folder in STREAM_MODULES)
    return next((file for file in files if file.exists()), None) if _nginx() else None


@contextlib.contextmanager
def bare(where: Cores, traffic: Traffic, folder: Path) -> Iterator[Contender]:
    """nginx as a proxy that knows TCP and nothing else: as far as a relay can go. One process, as the others."""
    nginx, module = _nginx(), stream_module()
    assert nginx
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(SPLICE.format(folder=folder, module=module, port=port, upstream=traffic.upstream_port))
    with _bound(where, [nginx, "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx.log")]) as process:
        _wait_for(port, process)
        yield Contender(BARE, where, traffic, process, f"ws://127.0.0.1:{port}/v1/realtime")


def _nginx() -> str | None:
    found = shutil.which("nginx", path=f"{FETCHED / 'usr/sbin'}:/usr/sbin:{os.environ.get('PATH', '')}")
    # one that was only unpacked may lack a library
    return found if found and subprocess.run([found, "-v"], capture_output=True, check=False).returncode == 0 else None


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"bench: {BARE} did not start")
        time.sleep(0.02)


def _said(process: subprocess.Popen[str], name: str) -> str:
    """The address that the process names in its first line."""
    assert process.stdout
    line = process.stdout.readline()
    found = re.search(r"ws://\S+", line)
    if not found:
        raise SystemExit(f"bench: {name} did not start: {line!r}")
    return found[0]


@contextlib.contextmanager
def _bound(where: Cores, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line a call
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {where.server}),
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
