"""The console's web server: one page, a feed of what happens, a line of sound, and commands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from duologue.access.origins import Gate
from duologue.console import sound
from duologue.console.api import Api
from duologue.console.call import Call
from duologue.console.guard import Guard
from duologue.console.hub import TAKEN_OVER, Hub, Speaker

STATIC = Path(__file__).parent / "static"
MAX_BODY_BYTES = 1_000_000


def create_app(call: Call, hub: Hub, gate: Gate) -> Starlette:
    """The ASGI app around one call. It starts the call's embedded server and ends the call when it shuts down."""
    api = Api(call)

    async def index(request: Request) -> Response:
        page = STATIC / "index.html"
        if not page.is_file():
            return PlainTextResponse("The page is not built: run python tools/build_page.py\n", status_code=503)
        return FileResponse(page)

    async def command(request: Request) -> Response:
        try:
            length = int(request.headers.get("content-length", "0"))
        except ValueError:
            length = MAX_BODY_BYTES + 1
        if length > MAX_BODY_BYTES:
            return PlainTextResponse("too long\n", status_code=413)
        return await api.run(request.path_params["name"], await request.body())

    async def feed(socket: WebSocket) -> None:
        await socket.accept()
        query = socket.query_params
        rev = query.get("rev", "0")
        viewer = await hub.join(query.get("viewer", ""), int(rev) if rev.isdecimal() and len(rev) < 16 else 0)

        async def listen() -> None:
            async for text in socket.iter_text():
                with contextlib.suppress(msgspec.DecodeError):
                    wish = msgspec.json.decode(text)
                    if isinstance(wish, dict) and isinstance(wish.get("filter"), str):
                        viewer.look_for(wish["filter"][:200])

        try:
            await _until_first_ends(listen(), hub.follow(viewer, call.feed, socket, query.get("epoch", "")))
        finally:
            hub.leave(viewer)
            call.viewer_left(viewer.name)

    async def audio(socket: WebSocket) -> None:
        await socket.accept()
        name = socket.query_params.get("viewer", "")
        if not name or name != call.owner:
            await socket.close(TAKEN_OVER, "another tab has the microphone")
            return
        speaker = Speaker(socket)
        await call.attach(speaker)

        async def listen() -> None:
            async for frame in socket.iter_bytes():
                seen = sound.parse(frame)
                if seen is not None and call.speaker is speaker:
                    await call.hear(seen)

        try:
            await _until_first_ends(listen(), speaker.run())
        finally:
            await call.detach(speaker)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with call.running():
            yield

    routes = [
        Route("/", index),
        Route("/api/{name:path}", command, methods=["POST"]),
        WebSocketRoute("/ws/feed", feed),
        WebSocketRoute("/ws/audio", audio),
        Mount("/", StaticFiles(directory=STATIC, check_dir=False)),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Guard, gate=gate)])


async def _until_first_ends(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run a socket's reader beside its writer: when one ends, or the peer is gone, so does the other."""
    tasks = [asyncio.create_task(job, name=f"console-socket-{number}") for number, job in enumerate(jobs)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        # A writer that finds the socket closed fails with one of these; that is how connections end.
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect | RuntimeError | OSError):
            raise result
