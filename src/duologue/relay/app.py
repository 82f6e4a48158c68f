"""The relay's ASGI app: on its own under `duologue relay`, or mounted in an application of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from duologue.relay.asgi import serve
from duologue.relay.http import secret_routes, status_routes
from duologue.relay.policy import Hooks
from duologue.relay.rtc import call_routes
from duologue.relay.server import PATHS, Recorder, Relay
from duologue.relay.settings import Settings
from duologue.relay.setup import prepare


def create_app(
    policy: Settings | Path | str,
    *,
    hooks: Hooks | None = None,
    tools: Iterable[Callable[..., Any]] = (),
    recorder: Recorder | None = None,
) -> Starlette:
    """An app to serve or to mount, for any ASGI server; its lifespan has to run.

    `policy`: settings or the path of a `relay.toml`; `hooks` and `tools` are plain functions. WebSockets go through the
    ASGI server here: `duologue relay` carries several times as many. Raises ConfigError.
    """
    relay = Relay(prepare(policy, hooks=hooks, tools=tools), recorder=recorder)
    return app_around(relay, websockets=True)


def app_around(relay: Relay, *, websockets: bool) -> Starlette:
    """The app of a relay; without `websockets` whoever serves it answers those."""

    async def realtime(websocket: WebSocket) -> None:
        await serve(websocket, relay.gate, relay.most_bytes)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.get_running_loop().create_task(relay.running(), name="relay")
        try:
            yield
        finally:
            await relay.drain(0)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    routes: list[BaseRoute] = [*status_routes(relay), *secret_routes(relay), *call_routes(relay)]
    if websockets:
        routes += [WebSocketRoute(path, realtime) for path in PATHS]
    return Starlette(routes=routes, lifespan=lifespan)
