"""A relay on a real port, with an upstream of the test's own behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from msgspec.structs import replace
from websockets.asyncio.server import ServerConnection, serve

from duologue.relay.app import app_around
from duologue.relay.server import Recorder, Relay
from duologue.relay.settings import Ledger, Settings, Upstream
from duologue.relay.setup import prepare
from duologue.relay.sockets import upgrader

CREATED = '{"type":"session.created","event_id":"event_1","session":{"type":"realtime","id":"sess_1","model":"m"}}'
Upstreamed = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def relaying(
    folder: Path,
    upstream: Upstreamed,
    settings: Settings | None = None,
    env: dict[str, str] | None = None,
    recorder: Recorder | None = None,
    **more: Any,
) -> AsyncIterator[tuple[str, Relay]]:
    """The relay's host and port, and the relay; `upstream` serves its WebSockets."""
    async with serve(upstream, "127.0.0.1", 0, compression=None, max_size=None, **more) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}/v1/realtime"
        known = replace(
            settings or Settings(), upstream=Upstream(url=url), ledger=Ledger(path=str(folder / "relay.sqlite3"))
        )
        relay = Relay(prepare(known, env=env or {}), recorder=recorder)
        config = uvicorn.Config(
            app_around(relay, websockets=False), port=0, log_level="error", lifespan="on",
            ws=upgrader(relay.gate, lambda: relay.most_bytes),
        )  # fmt: skip
        http = uvicorn.Server(config)
        serving = asyncio.create_task(http.serve(), name="relay-under-test")
        while not http.started:
            assert not serving.done()
            await asyncio.sleep(0.01)
        try:
            yield f"127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}", relay
        finally:
            http.should_exit = True
            await serving


async def nobody(ws: ServerConnection) -> None:
    """An upstream that only begins."""
    await ws.send(CREATED)
    await ws.wait_closed()
