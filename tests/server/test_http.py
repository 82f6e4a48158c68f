"""The ASGI side: health, and what the handshake answers."""

from __future__ import annotations

import asyncio

import httpx
from wire import calling, serving, simple_engines

from duologue.server.http import create_app
from duologue.server.runner import RealtimeServer


def test_health_counts_the_sessions() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(simple_engines())) as url, httpx.AsyncClient() as http:
            health = url.replace("ws://", "http://").replace("/v1/realtime", "/health")
            assert (await http.get(health)).json() == {"status": "ok", "sessions": 0}
            async with calling(url):
                assert (await http.get(health)).json()["sessions"] == 1

    asyncio.run(story())


def test_the_app_is_plain_asgi() -> None:
    paths = {getattr(route, "path", "") for route in create_app(RealtimeServer(simple_engines())).routes}
    assert paths == {"/v1/realtime", "/health"}
