"""Decisions about telephone calls, against a provider on a real socket that follows the published routes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from duologue.access.webhooks import sign
from duologue.errors import ConfigError, ConnectFailed
from duologue.transports.sip import SipCalls, WebhookRefused, line_session

KEY = "sk-very-secret"
SECRET = "whsec_c2VjcmV0"
NOW_S = 1_790_000_000


class Provider:
    """Knows one call; notes what is decided about it."""

    def __init__(self) -> None:
        self.decided: list[tuple[str, Any]] = []
        self.seen: list[str] = []

    async def decide(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": "Incorrect API key"}}, 401)
        if request.path_params["call_id"] != "rtc_1":
            return JSONResponse({"error": {"message": "no such call"}}, 404)
        body = await request.body()
        self.decided.append((request.path_params["action"], json.loads(body) if body else None))
        return Response(status_code=200)

    async def sideband(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.seen += [websocket.url.query, websocket.headers["authorization"]]
        await websocket.send_text('{"type":"session.created"}')
        await websocket.close(1000)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = Starlette(
            routes=[
                Route("/v1/realtime/calls/{call_id}/{action}", self.decide, methods=["POST"]),
                WebSocketRoute("/v1/realtime", self.sideband),
            ]
        )
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="websockets-sansio", lifespan="off"))
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="provider")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            server.should_exit = True
            await serving


def against(story: Callable[[Provider, SipCalls], Awaitable[None]], *, key: str = KEY) -> None:
    async def run() -> None:
        provider = Provider()
        async with provider.running() as url, SipCalls(key, webhook_secret=SECRET, base_url=url) as calls:
            await story(provider, calls)

    asyncio.run(asyncio.wait_for(run(), 20))


def webhook(kind: str = "realtime.call.incoming", **data: Any) -> bytes:
    return json.dumps({"id": "evt_1", "object": "event", "created_at": NOW_S, "type": kind, "data": data}).encode()


def signed(body: bytes) -> dict[str, str]:
    return sign(body, secret=SECRET, webhook_id="wh_1", now_s=NOW_S)


def test_a_call_is_announced_accepted_referred_and_ended() -> None:
    headers = [{"name": "From", "value": "sip:+49301@example.org"}, {"name": "X-Desk", "value": "2"}]
    body = webhook(call_id="rtc_1", sip_headers=headers, sip_media_security="srtp", something_new=1)

    async def story(provider: Provider, calls: SipCalls) -> None:
        call = calls.incoming(body, signed(body), now_s=NOW_S)
        assert call is not None
        assert (call.call_id, call.media_security) == ("rtc_1", "srtp")
        assert (call.header("from"), call.header("x-desk"), call.header("To")) == ("sip:+49301@example.org", "2", "")
        await call.accept({"model": "gpt-realtime", "instructions": "Be brief."})
        transport = await call.attach()
        assert [json.loads(frame)["type"] async for frame in transport] == ["session.created"]
        await call.refer("tel:+4930123456")
        await call.hangup()
        assert provider.decided == [
            ("accept", {"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}),
            ("refer", {"target_uri": "tel:+4930123456"}),
            ("hangup", None),
        ]
        assert provider.seen == ["call_id=rtc_1", f"Bearer {KEY}"]
        assert KEY not in repr(calls) + repr(call) + repr(vars(call))

    against(story)


def test_a_call_is_declined_with_a_status() -> None:
    async def story(provider: Provider, calls: SipCalls) -> None:
        await calls.call("rtc_1").reject()
        await calls.call("rtc_1").reject(486)
        assert provider.decided == [("reject", {"status_code": 603}), ("reject", {"status_code": 486})]

    against(story)


def test_a_refusal_brings_status_and_body() -> None:
    async def story(_: Provider, calls: SipCalls) -> None:
        with pytest.raises(ConnectFailed) as refused:
            await calls.call("rtc_2").hangup()
        assert (refused.value.status, refused.value.retryable) == (404, False)
        assert "no such call" in str(refused.value)

    against(story)


def test_a_wrong_key_is_told_and_not_shown() -> None:
    async def story(_: Provider, calls: SipCalls) -> None:
        with pytest.raises(ConnectFailed) as refused:
            await calls.call("rtc_1").hangup()
        assert refused.value.status == 401
        assert "sk-wrong" not in str(refused.value)

    against(story, key="sk-wrong")


def test_nobody_at_home_can_be_tried_again() -> None:
    async def run() -> None:
        async with SipCalls(KEY, base_url="http://127.0.0.1:1/v1") as calls:
            with pytest.raises(ConnectFailed) as failed:
                await calls.call("rtc_1").hangup()
            assert failed.value.retryable

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "headers", "why"),
    [
        (webhook(call_id="rtc_1"), signed(b"other bytes"), "forged"),
        (webhook(call_id="rtc_1"), {}, "incomplete"),
        (webhook(), signed(webhook()), "malformed"),
        (b"[1", signed(b"[1"), "malformed"),
        (b"\xff", signed(b"\xff"), "malformed"),
    ],
)
def test_a_webhook_that_must_not_be_believed(body: bytes, headers: dict[str, str], why: str) -> None:
    async def run() -> None:
        async with SipCalls(KEY, webhook_secret=SECRET) as calls:
            with pytest.raises(WebhookRefused) as refused:
                calls.incoming(body, headers, now_s=NOW_S)
            assert refused.value.why == why

    asyncio.run(run())


def test_a_webhook_about_something_else_is_no_call() -> None:
    async def run() -> None:
        body = webhook("response.completed", id="resp_1")
        async with SipCalls(KEY, webhook_secret=SECRET) as calls:
            assert calls.incoming(body, signed(body), now_s=NOW_S) is None

    asyncio.run(run())


@pytest.mark.parametrize("secret", ["", "whsec_!"])
def test_without_a_usable_secret_nothing_is_believed(secret: str) -> None:
    async def run() -> None:
        async with SipCalls(KEY, webhook_secret=secret) as calls:
            with pytest.raises(ConfigError, match="whsec_"):
                calls.incoming(webhook(call_id="rtc_1"), signed(b""), now_s=NOW_S)

    asyncio.run(run())


def test_what_belongs_to_the_line_is_named() -> None:
    detection = {"type": "server_vad", "threshold": 0.4, "create_response": True}
    audio = {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": detection}, "output": {"voice": "marin"}}
    with pytest.raises(ConfigError) as refused:
        line_session({"audio": audio})
    assert "audio.input.format, audio.input.turn_detection.threshold" in str(refused.value)
    fine = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}, "output": {"voice": "marin"}}}
    assert line_session(fine) == {"type": "realtime", **fine}
    assert line_session({"audio": {"input": {"turn_detection": None}}})["type"] == "realtime"


def test_a_target_that_is_no_address_is_refused_here() -> None:
    async def story(provider: Provider, calls: SipCalls) -> None:
        with pytest.raises(ConfigError, match="tel:"):
            await calls.call("rtc_1").refer("+4930123456")
        assert provider.decided == []

    against(story)
