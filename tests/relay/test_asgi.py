"""The portable way: the app under any ASGI server (duologue.relay.asgi, duologue.relay.app)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from msgspec.structs import replace
from running import nobody
from starlette.types import ASGIApp
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from duologue.errors import ConfigError
from duologue.relay import create_app
from duologue.relay.settings import Ledger, Recordings, Settings, Upstream

GUIDE = (Path(__file__).parents[2] / "docs" / "relay.md").read_text()


def settings_for(folder: Path, port: int = 9) -> Settings:
    url = f"ws://127.0.0.1:{port}/v1/realtime"
    return replace(Settings(), upstream=Upstream(url=url), ledger=Ledger(path=str(folder / "relay.sqlite3")))


@asynccontextmanager
async def serving(app: ASGIApp, lifespan: str = "on") -> AsyncIterator[str]:
    """The host and port of the app."""
    http = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan=lifespan))  # type: ignore[arg-type]
    running = asyncio.create_task(http.serve(), name="app-under-test")
    while not http.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    try:
        yield f"127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}"
    finally:
        http.should_exit = True
        await running


def test_an_app_relays_and_closes_alike(tmp_path: Path) -> None:
    async def story() -> None:
        async with serve(nobody, "127.0.0.1", 0) as server:
            app = create_app(settings_for(tmp_path, server.sockets[0].getsockname()[1]))
            async with serving(app) as host, connect(f"ws://{host}/v1/realtime") as ws:
                assert json.loads(await ws.recv())["type"] == "session.created"
                await ws.send("{bad")
                assert json.loads(await ws.recv())["error"]["code"] == "invalid_json"

    asyncio.run(story())


def test_the_application_of_the_guide_relays_below_its_own_path(tmp_path: Path) -> None:
    heard: list[str] = []

    async def upstream(ws: ServerConnection) -> None:
        heard.append(str(await ws.recv()))
        await nobody(ws)

    async def story() -> None:
        (block,) = (text for text in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "create_app" in text)
        space: dict[str, object] = {}
        exec(block, space)
        async with serve(upstream, "127.0.0.1", 0) as server:
            settings = settings_for(tmp_path, server.sockets[0].getsockname()[1])
            app = space["application"](settings)  # type: ignore[operator]
            async with serving(app) as host:
                for path in ("/voice/", "/voice/v1/realtime"):
                    async with connect(f"ws://{host}{path}") as ws:
                        await ws.recv()
                async with httpx.AsyncClient() as http:
                    assert (await http.get(f"http://{host}/voice/health")).json()["status"] == "ok"
        assert all("The customer's number is loopback." in frame for frame in heard)
        assert len(heard) == 2

    asyncio.run(story())


def test_without_its_lifespan_an_app_answers_nobody(tmp_path: Path) -> None:
    app = create_app(settings_for(tmp_path))

    async def story() -> None:
        async with serving(app, "off"), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
            with pytest.raises(RuntimeError, match="lifespan_context"):
                await http.get("http://relay/health")

    asyncio.run(story())


def test_recordings_of_a_mounted_app_are_its_hosts_business(tmp_path: Path) -> None:
    settings = replace(settings_for(tmp_path), recording=Recordings(folder="calls"))
    with pytest.raises(ConfigError, match="recorder"):
        create_app(settings)
