"""A burst passes, and the memory that it took does not stay with its connection."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from command import commanded
from running import CREATED
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

SETTINGS = """
[upstream]
url = "ws://127.0.0.1:{port}/v1/realtime"
[limits]
sessions_per_user = 100
events_per_s = 1e9
events_burst = 1_000_000_000
audio_s_per_minute = 1e9
"""
APPEND = '{"type":"input_audio_buffer.append","audio":"%s"}' % ("AAAA" * 1600)
EVENTS = 600
"""Of 6.4 kB: 4 MB at once."""
CALLS = 8
SPARE_KIB = 4096


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from /proc")
def test_a_burst_leaves_no_large_buffers_behind(tmp_path: Path) -> None:
    heard: asyncio.Queue[None] = asyncio.Queue()
    speaking: set[ClientConnection] = set()

    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        async for _ in ws:
            heard.put_nowait(None)

    async def burst(port: int, opened: asyncio.Barrier, stopped: asyncio.Event, over: asyncio.Event) -> None:
        async with connect(f"ws://127.0.0.1:{port}/", compression=None) as ws:
            await ws.recv()
            await ws.send(APPEND)
            speaking.add(ws)
            await opened.wait()
            await stopped.wait()
            for _ in range(EVENTS):
                await ws.send(APPEND)
            speaking.discard(ws)
            await over.wait()

    async def story() -> None:
        async with serve(upstream, "127.0.0.1", 0, compression=None, max_size=None) as server:
            config = tmp_path / "relay.toml"
            config.write_text(SETTINGS.format(port=server.sockets[0].getsockname()[1]))
            opened, stopped, over = asyncio.Barrier(CALLS + 1), asyncio.Event(), asyncio.Event()
            async with commanded(config, {}) as command, asyncio.TaskGroup() as group:
                for number in range(CALLS):
                    group.create_task(burst(command.port, opened, stopped, over), name=f"caller-{number}")
                await opened.wait()
                for _ in range(CALLS):
                    await heard.get()
                before = private_kib(command.process.pid)
                command.process.send_signal(signal.SIGSTOP)  # what comes now waits in the system, and is read at once
                stopped.set()
                while any(not ws.transport.get_write_buffer_size() for ws in speaking):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                command.process.send_signal(signal.SIGCONT)
                for _ in range(CALLS * EVENTS):
                    await heard.get()
                after = private_kib(command.process.pid)
                over.set()
            assert after < before + SPARE_KIB

    asyncio.run(story())


def private_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
