"""The door: who is let in (duologue.console.guard), and what the page may load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import websockets
from desk import desk
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from duologue.access.origins import Gate
from duologue.console.guard import Guard


def test_the_page_is_there_with_its_cookie_and_a_strict_policy(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, httpx.AsyncClient(base_url=console.origin) as stranger:
            page = await stranger.get("/")
            assert page.status_code == 200
            assert page.headers["set-cookie"] == f"{console.cookie}; HttpOnly; SameSite=Strict; Path=/"
            policy = page.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
            assert "'self' blob:" in policy
            assert (await stranger.get("/assets/index.js")).status_code == 200
            assert (await stranger.get("/../pyproject.toml")).status_code == 404

    asyncio.run(story())


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "http://evil.example"},
        {"origin": None},
        {"cookie": None},
        {"cookie": "x=y"},
        {"host": "evil.example"},
    ],
)
def test_commands_and_sockets_need_host_origin_and_cookie(tmp_path: Path, changes: dict[str, str | None]) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console:
            headers = {k: v for k, v in {**console.headers, **changes}.items() if v is not None}
            async with httpx.AsyncClient(base_url=console.origin) as stranger:
                answer = await stranger.post("/api/connect", json={}, headers=headers)
            assert answer.status_code == 403
            for path in ("feed", "audio"):
                if "host" in headers:
                    continue  # the library writes its own
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await websockets.connect(f"ws://localhost:{console.port}/ws/{path}", additional_headers=headers)
                assert refused.value.response.status_code == 403
            assert console.call.owner == ""

    asyncio.run(story())


def test_a_name_that_only_resolves_to_us_gets_no_page(tmp_path: Path) -> None:
    async def story() -> None:
        async with desk(tmp_path) as console, httpx.AsyncClient(base_url=console.origin) as stranger:
            answer = await stranger.get("/", headers={"host": f"evil.example:{console.port}"})
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers

    asyncio.run(story())


def test_beyond_loopback_the_token_opens_the_door_once_and_leaves_the_address() -> None:
    inner = Starlette(routes=[Route("/", lambda request: PlainTextResponse("the page"))])
    app = Guard(inner, Gate(bind="0.0.0.0", port=3000, secret="t0ken", tls=True))
    transport = httpx.ASGITransport(app=app)

    async def story() -> None:
        async with httpx.AsyncClient(transport=transport, base_url="https://box:3000") as stranger:
            assert (await stranger.get("/")).status_code == 403
            assert (await stranger.get("/?token=guess")).status_code == 403
            first = await stranger.get("/?token=t0ken")
            assert (first.status_code, first.headers["location"]) == (303, "/")
            assert "Secure" in first.headers["set-cookie"]
            assert (await stranger.get("/")).text == "the page"

    asyncio.run(story())


def test_a_body_without_an_announced_length_is_limited_too(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 50_000

    async def story() -> None:
        async with desk(tmp_path) as console:
            assert (await console.http.post("/api/hello", content=pieces())).status_code == 413
            assert (await console.http.post("/api/hello", content=b" " * 2_000_000)).status_code == 413
            assert (await console.http.post("/api/hello", json={})).status_code == 200

    asyncio.run(story())
