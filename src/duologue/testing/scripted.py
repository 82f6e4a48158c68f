"""A Realtime server that follows a script: for tests of clients, on a real socket, with faults on demand.

async with ScriptedServer([
    Send(SessionCreated(event_id="event_1", session=RealtimeSession(id="sess_1"))),
    Expect("session.update", session={"instructions": "be kind"}),
    Drop(),
]) as server:
    client = RealtimeClient(server.url)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from duologue.protocol.codec import encode
from duologue.protocol.server_events import ServerEvent

STEP_SECONDS = 10.0


class Send(Struct, frozen=True):
    """Send an event, or any text as it is: `Send('{"half":')` is a broken frame."""

    what: ServerEvent | str | bytes


class Expect:
    """Wait for a client event of `type` whose fields contain `fields`, objects compared key by key. Others are kept
    in `received` and passed over."""

    def __init__(self, type: str, **fields: Any) -> None:
        self.type = type
        self.fields = fields

    def matches(self, event: dict[str, Any]) -> bool:
        """True if the event is the one waited for."""
        return event.get("type") == self.type and _contains(event, self.fields)

    def __repr__(self) -> str:
        return f"Expect({self.type!r}, {self.fields!r})"


class Close(Struct, frozen=True):
    """Close with a code and a reason, as a server does."""

    code: int = 1000
    reason: str = ""


class Drop(Struct, frozen=True):
    """Cut the connection without a close frame, as a network does: the client sees 1006."""


class Stall(Struct, frozen=True):
    """Read nothing for so many seconds."""

    seconds: float


Step = Send | Expect | Close | Drop | Stall


class ScriptError(AssertionError):
    """The client did not do what the script expects."""


class ScriptedServer:
    """Plays `script` to each connection. At the end of the `async with` it raises ScriptError where a script was not
    played to its end. After the last step a connection stays open until the client leaves."""

    def __init__(self, script: Sequence[Step]) -> None:
        self.received: list[dict[str, Any]] = []
        """Every client event of all connections, in order."""
        self.connections = 0
        self._script = list(script)
        self._problem: ScriptError | None = None
        self._played = asyncio.Event()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Address of the server, with a model."""
        assert self._server is not None, "the server is not running"
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/v1/realtime?model=scripted"

    async def __aenter__(self) -> ScriptedServer:
        self._server = await serve(self._hold, "127.0.0.1", 0, compression=None, max_size=None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        assert self._server is not None
        if kind is None and self.connections:
            async with asyncio.timeout(STEP_SECONDS):
                await self._played.wait()
        self._server.close()
        await self._server.wait_closed()
        if kind is None and self._problem:
            raise self._problem
        if kind is None and self._script and not self.connections:
            raise ScriptError("nobody connected")

    async def _hold(self, connection: ServerConnection) -> None:
        self.connections += 1
        try:
            for step in self._script:
                await self._play(step, connection)
            self._played.set()
            while True:
                self._note(await connection.recv())
        except ConnectionClosed:
            if not self._played.is_set():
                self._fail("the client left in the middle of the script")
        except ScriptError as problem:
            self._fail(str(problem))
            await connection.close(1011, "script failed")

    def _fail(self, problem: str) -> None:
        self._problem = self._problem or ScriptError(problem)
        self._played.set()

    async def _play(self, step: Step, connection: ServerConnection) -> None:
        if step is self._script[-1] and isinstance(step, Close | Drop):
            self._played.set()
        match step:
            case Send(what=what):
                frame = what if isinstance(what, str | bytes) else encode(what).decode()
                await connection.send(frame)
            case Expect():
                await self._await(step, connection)
            case Close(code=code, reason=reason):
                await connection.close(code, reason)
            case Drop():
                connection.transport.abort()
            case Stall(seconds=seconds):
                await asyncio.sleep(seconds)

    async def _await(self, wanted: Expect, connection: ServerConnection) -> None:
        passed: list[str] = []
        try:
            async with asyncio.timeout(STEP_SECONDS):
                while True:
                    event = self._note(await connection.recv())
                    if wanted.matches(event):
                        return
                    passed.append(str(event.get("type")))
        except TimeoutError:
            raise ScriptError(f"{wanted} did not come; came instead: {passed or 'nothing'}") from None

    def _note(self, frame: str | bytes) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(frame)
        self.received.append(event)
        return event


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and _contains(whole[key], part[key]) for key in part)
    return bool(whole == part)
