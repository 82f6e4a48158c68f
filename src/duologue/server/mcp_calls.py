"""Remote MCP servers over the network: one connection for each server of a session, opened when it is first needed.

The `mcp` package is imported only then, in a thread, because that takes a second. Nothing here logs a header, a token
or more of an address than its host.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from duologue.errors import DuologueError
from duologue.protocol.items import McpError, McpTool
from duologue.protocol.session import McpServerTool
from duologue.server import mcp
from duologue.server.commands import CallRemote
from duologue.server.inputs import RemoteAnswered, RemoteListed
from duologue.server.limits import Limits
from duologue.server.reach import is_public

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult, Tool

log = logging.getLogger(__name__)

MOST_TOOLS = 256
LONGEST_OUTPUT = 100_000
"""Characters: more than a model should read of one answer."""
AT_ONCE = 8
"""Listings and calls of one session that may run at a time; others wait, and their time counts."""
FAREWELL_S = 2.0
"""How long the end of a connection may take."""
CONNECTION_CLOSED = -32000
"""The package's own code for an answer that will never come."""
FORBIDDEN, BAD_GATEWAY, GATEWAY_TIMEOUT = 403, 502, 504

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
Post = Callable[[RemoteListed | RemoteAnswered], Awaitable[None]]


def installed() -> bool:
    """Whether the package that speaks to remote servers is there."""
    return find_spec("mcp") is not None


class RemoteFailed(DuologueError):
    """A remote server could not do what it was asked; `error` is what the client is told."""

    def __init__(self, error: McpError) -> None:
        super().__init__(error)
        self.error = error

    def __str__(self) -> str:
        return self.error.message


class RemoteCaller:
    """Lists and calls for one session. Every piece of work is a task of the session's and posts its result."""

    def __init__(self, spawn: Spawn, post: Post, limits: Limits) -> None:
        self._spawn = spawn
        self._post = post
        self._limits = limits
        self._work: dict[str, asyncio.Task[None]] = {}
        self._lines: dict[bytes, _Line] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Everything that runs, connections included."""
        return [*self._work.values(), *(line.task for line in self._lines.values() if line.task is not None)]

    def list_tools(self, item_id: str, server: McpServerTool) -> None:
        """Ask a server what it offers; `RemoteListed` follows."""
        self._begin(item_id, self._list(item_id, server))

    def call(self, command: CallRemote) -> None:
        """Call a tool; `RemoteAnswered` follows unless the call is stopped."""
        self._begin(command.item_id, self._call(command))

    def stop(self, item_id: str) -> None:
        """Nobody waits any more."""
        if item_id in self._work:
            self._work[item_id].cancel()

    def _begin(self, item_id: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._spawn(work, f"mcp-{item_id}")
        self._work[item_id] = task
        task.add_done_callback(lambda _: self._work.pop(item_id, None))

    async def _list(self, item_id: str, server: McpServerTool) -> None:
        tools: tuple[McpTool, ...] | None = None
        try:
            tools = await self._within(self._limits.remote_list_s, server, _all_tools)
        except RemoteFailed as failed:
            log.warning("the tools of %s cannot be listed: %s", _where(server), failed)
        await self._post(RemoteListed(item_id=item_id, tools=tools))

    async def _call(self, command: CallRemote) -> None:
        async def ask(client: Client) -> str:
            return _output(await client.call_tool(command.name, command.arguments))

        result: str | McpError
        try:
            result = await self._within(self._limits.remote_call_s, command.server, ask)
        except RemoteFailed as failed:
            result = failed.error
        await self._post(RemoteAnswered(item_id=command.item_id, result=result))

    async def _within(self, seconds: float, server: McpServerTool, ask: Callable[[Client], Awaitable[Any]]) -> Any:
        """What the server answers, over a connection that is kept as long as it works. Raises RemoteFailed."""
        line: _Line | None = None
        try:
            async with asyncio.timeout(seconds), self._turn:
                line = self._line(server)
                return await ask(await asyncio.shield(line.client))
        except Exception as error:
            status = line.status if line else None
            if line and not (line.connected and status is None and _harmless(error)):
                self._hang_up(line)
            raise RemoteFailed(_explained(error, status, seconds)) from None

    def _line(self, server: McpServerTool) -> _Line:
        key = mcp.identity(server)
        line = self._lines.get(key)
        if line is None or line.task is None or line.task.done():
            line = self._lines[key] = _Line(server, guarded=not self._limits.reach.trusts(server.server_url or ""))
            line.task = self._spawn(line.hold(), f"mcp-connection-{server.server_label}")
        return line

    def _hang_up(self, line: _Line) -> None:
        """The next call connects anew."""
        if line.task is not None:
            line.task.cancel()
        for key, held in list(self._lines.items()):
            if held is line:
                del self._lines[key]


class _Line:
    """One connection: its task enters and leaves it, others ask through `client`. `guarded`: only to the public network."""

    def __init__(self, server: McpServerTool, *, guarded: bool) -> None:
        self.task: asyncio.Task[None] | None = None
        self.client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self.status: int | None = None
        """The status of the last HTTP answer where it was a failure."""
        self._server = server
        self._guarded = guarded

    @property
    def connected(self) -> bool:
        """Whether it ever was."""
        return self.client.done() and self.client.exception() is None

    async def hold(self) -> None:
        """Connect, and stay so until cancelled."""
        loop = asyncio.get_running_loop()
        farewell: asyncio.TimerHandle | None = None
        try:
            package = await asyncio.to_thread(importlib.import_module, "mcp")
            transport = await asyncio.to_thread(importlib.import_module, "mcp.client.streamable_http")
            async with self._http() as http:
                streams = transport.streamable_http_client(self._server.server_url, http_client=http)
                async with package.Client(streams, cache=None) as client:
                    self.client.set_result(client)
                    try:
                        await loop.create_future()
                    finally:
                        task = asyncio.current_task()
                        farewell = loop.call_later(FAREWELL_S, task.cancel) if task else None
        except (Exception, BaseExceptionGroup) as error:
            log.debug("the connection to %s ended: %s", _where(self._server), type(error).__name__)
            self._give_up(error)
        finally:
            if farewell:
                farewell.cancel()
            self._give_up(ConnectionError("the connection was given up"))

    def _give_up(self, error: BaseException) -> None:
        if not self.client.done():
            self.client.set_exception(error)
            self.client.exception()  # seen, though perhaps nobody waits any more

    def _http(self) -> Any:
        httpx2 = importlib.import_module("httpx2")
        headers = dict(self._server.headers or {})
        if self._server.authorization:
            headers["Authorization"] = f"Bearer {self._server.authorization}"

        async def note(response: Any) -> None:
            self.status = response.status_code if response.status_code >= 400 else None

        # The deadlines are those of the calls: a stream from the server may be silent for as long as it likes.
        timeout = httpx2.Timeout(10.0, read=None)
        transport = _public_only(httpx2) if self._guarded else None
        hooks = {"response": [note]}
        return httpx2.AsyncClient(headers=headers, timeout=timeout, event_hooks=hooks, transport=transport)


def _public_only(httpx2: Any) -> Any:
    """Connects to public addresses alone. A name is looked up once, and it is that address which is connected."""

    class PublicOnly(httpx2.AsyncHTTPTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            name = request.url.host
            found = await asyncio.get_running_loop().getaddrinfo(name, request.url.port, type=socket.SOCK_STREAM)
            addresses = [str(address[0]) for *_, address in found]
            if not all(map(is_public, addresses)):
                raise RemoteFailed(mcp.failure("http_error", "The MCP server has no public address.", FORBIDDEN))
            request.url = request.url.copy_with(host=addresses[0])
            request.extensions = {**request.extensions, "sni_hostname": name}
            return await super().handle_async_request(request)

    return PublicOnly()


async def _all_tools(client: Client) -> tuple[McpTool, ...]:
    tools: list[Tool] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if len(tools) > MOST_TOOLS:
            raise RemoteFailed(mcp.failure("protocol_error", f"It offers more than {MOST_TOOLS} tools.", 0))
        if not cursor or not page.tools:
            return tuple(map(_tool, tools))


def _tool(tool: Tool) -> McpTool:
    """As the wire has it. Clients want a description, be it empty."""
    notes = tool.annotations
    return McpTool(
        name=tool.name,
        description=tool.description or "",
        input_schema=tool.input_schema,
        annotations=notes.model_dump(by_alias=True, exclude_none=True) if notes else msgspec.UNSET,
    )


def _output(result: CallToolResult) -> str:
    """The answer as text: other content, and answers that are only data, as JSON. Raises RemoteFailed."""
    parts = []
    for block in result.content:
        if block.type == "text":
            parts.append(block.text)
        else:
            parts.append(block.model_dump_json(by_alias=True, exclude_none=True))
    if not parts and result.structured_content is not None:
        parts.append(msgspec.json.encode(result.structured_content).decode())
    output = "\n".join(parts)
    if len(output) > LONGEST_OUTPUT:
        output = f"The answer is too long: {len(output)} characters, and {LONGEST_OUTPUT} are the most."
    elif not result.is_error:
        return output
    raise RemoteFailed(mcp.failure("tool_execution_error", output or "The tool failed without a word."))


def _harmless(error: Exception) -> bool:
    """Whether the connection is as good as before: the server answered, or was only slow."""
    code = getattr(error, "code", None)
    return isinstance(error, RemoteFailed | TimeoutError) or (isinstance(code, int) and code != CONNECTION_CLOSED)


def _explained(error: Exception, status: int | None, seconds: float) -> McpError:
    """The failure as the wire has it; what never was an answer counts as the gateway's own 502 and 504."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, RemoteFailed):
        return error.error
    if isinstance(error, TimeoutError):
        return mcp.failure("http_error", f"The MCP server did not answer within {seconds:g} seconds.", GATEWAY_TIMEOUT)
    if status is not None:
        return mcp.failure("http_error", f"The MCP server answered with HTTP status {status}.", status)
    code = getattr(error, "code", None)
    if code == CONNECTION_CLOSED:
        return mcp.failure("http_error", "The connection to the MCP server was lost.", BAD_GATEWAY)
    if isinstance(code, int):
        return mcp.failure("protocol_error", str(error) or "The MCP server refused.", code)
    name = type(error).__name__
    return mcp.failure("http_error", f"The MCP server could not be reached ({name}).", BAD_GATEWAY)


def _where(server: McpServerTool) -> str:
    """For the log: label and host."""
    return f"'{server.server_label}' ({urlsplit(server.server_url or '').hostname})"
