from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve

from duologue.errors import ConfigError
from duologue.testing.conformance import data
from duologue.transports.cloudflare import http_url
from duologue.transports.dial import open_websocket
from duologue.transports.page import offers


def test_a_process_uses_sockets() -> None:
    async def peer(socket: ServerConnection) -> None:
        assert socket.request is not None
        await socket.send(socket.request.headers["X-Trace"])

    async def story() -> None:
        async with serve(peer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            transport = await open_websocket(f"ws://127.0.0.1:{port}", headers={"X-Trace": "yes"})
            assert [data(frame) async for frame in transport] == [b"yes"]

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_fetch_wants_http_addresses() -> None:
    assert http_url("wss://a/b?c=wss:") == "https://a/b?c=wss:"
    assert http_url(" WS://a") == "http://a"
    assert http_url("https://a") == "https://a"


def test_a_page_says_with_subprotocols_what_others_say_with_headers() -> None:
    assert offers("ek_1", {}) == ["realtime", "openai-insecure-api-key.ek_1"]
    said = offers(None, {"Authorization": "Bearer ek_2", "OpenAI-Beta": "realtime=v1"}, ("realtime", "mine"))
    assert said == ["realtime", "openai-insecure-api-key.ek_2", "mine", "openai-beta.realtime-v1"]
    assert offers(None, {}) == ["realtime"]
    with pytest.raises(ConfigError) as refused:
        offers(None, {"api-key": "secret"})
    assert "api-key" in str(refused.value)
    assert "secret" not in str(refused.value)
