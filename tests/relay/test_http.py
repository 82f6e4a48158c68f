"""The relay over HTTP: who may ask for what, and what a body may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from duologue.relay.app import app_around
from duologue.relay.http import MAX_BODY_BYTES
from duologue.relay.server import Relay
from duologue.relay.settings import Callers, Ledger, Limits, Settings, StaticToken, Upstream
from duologue.relay.setup import prepare

CALLERS = Callers(
    tokens=(StaticToken(user="shop", env="SHOP"), StaticToken(user="ops", env="OPS", metrics=True)),
    secret_env="SIGN", origins=("https://shop.example",),
)  # fmt: skip
ENV = {"SHOP": "a-token-of-the-shop", "OPS": "a-token-of-operations", "SIGN": "s" * 40}
SHOP = {"Authorization": "Bearer a-token-of-the-shop"}
OPS = {"Authorization": "Bearer a-token-of-operations"}
SECRETS = "/v1/realtime/client_secrets"


@asynccontextmanager
async def asking(folder: Path, peer: str = "203.0.113.7") -> AsyncIterator[tuple[httpx.AsyncClient, Relay]]:
    settings = Settings(
        callers=CALLERS, upstream=Upstream(url="ws://127.0.0.1:9"), ledger=Ledger(path=str(folder / "l.sqlite3")),
        limits=Limits(sessions=2),
    )  # fmt: skip
    relay = Relay(prepare(settings, env=ENV))
    app = app_around(relay, websockets=False)
    transport = httpx.ASGITransport(app, client=(peer, 1))
    http = httpx.AsyncClient(transport=transport, base_url="http://talk.example")
    async with app.router.lifespan_context(app), http:
        yield http, relay


def tell(folder: Path, story: Callable[[httpx.AsyncClient, Relay], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asking(folder) as (http, relay):
            await story(http, relay)

    asyncio.run(run())


def test_metrics_are_for_those_whose_token_says_so(tmp_path: Path) -> None:
    async def story(http: httpx.AsyncClient, relay: Relay) -> None:
        secret = (await http.post(SECRETS, headers=OPS)).json()["value"]
        assert (await http.get("/metrics")).status_code == 401
        assert (await http.get("/metrics", headers=SHOP)).status_code == 401
        assert (await http.get("/metrics", headers={"Authorization": f"Bearer {secret}"})).status_code == 401
        page = await http.get("/metrics", headers=OPS)
        assert page.status_code == 200
        assert "duologue_relay_calls 0.0" in page.text
        assert 'duologue_relay_refusals_total{code="no_key"} 1.0' in page.text

    tell(tmp_path, story)


def test_a_relay_that_is_full_or_drains_is_not_ready(tmp_path: Path) -> None:
    async def story(http: httpx.AsyncClient, relay: Relay) -> None:
        assert (await http.get("/ready")).status_code == 200
        for seat in ("a", "b"):
            await relay.seats.take(seat, "ann", Limits())
        await relay.seats.alive()
        assert (await http.get("/ready")).json()["error"]["code"] == "full"
        await relay.drain(0)
        answer = await http.get("/ready")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
        assert (await http.get("/health")).status_code == 200
        offer = await http.post("/v1/realtime/calls", headers=SHOP, content=b"v=0\r\n")
        assert (offer.status_code, offer.json()["error"]["code"]) == (503, "relay_shutting_down")

    tell(tmp_path, story)


@pytest.mark.parametrize(("body", "code"), [
    ({"session": {"type": "realtime"}, "model": "x"}, "invalid_json"),
    ([], "invalid_json"),
    ({"expires_after": {"seconds": 9}}, "invalid_value"),
    ({"expires_after": {"seconds": 7201}}, "invalid_value"),
    ({"expires_after": {"seconds": "60"}}, "invalid_value"),
    ({"expires_after": 60}, "invalid_value"),
    ({"session": {"type": "realtime", "voice": "ash"}}, None),
    ({"session": {"type": "realtime", "instructions": Random(0).randbytes(12_000).hex()}}, "session_too_large"),
    ("x" * MAX_BODY_BYTES, "request_too_large"),
])  # fmt: skip
def test_what_cannot_be_ordered_as_a_client_secret(tmp_path: Path, body: Any, code: str | None) -> None:
    async def story(http: httpx.AsyncClient, relay: Relay) -> None:
        answer = await http.post(SECRETS, headers=SHOP, json=body)
        assert answer.status_code == (413 if code == "request_too_large" else 400)
        if code is not None:
            assert answer.json()["error"]["code"] == code

    tell(tmp_path, story)


def test_a_client_secret_says_how_long_it_lives_and_what_it_carries(tmp_path: Path) -> None:
    session = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}

    async def told(http: httpx.AsyncClient, relay: Relay) -> None:
        wish = {"anchor": "created_at", "seconds": 60}
        short = (await http.post(SECRETS, headers=SHOP, json={"session": session, "expires_after": wish})).json()
        usual = (await http.post(SECRETS, headers=SHOP)).json()
        assert 500 < usual["expires_at"] - short["expires_at"] <= 560
        assert short["session"] == session
        assert short["value"].startswith("ek_")

    tell(tmp_path, told)


@pytest.mark.parametrize("path", [SECRETS, "/v1/realtime/calls"])
def test_browsers_learn_which_pages_may_ask(tmp_path: Path, path: str) -> None:
    async def story(http: httpx.AsyncClient, relay: Relay) -> None:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, x-sdk"}
        known = await http.options(path, headers={"Origin": "https://shop.example", **asked})
        assert known.status_code == 204
        assert known.headers["access-control-allow-origin"] == "https://shop.example"
        assert known.headers["access-control-allow-headers"] == "authorization, x-sdk"
        foreign = await http.options(path, headers={"Origin": "https://evil.example", **asked})
        assert foreign.status_code == 403
        assert "access-control-allow-origin" not in foreign.headers
        refused = await http.post(path, headers={**SHOP, "Origin": "https://evil.example"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in refused.headers

    tell(tmp_path, story)
