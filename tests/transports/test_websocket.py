from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sockets import BOTH, without_picows
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from duologue.errors import ConnectFailed, TransportClosed
from duologue.transports.websocket import connect, websocket_url

KEY = "sk-very-secret"


@pytest.fixture(params=BOTH, autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "websockets":
        without_picows(monkeypatch)
    return str(request.param)


def against(
    peer: Callable[[ServerConnection], Awaitable[None]], story: Callable[[str], Awaitable[None]], **options: Any
) -> None:
    async def run() -> None:
        async with serve(peer, "127.0.0.1", 0, **options) as server:
            await story(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime?model=m")

    asyncio.run(asyncio.wait_for(run(), 20))


def test_frames_travel_as_text_and_the_key_as_a_header(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    logging.getLogger("websockets.server").setLevel("INFO")
    heads: list[Any] = []

    async def peer(socket: ServerConnection) -> None:
        heads.append(socket.request)
        async for message in socket:
            assert isinstance(message, str)
            await socket.send(message.upper())

    async def story(url: str) -> None:
        transport = await connect(url, api_key=KEY, headers={"X-Trace": "1"})
        await transport.send(b'{"a":1}')
        assert bytes(await anext(transport.__aiter__())) == b'{"A":1}'  # type: ignore[arg-type]
        assert heads[0].headers["Authorization"] == f"Bearer {KEY}"
        assert heads[0].headers["X-Trace"] == "1"
        assert heads[0].path == "/v1/realtime?model=m"
        assert "Sec-WebSocket-Extensions" not in heads[0].headers
        assert KEY not in repr(vars(transport))
        await transport.close(1000, "done")
        await transport.close()
        assert transport.closed is not None
        assert transport.closed.by == "us"
        with pytest.raises(TransportClosed):
            await transport.send(b"late")

    against(peer, story)
    assert KEY not in caplog.text


def test_the_peers_close_code_and_reason_arrive() -> None:
    async def peer(socket: ServerConnection) -> None:
        await socket.send("last words")
        await socket.close(4000, "no such model")

    async def story(url: str) -> None:
        transport = await connect(url)
        assert [bytes(frame) async for frame in transport] == [b"last words"]  # type: ignore[arg-type]
        assert transport.closed is not None
        assert (transport.closed.code, transport.closed.reason) == (4000, "no such model")
        assert not transport.closed.retryable
        for _ in range(2):
            with pytest.raises(TransportClosed) as caught:
                await transport.send(b"{}")
            assert caught.value is not transport.closed  # a stored exception would grow its traceback
        assert transport.closed.__traceback__ is None

    against(peer, story)


def test_a_vanished_peer_is_1006_and_worth_a_retry() -> None:
    async def peer(socket: ServerConnection) -> None:
        socket.transport.abort()

    async def story(url: str) -> None:
        transport = await connect(url)
        assert [frame async for frame in transport] == []
        assert transport.closed is not None
        assert transport.closed.code == 1006
        assert transport.closed.retryable

    against(peer, story)


@pytest.mark.parametrize(("status", "retryable"), [(401, False), (429, True), (503, True)])
def test_a_refusal_carries_status_and_body_and_not_the_key(status: int, retryable: bool) -> None:
    async def peer(socket: ServerConnection) -> None:
        raise AssertionError("must not be reached")

    def refuse(socket: ServerConnection, request: Request) -> Response:
        return socket.respond(status, "because I say so")

    async def story(url: str) -> None:
        with pytest.raises(ConnectFailed) as failure:
            await connect(url, api_key=KEY)
        assert failure.value.status == status
        assert "because I say so" in str(failure.value)
        assert failure.value.retryable is retryable
        assert KEY not in repr(failure.value) + str(failure.value)

    against(peer, story, process_request=refuse)


def test_nobody_there_and_nonsense_addresses() -> None:
    async def story() -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectFailed) as failure:
            await connect(f"ws://127.0.0.1:{port}/")
        assert failure.value.retryable
        for address in ("ftp://somewhere", "ws://127.0.0.1:99999999/", "no address"):
            with pytest.raises(ConnectFailed) as failure:
                await connect(address)
            assert not failure.value.retryable, address

    asyncio.run(asyncio.wait_for(story(), 20))


def test_http_addresses_become_websocket_addresses() -> None:
    assert websocket_url("https://a/b") == "wss://a/b"
    assert websocket_url("HTTP://a") == "ws://a"
    assert websocket_url("wss://a") == "wss://a"


def test_a_server_that_hangs_up_before_it_answers_may_be_starting() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def story() -> None:
        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            with pytest.raises(ConnectFailed) as failed:
                await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert failed.value.retryable
        assert "starting or stopping" in failed.value.reason

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_redirect_is_refused_and_the_key_goes_nowhere_else() -> None:
    asked: list[Request] = []

    async def elsewhere(socket: ServerConnection) -> None:
        await socket.wait_closed()

    def note(_: ServerConnection, request: Request) -> None:
        asked.append(request)

    async def story() -> None:
        async with serve(elsewhere, "127.0.0.1", 0, process_request=note) as other:
            target = f"ws://127.0.0.1:{other.sockets[0].getsockname()[1]}/v1/realtime"

            def send_away(socket: ServerConnection, _: Request) -> Response:
                answer = socket.respond(307, "over there")
                answer.headers["Location"] = target
                return answer

            async with serve(elsewhere, "127.0.0.1", 0, process_request=send_away) as server:
                with pytest.raises(ConnectFailed) as failed:
                    await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", headers={"api-key": KEY})
        assert failed.value.status == 307
        assert not failed.value.retryable
        assert asked == []

    asyncio.run(asyncio.wait_for(story(), 20))


@pytest.mark.parametrize(
    ("proxy", "says", "retryable"),
    [
        ("http://{here}", "the proxy refused the connection (HTTP 407", False),
        ("http://127.0.0.1:9", "nothing listens there", True),
        ("gopher://user:geheim@127.0.0.1:9", "the proxy cannot be used", False),
        ("socks5://127.0.0.1:9", "127.0.0.1:9", True),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_in_words(proxy: str, says: str, retryable: bool) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def story() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            with pytest.raises(ConnectFailed) as failed:
                await connect("ws://realtime.invalid/v1", proxy=proxy.format(here=f"{host}:{port}"))
        assert says in str(failed.value)
        assert "geheim" not in str(failed.value)
        assert failed.value.retryable == retryable

    asyncio.run(asyncio.wait_for(story(), 20))


def test_what_a_socks_proxy_needs_is_one_line() -> None:
    program = """
import asyncio, sys
sys.modules["python_socks"] = None
from duologue.errors import ConnectFailed
from duologue.transports.websocket import connect
try:
    asyncio.run(connect("ws://realtime.invalid/v1", proxy="socks5://127.0.0.1:9"))
except ConnectFailed as problem:
    print(problem)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "Run: pip install 'python-socks[asyncio]'" in ran.stdout
    assert ran.stdout.count("\n") == 1
