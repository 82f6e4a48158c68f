"""The portable way: the app under any ASGI server (duologue.relay.asgi, duologue.relay.app)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import uvicorn
from msgspec.structs import replace
from running import nobody
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from duologue.relay import create_app
from duologue.relay.settings import Ledger, Settings, Upstream


def test_a_mounted_app_relays_and_closes_alike(tmp_path: Path) -> None:
    async def story() -> None:
        async with serve(nobody, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
            settings = replace(
                Settings(), upstream=Upstream(url=url), ledger=Ledger(path=str(tmp_path / "relay.sqlite3"))
            )
            app = create_app(settings)
            http = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on"))
            serving = asyncio.create_task(http.serve(), name="app-under-test")
            while not http.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            port = http.servers[0].sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}/v1/realtime") as ws:
                assert json.loads(await ws.recv())["type"] == "session.created"
                await ws.send("{bad")
                assert json.loads(await ws.recv())["error"]["code"] == "invalid_json"
            http.should_exit = True
            await serving

    asyncio.run(story())
