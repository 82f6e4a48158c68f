"""Whatever dies, and whenever, nothing is left behind: no call, no task, no open file, nothing in memory."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from raw import raw
from running import CREATED, relaying
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from duologue.relay import call as relay_call
from duologue.relay import sockets
from duologue.relay.call import Call
from duologue.relay.server import Relay
from duologue.relay.settings import Limits, Settings
from duologue.relay.sockets import Socket

APPEND = '{"type":"input_audio_buffer.append","audio":"%s"}' % ("AAAA" * 2500)
DELTA = (
    '{"type":"response.output_audio.delta","event_id":"event_2","response_id":"resp_1","item_id":"item_1",'
    '"output_index":0,"content_index":0,"delta":"%s"}' % ("AAAA" * 2500)
)
GENEROUS = Settings(limits=Limits(audio_s_per_minute=1e6, events_per_s=1e6, events_burst=1_000_000))
STEPS = ("before open", "early queue", "mid-audio", "mid-response", "drain")


class Upstream:
    """Answers handshakes once `open` is set, then listens, and speaks without end where it is to."""

    def __init__(self, *, speaks: bool = False) -> None:
        self.open = asyncio.Event()
        self.asked = asyncio.Event()
        self.heard = asyncio.Event()
        self.sent = 0
        self.connections: list[ServerConnection] = []
        self._speaks = speaks

    async def handshake(self, connection: ServerConnection, request: Request) -> None:
        self.connections.append(connection)
        self.asked.set()
        await self.open.wait()

    async def __call__(self, ws: ServerConnection) -> None:
        await ws.send(CREATED)
        listening = asyncio.create_task(self._listen(ws), name="upstream-listens")
        with suppress(ConnectionClosed):
            while self._speaks:
                await ws.send(DELTA)
                self.sent += 1
        await listening

    async def _listen(self, ws: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for _ in ws:
                self.heard.set()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@asynccontextmanager
async def nothing_left(relay: Relay, upstream: Upstream) -> AsyncIterator[None]:
    files = open_files()
    yield
    async with asyncio.timeout(8):
        while relay.calls or relay.lines or open_files() > files or _tasks():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    upstream.connections.clear()
    gc.collect()
    left = [each for each in gc.get_objects() if isinstance(each, Call | Socket)]
    assert left == []


def _tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("rtc_")]


async def flood(ws: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await ws.send(APPEND)


@pytest.mark.parametrize("killed", ["upstream", "caller", "network"])
@pytest.mark.parametrize("step", STEPS)
def test_what_dies_leaves_nothing(tmp_path: Path, step: str, killed: str) -> None:
    async def story() -> None:
        upstream = Upstream(speaks=step == "mid-response")
        if step not in STEPS[:2]:
            upstream.open.set()
        async with relaying(tmp_path, upstream, GENEROUS, process_request=upstream.handshake) as (host, relay):
            async with nothing_left(relay, upstream):
                ws = await connect(f"ws://{host}/", compression=None, ping_interval=None)
                busy = [await reach(step, ws, upstream, relay)]
                if killed == "caller":
                    ws.transport.abort()
                elif killed == "upstream":
                    for connection in upstream.connections:
                        connection.transport.abort()
                else:
                    cut_off(relay)
                async with asyncio.timeout(8):
                    with suppress(ConnectionClosed):
                        while True:
                            await ws.recv()
                    await asyncio.gather(*filter(None, busy))
                    await ws.wait_closed()
                if killed == "upstream":
                    assert ws.close_code == (1013 if step in STEPS[:2] else 1011)
            upstream.open.set()

    asyncio.run(story())


def cut_off(relay: Relay) -> None:
    for socket in tuple(relay._sockets):
        socket.abort()


async def reach(step: str, ws: ClientConnection, upstream: Upstream, relay: Relay) -> asyncio.Task[None] | None:
    """Bring the call to where it is to be struck; gives what goes on meanwhile."""
    await upstream.asked.wait()
    if step == "before open":
        return None
    if step == "early queue":
        for _ in range(10):
            await ws.send(APPEND)
        return None
    assert json.loads(await ws.recv())["type"] == "session.created"
    if step == "mid-response":
        assert json.loads(await ws.recv())["type"] == "response.output_audio.delta"
        return None
    if step == "drain":
        draining = asyncio.create_task(relay.drain(5), name="drain")
        await asyncio.sleep(0)
        return draining
    flooding = asyncio.create_task(flood(ws), name="flood")
    await upstream.heard.wait()
    return flooding


def test_a_caller_that_leaves_while_connecting_takes_the_upstreams_connection_along_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        upstream = Upstream()
        async with relaying(tmp_path, upstream, GENEROUS, process_request=upstream.handshake) as (host, relay):
            ws = await connect(f"ws://{host}/")
            await upstream.asked.wait()
            await ws.close()
            (connection,) = upstream.connections
            async with asyncio.timeout(2):
                while relay.calls or not connection.connection_lost_waiter.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            upstream.open.set()

    asyncio.run(story())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of peers that are not read from")
@pytest.mark.parametrize("abruptly", [True, False])
def test_a_caller_that_leaves_while_it_is_not_read_from_takes_all_along(tmp_path: Path, abruptly: bool) -> None:
    async def story() -> None:
        upstream = Upstream()
        async with relaying(tmp_path, upstream, GENEROUS, process_request=upstream.handshake) as (host, relay):
            async with nothing_left(relay, upstream):
                ws = await connect(f"ws://{host}/", compression=None, ping_interval=None)
                await upstream.asked.wait()
                while not all(call._early_full for call in relay._calls):
                    await ws.send(APPEND)
                    await asyncio.sleep(0)  # what the relay has no room for would keep its end from arriving
                if abruptly:
                    ws.transport.abort()
                else:
                    ws.transport.close()
                async with asyncio.timeout(8):  # the upstream is waited for ten seconds
                    while relay.calls:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            upstream.open.set()

    asyncio.run(story())


def test_frames_of_nothing_fill_the_early_queue_too(tmp_path: Path) -> None:
    async def story() -> None:
        upstream = Upstream()
        async with (
            relaying(tmp_path, upstream, process_request=upstream.handshake) as (host, relay),
            nothing_left(relay, upstream),
        ):
            ws = await connect(f"ws://{host}/", compression=None, ping_interval=None)
            await upstream.asked.wait()
            for _ in range(relay_call.EARLY_BYTES // relay_call.FRAME_BYTES + 1):
                await ws.send("")
            while not all(call._early_full for call in relay._calls):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            upstream.open.set()
            with suppress(ConnectionClosed):
                while True:
                    await ws.recv()
            assert ws.close_code == 1008

    asyncio.run(story())


def test_a_caller_that_does_not_read_makes_the_upstream_wait_and_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(relay_call, "SLOW_SECONDS", 0.5)
    monkeypatch.setattr(sockets, "CLOSE_SECONDS", 0.2)

    async def story() -> int:
        upstream = Upstream(speaks=True)
        upstream.open.set()
        async with relaying(tmp_path, upstream, GENEROUS, process_request=upstream.handshake) as (host, relay):
            async with nothing_left(relay, upstream), raw(host):
                async with asyncio.timeout(8):
                    while relay.calls:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            return upstream.sent

    with caplog.at_level(logging.INFO, "duologue.relay.calls"):
        sent = asyncio.run(story())
    # what the sockets of this machine hold, and what the relay holds, and no more
    assert sent * len(DELTA) < 30_000_000
    (report,) = [json.loads(record.message) for record in caplog.records]
    assert (report["code"], report["reason"], report["by"]) == (1008, "the caller reads too slowly", "caller")


def test_an_upstream_that_does_not_read_makes_the_caller_wait_and_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(relay_call, "SLOW_SECONDS", 0.5)
    monkeypatch.setattr(sockets, "CLOSE_SECONDS", 0.2)
    sent = 0
    over = asyncio.Event()

    async def deaf(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        ws.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()
        ws.transport.abort()

    async def story() -> None:
        nonlocal sent
        async with relaying(tmp_path, deaf, GENEROUS) as (host, relay):
            async with connect(f"ws://{host}/", compression=None, ping_interval=None) as ws:
                with suppress(ConnectionClosed):
                    while True:
                        await ws.send(APPEND)
                        sent += 1
                assert (ws.close_code, ws.close_reason) == (1008, "the upstream reads too slowly")
            async with asyncio.timeout(8):
                while relay.calls or relay.lines:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            over.set()

    with caplog.at_level(logging.INFO, "duologue.relay.calls"):
        asyncio.run(story())
    assert sent * len(APPEND) < 30_000_000
    (report,) = [json.loads(record.message) for record in caplog.records]
    assert (report["code"], report["by"]) == (1008, "upstream")
