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


class _Pages:
    """The endpoints around one call."""

    def __init__(self, call: Call, hub: Hub) -> None:
        self._call = call
        self._hub = hub
        self._api = Api(call)

    async def index(self, request: Request) -> Response:
        """The page."""
        page = STATIC / "index.html"
        if not page.is_file():
            return PlainTextResponse("The page is not built: run python tools/build_page.py\n", status_code=503)
        return FileResponse(page)

    async def command(self, request: Request) -> Response:
        """One command of the page."""
        body = bytearray()
        async for piece in request.stream():  # its length is not always announced
            body += piece
            if len(body) > MAX_BODY_BYTES:
                return PlainTextResponse("too long\n", status_code=413)
        return await self._api.run(request.path_params["name"], bytes(body))

    async def feed(self, socket: WebSocket) -> None:
        """What happens, to one tab."""
        await socket.accept()
        query = socket.query_params
        rev = query.get("rev", "0")
        viewer = await self._hub.join(query.get("viewer", ""), int(rev) if rev.isdecimal() and len(rev) < 16 else 0)
        self._call.viewer_came(viewer.name)

        async def listen() -> None:
            async for text in socket.iter_text():
                with contextlib.suppress(msgspec.DecodeError):
                    wish = msgspec.json.decode(text)
                    if isinstance(wish, dict) and isinstance(wish.get("filter"), str):
                        viewer.look_for(wish["filter"][:200])

        try:
            following = self._hub.follow(viewer, self._call.feed, socket, query.get("epoch", ""))
            await _until_first_ends(listen(), following)
        finally:
            self._hub.leave(viewer)
            self._call.viewer_left(viewer.name)

    async def audio(self, socket: WebSocket) -> None:
        """Microphone and loudspeaker of the tab that has them."""
        await socket.accept()
        name = socket.query_params.get("viewer", "")
        if not name or name != self._call.owner:
            await socket.close(TAKEN_OVER, "another tab has the microphone")
            return
        speaker = Speaker(socket)

        async def listen() -> None:
            async for frame in socket.iter_bytes():
                seen = sound.parse(frame)
                if seen is not None and self._call.speaker is speaker:
                    await self._call.hear(seen)

        try:
            await self._call.attach(speaker)
            await _until_first_ends(listen(), speaker.run())
        finally:
            await self._call.detach(speaker)


def create_app(call: Call, hub: Hub, gate: Gate) -> Starlette:
    """The ASGI app around one call. It starts the call's embedded server and ends the call when it shuts down."""
    pages = _Pages(call, hub)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with call.running():
            yield

    routes = [
        Route("/", pages.index),
        Route("/api/{name:path}", pages.command, methods=["POST"]),
        WebSocketRoute("/ws/feed", pages.feed),
        WebSocketRoute("/ws/audio", pages.audio),
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
