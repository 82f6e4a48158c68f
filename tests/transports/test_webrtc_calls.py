"""duologue.transports.webrtc and its server, with what lies between them: a helper for ICE, and a line that breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

pytest.importorskip("aiortc")
pytest.importorskip("starlette")

from fake_stun import PUBLIC, stun_server
from fake_twilio import hosted
from lossy import Hop
from realserver import duologue_serve
from rtc import loud_engines
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from wire import serving

from duologue.errors import ConnectFailed
from duologue.server.runner import RealtimeServer
from duologue.transports import rtc_peer
from duologue.transports.call_address import IceServer
from duologue.transports.rtc_peer import Peer
from duologue.transports.webrtc import connect


@asynccontextmanager
async def far_away(url: str, hop: Hop) -> AsyncIterator[str]:
    """The server's calls as from far away: their packets travel over the hop. HTTP gets through always."""
    calls = url.replace("ws:", "http:") + "/calls"

    async def pass_on(request: Request) -> Response:
        body, path = await request.body(), request.url.path.partition("/calls")[2]
        headers = {"Content-Type": request.headers.get("content-type", ""), "Authorization": "Bearer any"}
        if not path:
            body = hop.offer(body.decode()).encode()
        async with httpx.AsyncClient() as http:
            reply = await http.post(f"{calls}{path}?{request.url.query}", content=body, headers=headers)
        text = reply.text if path else hop.answer(reply.text)
        return Response(text, reply.status_code, {"Location": reply.headers.get("Location", "")})

    await hop.open()
    app = Starlette(routes=[Route("/calls{rest:path}", pass_on, methods=["POST"])])
    async with hosted(app) as address:
        yield f"{address.replace('ws:', 'http:')}calls?model=scripted"
    hop.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that would wait for a lost peer far longer than these tests do; a caller that soon knows."""
    monkeypatch.setattr(rtc_peer, "QUIET_S", 0.5)
    monkeypatch.setattr(rtc_peer, "GRACE_S", 300.0)
    monkeypatch.setattr(rtc_peer, "CONNECT_S", 300.0)


def test_a_caller_that_cannot_be_heard_any_more_hangs_up_by_http() -> None:
    async def story() -> None:
        server, hop = RealtimeServer(loud_engines()), Hop()
        async with serving(server) as url, far_away(url, hop) as address:
            call = await connect(address, api_key="any")
            assert (call.call_id or "").startswith("rtc_")
            await anext(call.__aiter__())
            hop.silent = True
            async with asyncio.timeout(20):
                while call.reachable:
                    assert await call.port.read()
                await call.close()
                await server._empty.wait()

    asyncio.run(story())


def test_a_call_that_never_came_about_is_not_left_with_the_server() -> None:
    async def story() -> None:
        server, hop = RealtimeServer(loud_engines()), Hop()
        hop.silent = True
        async with serving(server) as url, far_away(url, hop) as address:
            with pytest.raises(ConnectFailed, match="within"):
                await connect(address, api_key="any", timeout_s=2.0)
            async with asyncio.timeout(20):
                await server._empty.wait()

    asyncio.run(story())


def test_the_address_that_a_stun_server_tells_is_offered_by_both_sides() -> None:
    async def story() -> None:
        async with stun_server() as helper:
            caller = Peer(ice_servers=[IceServer(url=helper)], loopback=True)
            offer = await caller.offer()
            assert f" {PUBLIC} 40000 typ srflx" in offer
            with duologue_serve("--ice-server", helper) as host:
                async with httpx.AsyncClient() as http:
                    reply = await http.post(
                        f"http://{host}/v1/realtime/calls?model=scripted",
                        content=offer,
                        headers={"Content-Type": "application/sdp"},
                        timeout=30,
                    )
                assert f" {PUBLIC} 40000 typ srflx" in reply.text
            await caller.close()

    asyncio.run(story())
