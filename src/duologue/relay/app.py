"""The relay's ASGI app: on its own under `duologue relay`, or mounted in an application of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from duologue.errors import ConfigError
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

    Frameworks run the lifespan of their own app only, not of what is mounted: enter this one's in it, with
    `app.router.lifespan_context(app)`. Until then every request fails with a RuntimeError that says so.
    """
    setup = prepare(policy, hooks=hooks, tools=tools)
    if setup.recordings is not None and recorder is None:
        raise ConfigError(
            "recording.folder: here calls are recorded by create_app's 'recorder'. Leave the setting out."
        )
    relay = Relay(setup, recorder=recorder)
    return app_around(relay, websockets=True)


def app_around(relay: Relay, *, websockets: bool) -> Starlette:
    """The app of a relay; without `websockets` whoever serves it answers those."""

    alive = _Alive()

    async def realtime(websocket: WebSocket) -> None:
        await serve(websocket, relay.gate, relay.most_bytes)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.get_running_loop().create_task(relay.running(), name="relay")
        alive.now = True
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
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(_Watch, alive=alive)])


class _Alive:
    """Whether the app's lifespan runs, and with it the relay's watch and ledger."""

    now = False


class _Watch:
    """Lets nothing through before that: calls would go unwatched and cost nothing."""

    def __init__(self, app: ASGIApp, alive: _Alive) -> None:
        self._app = app
        self._alive = alive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and not self._alive.now:
            raise RuntimeError(
                "the relay's lifespan does not run: enter `relay.router.lifespan_context(relay)` in your app's own"
            )
        await self._app(scope, receive, send)
