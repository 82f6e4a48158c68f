"""Remote MCP tools for real: a server made with the `mcp` package on a loopback socket, and a caller of ours."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from their_models import NOT_IN_THEIR_MODELS, THEIR_SERVER_EVENTS, strangers
from wire import Caller, CharacterTts, LengthStt, ToneVad, calling, serving, types

from duologue.engines.base import LlmDone, LlmEvent, LlmRequest, SpeechHints, TextDelta, ToolCallDelta
from duologue.protocol.items import FunctionCallOutput, Message, text_of
from duologue.server.limits import Limits
from duologue.server.reach import Reach
from duologue.server.runner import Engines, RealtimeServer

TOKEN = "a-token-that-must-not-leak"


class ToolLlm:
    """Calls the tools that the user names, then says what they answered."""

    name = "tool"

    def __init__(self) -> None:
        self.requests: list[LlmRequest] = []

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        self.requests.append(request)
        last = request.items[-1]
        if isinstance(last, FunctionCallOutput):
            yield TextDelta(text=f"It says: {last.output}")
        elif isinstance(last, Message):
            for index, name in enumerate(text_of(last).split()):
                yield ToolCallDelta(index=index, name=name)
                yield ToolCallDelta(index=index, arguments='{"page":')
                yield ToolCallDelta(index=index, arguments='"home"}')
        yield LlmDone()

    def hints(self, tools: object, prompt: str | None) -> SpeechHints:
        return SpeechHints()


class Remote:
    """A remote server with a few tools; it remembers the headers of each request."""

    def __init__(self) -> None:
        self.mcp = MCPServer("docs")
        self.headers: list[dict[str, str]] = []
        self.begun = asyncio.Event()
        self.stopped = asyncio.Event()
        self.mcp.add_tool(self.find, annotations=ToolAnnotations(read_only_hint=True))
        self.mcp.add_tool(self.broken)
        self.mcp.add_tool(self.slow)
        self.mcp.add_tool(self.numbers)

    async def find(self, page: str) -> str:
        """Find a page."""
        return f"the page {page}"

    async def broken(self, page: str) -> str:
        raise ToolError("no such page")

    async def slow(self, page: str) -> str:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()
        return "never"

    async def numbers(self, page: str) -> list[int]:
        return [1, 2]

    def app(self) -> ASGIApp:
        inner = self.mcp.streamable_http_app()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                self.headers.append({key.decode(): value.decode() for key, value in scope["headers"]})
            await inner(scope, receive, send)

        return app


@asynccontextmanager
async def hosting(app: ASGIApp, port: int = 0) -> AsyncIterator[str]:
    """The app on a loopback port, any free one unless told; gives the address of its MCP endpoint."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, lifespan="on", log_level="error", timeout_graceful_shutdown=1)
    host = uvicorn.Server(config)
    config.load()
    host.lifespan = config.lifespan_class(config)
    await host.startup([listener])
    main = asyncio.create_task(host.main_loop(), name="remote-server")
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        host.should_exit = True
        await main
        await host.shutdown([listener])


def entry(url: str, **fields: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "docs", "server_url": url, "require_approval": "never", **fields}


@asynccontextmanager
async def talking(**limits: Any) -> AsyncIterator[tuple[Caller, ToolLlm]]:
    """A caller whose every event is held against the typed models of the `openai` package."""
    llm = ToolLlm()
    engines = Engines(vad=ToneVad(), stt=LengthStt(), llm=llm, tts=CharacterTts())
    server = RealtimeServer(engines, limits=Limits(**limits))
    async with serving(server) as url, calling(url) as caller:
        yield caller, llm
        for event in caller.events:
            understood = THEIR_SERVER_EVENTS[event["type"]].model_validate_json(msgspec.json.encode(event), strict=True)
            assert set(strangers(understood)) <= set(NOT_IN_THEIR_MODELS), event
    await server.drain(10)
    left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("mcp-", "session-"))]
    assert left == []


async def listed(caller: Caller, *tools: dict[str, Any]) -> dict[str, Any]:
    """Configure the tools; the item with what the server offers."""
    await caller.configure(output_modalities=["text"], tools=list(tools))
    done = (await caller.until("conversation.item.done"))[-1]["item"]
    assert done["type"] == "mcp_list_tools"
    item: dict[str, Any] = done
    return item


async def ask(caller: Caller, text: str) -> list[dict[str, Any]]:
    """Say it, and read on to the end of the response."""
    await caller.say(text)
    await caller.until("conversation.item.done")
    await caller.send("response.create")
    return await caller.until("response.done")


def outcome(events: list[dict[str, Any]]) -> dict[str, Any]:
    [item] = events[-1]["response"]["output"]
    found: dict[str, Any] = item
    return found


def test_a_name_that_leads_home_is_not_connected_for_strangers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        remote = Remote()
        async with hosting(remote.app()) as url, talking(reach=Reach(anywhere=False)) as (caller, _):
            refused = entry(url)
            await caller.send("session.update", session={"type": "realtime", "tools": [refused]})
            error = (await caller.until("error"))[-1]["error"]
            assert (error["code"], error["param"]) == ("invalid_value", "session.tools[0].server_url")
            port = url.split(":")[2].split("/")[0]
            loop = asyncio.get_running_loop()
            real = loop.getaddrinfo

            async def home(host: Any, *args: Any, **kinds: Any) -> Any:
                return await real("127.0.0.1" if host == "docs.example" else host, *args, **kinds)

            monkeypatch.setattr(loop, "getaddrinfo", home)
            item = await listed(caller, entry(f"https://docs.example:{port}/mcp"))
            assert item["tools"] == []
            assert "mcp_list_tools.failed" in types(caller.events)
            assert "no public address" in caplog.text
            assert remote.headers == []

    asyncio.run(scenario())


def test_a_server_that_the_operator_named_is_connected_for_strangers() -> None:
    async def scenario() -> None:
        remote = Remote()
        async with hosting(remote.app()) as url, talking(reach=Reach(anywhere=False, prefixes=(url,))) as (caller, _):
            assert len((await listed(caller, entry(url)))["tools"]) == 4

    asyncio.run(scenario())


def test_tools_are_listed_called_and_spoken_of() -> None:
    async def scenario() -> None:
        remote = Remote()
        async with hosting(remote.app()) as url, talking() as (caller, _):
            item = await listed(caller, entry(url, headers={"X-Team": "red"}, authorization=TOKEN))
            assert [tool["name"] for tool in item["tools"]] == ["find", "broken", "slow", "numbers"]
            assert item["tools"][0]["description"] == "Find a page."
            assert item["tools"][0]["annotations"] == {"readOnlyHint": True}
            assert types(caller.events)[1:] == [
                "session.updated",
                "conversation.item.added",
                "mcp_list_tools.in_progress",
                "mcp_list_tools.completed",
                "conversation.item.done",
            ]
            events = await ask(caller, "find")
            assert types(events) == [
                "response.created",
                "response.output_item.added",
                "conversation.item.added",
                "response.mcp_call_arguments.delta",
                "response.mcp_call_arguments.done",
                "response.mcp_call.in_progress",
                "response.mcp_call.completed",
                "conversation.item.done",
                "response.output_item.done",
                "response.done",
            ]
            assert outcome(events)["output"] == "the page home"
            await caller.send("response.create")
            spoken = outcome(await caller.until("response.done"))
            assert spoken["content"][0]["text"] == "It says: the page home"
            assert all(headers["x-team"] == "red" for headers in remote.headers)
            assert {headers["authorization"] for headers in remote.headers} == {f"Bearer {TOKEN}"}
            assert TOKEN not in str(caller.events)

    asyncio.run(scenario())


def test_several_calls_in_one_response() -> None:
    async def scenario() -> None:
        async with hosting(Remote().app()) as url, talking() as (caller, _):
            await listed(caller, entry(url))
            events = await ask(caller, "find broken numbers")
            found, failed, data = events[-1]["response"]["output"]
            assert found["output"] == "the page home"
            assert failed["error"]["type"] == "tool_execution_error"
            assert "no such page" in failed["error"]["message"]
            assert failed["output"] is None
            assert data["output"] == "1\n2"

    asyncio.run(scenario())


def test_only_allowed_tools_are_offered() -> None:
    async def scenario() -> None:
        async with hosting(Remote().app()) as url, talking() as (caller, llm):
            item = await listed(caller, entry(url, allowed_tools={"read_only": True}))
            assert [tool["name"] for tool in item["tools"]] == ["find"]
            await ask(caller, "find")
            assert [tool.name for tool in llm.requests[-1].tools] == ["find"]

    asyncio.run(scenario())


@pytest.mark.parametrize("approve", [True, False])
def test_approval(approve: bool) -> None:
    async def scenario() -> None:
        async with hosting(Remote().app()) as url, talking() as (caller, _):
            await listed(caller, entry(url, require_approval="always"))
            request = outcome(await ask(caller, "find"))
            assert (request["type"], request["name"], request["arguments"]) == (
                "mcp_approval_request",
                "find",
                '{"page":"home"}',
            )
            answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve}
            if not approve:
                answer["reason"] = "not now"
            await caller.send("conversation.item.create", item=answer)
            await caller.until("conversation.item.done")
            call = (await caller.until("conversation.item.done"))[-1]["item"]
            assert call["approval_request_id"] == request["id"]
            if approve:
                assert call["output"] == "the page home"
            else:
                assert "not now" in call["error"]["message"]
            await caller.send("response.create")
            spoken = outcome(await caller.until("response.done"))["content"][0]["text"]
            assert ("the page home" if approve else "not now") in spoken

    asyncio.run(scenario())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def refuses(_: Request) -> Response:
    return JSONResponse({"detail": "no"}, 401)


async def says_nothing(_: Request) -> Response:
    await asyncio.Event().wait()
    return Response()


async def talks_nonsense(_: Request) -> Response:
    return Response("<html>", media_type="text/html")


@pytest.mark.parametrize("handler", [None, refuses, says_nothing, talks_nonsense])
def test_a_server_that_cannot_be_asked_is_a_failed_listing_and_a_living_session(
    handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        app = Starlette(routes=[Route("/mcp", handler or refuses, methods=["GET", "POST", "DELETE"])])
        async with hosting(app) as url, talking(remote_list_s=3 if handler is not says_nothing else 0.3) as (caller, _):
            if handler is None:
                url = f"http://127.0.0.1:{free_port()}/mcp"
            item = await listed(caller, entry(url, authorization=TOKEN))
            assert item["tools"] == []
            assert caller.events[-2]["type"] == "mcp_list_tools.failed"
            await ask(caller, "hello")

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert "'docs' (127.0.0.1) cannot be listed" in caplog.text
    assert TOKEN not in caplog.text


def test_a_server_that_goes_away_fails_the_call_and_is_found_again() -> None:
    async def scenario() -> None:
        port = free_port()
        async with talking(remote_call_s=5) as (caller, _):
            async with hosting(Remote().app(), port) as url:
                await listed(caller, entry(url))
            error = outcome(await ask(caller, "find"))["error"]
            assert (error["type"], error["code"]) == ("http_error", 502)
            async with hosting(Remote().app(), port):
                assert outcome(await ask(caller, "find"))["output"] == "the page home"

    asyncio.run(scenario())


def test_a_slow_tool_fails_at_its_deadline_and_others_still_work() -> None:
    async def scenario() -> None:
        remote = Remote()
        async with hosting(remote.app()) as url, talking(remote_call_s=1.0) as (caller, _):
            await listed(caller, entry(url))
            found, slow = (await ask(caller, "find slow"))[-1]["response"]["output"]
            assert found["output"] == "the page home"
            assert (slow["error"]["type"], slow["error"]["code"]) == ("http_error", 504)
            assert outcome(await ask(caller, "find"))["output"] == "the page home"

    asyncio.run(scenario())


def test_cancelling_the_response_stops_the_call() -> None:
    async def scenario() -> None:
        remote = Remote()
        async with hosting(remote.app()) as url, talking() as (caller, _):
            await listed(caller, entry(url))
            await caller.say("slow")
            await caller.send("response.create")
            await asyncio.wait_for(remote.begun.wait(), 10)
            await caller.send("response.cancel")
            response = (await caller.until("response.done"))[-1]["response"]
            assert response["status"] == "cancelled"
            assert response["output"][0]["error"]["type"] == "tool_execution_error"
            await asyncio.wait_for(remote.stopped.wait(), 10)

    asyncio.run(scenario())


def test_a_session_that_ends_leaves_no_call_behind() -> None:
    async def scenario() -> None:
        remote = Remote()
        async with hosting(remote.app()) as url:
            async with talking() as (caller, _):
                await listed(caller, entry(url))
                await caller.say("slow")
                await caller.send("response.create")
                await asyncio.wait_for(remote.begun.wait(), 10)
            await asyncio.wait_for(remote.stopped.wait(), 10)

    asyncio.run(scenario())
