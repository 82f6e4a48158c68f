"""A console on a free loopback port, and a page that is played by hand: feed, commands and sound as a browser does them."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
import websockets
from wire import simple_engines

from duologue.access.origins import Gate
from duologue.console.app import create_app
from duologue.console.call import Call
from duologue.console.config import CallConfig
from duologue.console.embedded import Embedded
from duologue.console.hub import Hub
from duologue.console.upstream import Upstream
from duologue.server.runner import Engines, RealtimeServer

SECRET = "s3cret"
TIMEOUT_S = 20


class Desk:
    """The console under test."""

    def __init__(self, call: Call, port: int) -> None:
        self.call = call
        self.port = port
        self.origin = f"http://localhost:{port}"
        self.cookie = f"duologue_{port}={SECRET}"
        self.headers = {"origin": self.origin, "cookie": self.cookie}
        self.http = httpx.AsyncClient(base_url=self.origin, headers=self.headers, timeout=TIMEOUT_S)

    async def do(self, command: str, **body: Any) -> Any:
        """Run a command that succeeds."""
        answer = await self.http.post(f"/api/{command}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.content

    @asynccontextmanager
    async def page(self, viewer: str = "one", **query: Any) -> AsyncIterator[Page]:
        """A tab that follows the feed."""
        address = f"ws://localhost:{self.port}/ws/feed?viewer={viewer}&" + "&".join(
            f"{k}={v}" for k, v in query.items()
        )
        async with websockets.connect(address, origin=self.origin, additional_headers={"cookie": self.cookie}) as feed:
            page = Page(self, feed)
            await page.until(lambda: page.name != "")
            yield page


class Page:
    """What a tab knows: rebuilt from the feed."""

    def __init__(self, desk: Desk, feed: websockets.ClientConnection) -> None:
        self.desk = desk
        self.feed = feed
        self.name = ""
        self.frames: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.items: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.state: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return self.state[name]

    @property
    def talk(self) -> list[dict[str, Any]]:
        """The conversation's items in order."""
        return [self.items[item_id] for item_id in self.order if item_id in self.items]

    @property
    def types(self) -> list[str]:
        """The event rows' types."""
        return [row["type"] for row in self.rows]

    async def until(self, there: Callable[[], Any]) -> None:
        """Read the feed until `there()` is true."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while not there():
                    self.take(json.loads(await self.feed.recv()))
        except TimeoutError:
            raise AssertionError(f"not in time; the page shows {self.types} and {self.talk}") from None

    def take(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        if frame.get("reset"):
            self.rows, self.items, self.order = [], {}, []
        self.name = frame.get("you") or self.name
        for row in frame.get("rows", ()):
            self.rows[row["n"] :] = [row]
        self.items |= {item["id"]: item for item in frame.get("items", ())}
        self.order = frame.get("order", self.order)
        for part in ("call", "upstream", "session", "money", "memory", "weather", "banners", "hits"):
            if part in frame:
                self.state[part] = frame[part]

    async def connect(self) -> None:
        """Press Connect and wait for the greeting's answer."""
        await self.desk.do("connect", viewer=self.name)
        await self.until(lambda: self.call["state"] == "connected")
        await self.until(lambda: "response.done" in self.types)

    @asynccontextmanager
    async def sound(self) -> AsyncIterator[Sound]:
        """The tab's microphone and loudspeaker."""
        address = f"ws://localhost:{self.desk.port}/ws/audio?viewer={self.name}"
        headers = {"cookie": self.desk.cookie}
        async with websockets.connect(address, origin=self.desk.origin, additional_headers=headers) as socket_:
            yield Sound(socket_)


class Sound:
    """The audio socket, frame by frame."""

    def __init__(self, socket_: websockets.ClientConnection) -> None:
        self.socket = socket_
        self.received: dict[int, bytes] = {}

    async def next(self) -> tuple[int, int, bytes]:
        """Kind, word and sound of the next frame."""
        frame = await asyncio.wait_for(self.socket.recv(), TIMEOUT_S)
        assert isinstance(frame, bytes)
        kind, word = struct.unpack_from("<B3xI", frame)
        if kind == 1:
            self.received[word] = self.received.get(word, b"") + frame[8:]
        return kind, word, frame[8:]

    async def until(self, kind: int) -> int:
        """Read on to a frame of that kind; its word."""
        while True:
            seen, word, _ = await self.next()
            if seen == kind:
                return word

    async def send(self, kind: int, *words: int, pcm: bytes = b"") -> None:
        await self.socket.send(struct.pack(f"<B3x{len(words)}I", kind, *words) + pcm)


@asynccontextmanager
async def desk(
    folder: Path, *, engines: Engines | None = None, upstream: Upstream | None = None, key: str | None = None
) -> AsyncIterator[Desk]:
    """A console with simple engines, on a real socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    hub = Hub()
    config = CallConfig(
        upstream=upstream or Upstream(), sessions=folder, weather_url="http://127.0.0.1:9", key=lambda: key
    )
    call = Call(config, hub, Embedded(RealtimeServer(engines or simple_engines())))
    app = create_app(call, hub, Gate(bind="127.0.0.1", port=port, secret=SECRET))
    host = uvicorn.Server(uvicorn.Config(app, ws="websockets-sansio", lifespan="on", log_level="warning"))
    host.config.load()
    host.lifespan = host.config.lifespan_class(host.config)
    await host.startup([listener])
    main = asyncio.create_task(host.main_loop(), name="test-console")
    found = Desk(call, port)
    try:
        yield found
    finally:
        await found.http.aclose()
        host.should_exit = True
        await main
        await host.shutdown([listener])
