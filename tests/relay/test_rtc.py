from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from duologue.errors import ProtocolError
from duologue.relay.app import app_around
from duologue.relay.commands import Caller
from duologue.relay.policy import Hooks
from duologue.relay.rtc import sdp_of
from duologue.relay.server import Recorder, Relay
from duologue.relay.settings import Ledger, Limits, Settings
from duologue.relay.settings import Upstream as ToUpstream
from duologue.relay.setup import prepare

OFFER = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n"


def test_an_offer_is_the_body_or_a_part_of_a_form() -> None:
    assert sdp_of("application/sdp", OFFER.encode()) == OFFER
    form = (
        '--b\r\nContent-Disposition: form-data; name="session"\r\n\r\n{}\r\n'
        f'--b\r\nContent-Disposition: form-data; name="sdp"\r\nContent-Type: application/sdp\r\n\r\n{OFFER}\r\n--b--\r\n'
    )
    assert sdp_of("multipart/form-data; boundary=b", form.encode()) == OFFER


def test_anything_else_is_refused() -> None:
    for kind, body in (("application/sdp", b""), ("multipart/form-data; boundary=b", b"--b--"), ("", b"{}")):
        with pytest.raises(ProtocolError):
            sdp_of(kind, body)


class Upstream:
    """Makes calls and lets them be joined; `open` is cleared to keep an offer waiting."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.offers = 0
        self.refuses = 0
        self.names = self.joinable = True
        self.hung_up: list[str] = []

    def app(self) -> Starlette:
        return Starlette(routes=[
            Route("/v1/realtime/calls", self.make, methods=["POST"]),
            Route("/v1/realtime/calls/{call}/hangup", self.hang_up, methods=["POST"]),
            WebSocketRoute("/v1/realtime", self.join),
        ])  # fmt: skip

    async def make(self, request: Request) -> Response:
        self.offers += 1
        number = self.offers
        await self.open.wait()
        if self.refuses:
            return Response("no, said sk-live-0123456789abcdef", self.refuses)
        return Response("v=0\r\n", 201, {"Location": f"/v1/realtime/calls/rtc_{number}"} if self.names else {})

    async def hang_up(self, request: Request) -> Response:
        self.hung_up.append(request.path_params["call"])
        return Response()

    async def join(self, ws: WebSocket) -> None:
        if not self.joinable:
            await ws.close()
            return
        await ws.accept()
        await ws.send_text('{"type":"session.created","event_id":"e","session":{"type":"realtime","id":"sess_1"}}')
        with suppress(WebSocketDisconnect):
            while True:
                await ws.receive_text()


@asynccontextmanager
async def relay_before(
    upstream: Upstream, folder: Path, *, recorder: Recorder | None = None, hooks: Hooks | None = None, **limits: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Relay]]:
    """A client for the relay, and the relay."""
    http = uvicorn.Server(uvicorn.Config(upstream.app(), port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(http.serve(), name="upstream-under-test")
    while not http.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    address = f"ws://127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}"
    settings = Settings(
        upstream=ToUpstream(url=address), ledger=Ledger(path=str(folder / "l.sqlite3")), limits=Limits(**limits)
    )
    relay = Relay(prepare(settings, env={}, hooks=hooks), recorder=recorder)
    app = app_around(relay, websockets=False)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as on,
    ):
        yield on, relay
    http.should_exit = True
    await serving


async def offered(http: httpx.AsyncClient) -> httpx.Response:
    return await http.post("/v1/realtime/calls", content=OFFER, headers={"Content-Type": "application/sdp"})


def test_offers_that_come_at_once_are_counted_together(tmp_path: Path) -> None:
    async def story() -> None:
        upstream = Upstream()
        upstream.open.clear()
        async with relay_before(upstream, tmp_path, sessions_per_user=2) as (http, relay):
            asking = [asyncio.create_task(offered(http), name=f"offer-{number}") for number in range(5)]
            done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            while len(done) < 3:
                done, _ = await asyncio.wait(asking, timeout=0.01)
            upstream.open.set()
            answers = await asyncio.gather(*asking)
            assert sorted(answer.status_code for answer in answers) == [201, 201, 503, 503, 503]
            assert upstream.offers == relay.calls == 2
        assert sorted(upstream.hung_up) == ["rtc_1", "rtc_2"]

    asyncio.run(story())


def test_an_offer_that_comes_to_nothing_gives_its_seat_back(tmp_path: Path) -> None:
    def session(session: dict[str, Any], caller: Caller) -> dict[str, Any]:
        raise LookupError("nobody's tenant")

    async def story() -> None:
        async with relay_before(Upstream(), tmp_path, sessions_per_user=1, hooks=Hooks(session=session)) as (
            http,
            relay,
        ):
            for _ in range(3):
                answer = await offered(http)
                assert answer.status_code == 503
                assert answer.json()["error"]["code"] == "server_error"
                assert "tenant" not in answer.text
            await relay.seats.alive()
            assert relay.seats.taken == relay.calls == 0

    asyncio.run(story())


@pytest.mark.parametrize(("said", "told"), [(400, 400), (429, 429), (401, 502), (500, 502)])
def test_a_refusal_of_the_upstream_is_passed_on_without_its_key(tmp_path: Path, said: int, told: int) -> None:
    async def story() -> None:
        upstream = Upstream()
        upstream.refuses = said
        async with relay_before(upstream, tmp_path) as (http, _):
            answer = await offered(http)
            assert answer.status_code == told
            error = answer.json()["error"]
            assert error["code"] == "upstream_refused"
            assert f"HTTP status {said}: no, said sk-" in error["message"]
            assert "0123456789" not in answer.text

    asyncio.run(story())


def test_a_call_that_cannot_be_supervised_is_none(tmp_path: Path) -> None:
    async def story() -> None:
        upstream = Upstream()
        async with relay_before(upstream, tmp_path) as (http, relay):
            upstream.names = False
            assert (await offered(http)).status_code == 503
            upstream.names, upstream.joinable = True, False
            assert (await offered(http)).status_code == 503
            while relay.calls:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert upstream.hung_up == ["rtc_2"]

    asyncio.run(story())


def test_what_the_upstream_tells_of_a_call_is_recorded(tmp_path: Path) -> None:
    recorded: list[str] = []

    class Told:
        closed = asyncio.Event()

        def record(self, direction: str, frame: bytes | str, now_ms: int) -> None:
            recorded.append(f"{direction} {json.loads(frame)['type']}")

        def close(self) -> None:
            self.closed.set()

    async def story() -> None:
        async with relay_before(Upstream(), tmp_path, recorder=lambda call_id, caller: Told()) as (http, relay):
            assert (await offered(http)).status_code == 201
            while not recorded:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            for call in tuple(relay._calls):
                call.end(1000, "enough", "relay")
            await Told.closed.wait()

    asyncio.run(story())
    assert recorded == ["received session.created"]
