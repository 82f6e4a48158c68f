"""The portable way: the app under any ASGI server (duologue.relay.asgi, duologue.relay.app)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
import uvicorn
from msgspec.structs import replace
from raw import raw
from running import CREATED, nobody
from starlette.types import ASGIApp
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from duologue.errors import ConfigError
from duologue.relay import create_app
from duologue.relay.settings import Callers, Ledger, Limits, Recordings, Settings, Upstream

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


@pytest.mark.parametrize(("frame", "told"), [
    (b"binary", "invalid_json"),
    ("x" * 300, 1009),
])  # fmt: skip
def test_what_no_event_is(tmp_path: Path, frame: bytes | str, told: str | int) -> None:
    async def story() -> None:
        async with serve(nobody, "127.0.0.1", 0) as server:
            settings = replace(
                settings_for(tmp_path, server.sockets[0].getsockname()[1]), limits=Limits(event_bytes=200)
            )
            async with serving(create_app(settings)) as host, connect(f"ws://{host}/") as ws:
                await ws.recv()
                await ws.send(frame)
                if told == 1009:
                    with pytest.raises(ConnectionClosed):
                        await ws.recv()
                    # before anything of it is kept or judged
                    assert (ws.close_code, ws.close_reason) == (1009, "message too big")
                else:
                    assert json.loads(await ws.recv())["error"]["code"] == told

    asyncio.run(story())


def test_a_refused_handshake_is_an_answer(tmp_path: Path) -> None:
    async def story() -> None:
        settings = replace(settings_for(tmp_path), callers=Callers(hosts=("talk.example",)))
        async with serving(create_app(settings)) as host:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{host}/")
        assert refused.value.response.status_code == 403
        assert b"host_not_allowed" in (refused.value.response.body or b"")

    asyncio.run(story())


def test_a_caller_that_does_not_read_makes_the_upstream_wait_and_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duologue.relay.call.SLOW_SECONDS", 0.5)
    monkeypatch.setattr("duologue.relay.asgi.CLOSE_SECONDS", 0.2)
    delta = (
        '{"type":"response.output_audio.delta","event_id":"event_2","response_id":"resp_1","item_id":"item_1",'
        '"output_index":0,"content_index":0,"delta":"%s"}' % ("AAAA" * 2500)
    )
    sent = 0
    over = asyncio.Event()

    async def upstream(ws: ServerConnection) -> None:
        nonlocal sent
        with suppress(ConnectionClosed):
            await ws.send(CREATED)
            while True:
                await ws.send(delta)
                sent += 1
        over.set()

    async def story() -> None:
        async with serve(upstream, "127.0.0.1", 0) as server:
            settings = settings_for(tmp_path, server.sockets[0].getsockname()[1])
            async with serving(create_app(settings)) as host, raw(host):
                async with asyncio.timeout(10):
                    await over.wait()

    asyncio.run(story())
    assert sent * len(delta) < 30_000_000
