"""An application for telephone calls against the server in the place of the provider: duologue.server.sip,
duologue.server.sip_routes. The application speaks through `duologue.transports.sip`, the caller through WebRTC."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

pytest.importorskip("aiortc")

import uvicorn
from rtc import RtcCaller, loud_engines
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from wire import serving

from duologue.clock import unix_s
from duologue.errors import ConnectFailed
from duologue.server.admission import Door
from duologue.server.runner import RealtimeServer
from duologue.server.sip import Webhook
from duologue.transports.sip import SipCall, SipCalls
from duologue.transports.webrtc import connect

SECRET = "whsec_c2VjcmV0"
Answer = Callable[[SipCall], Awaitable[None]]


class Application:
    """Takes webhooks on a port of its own; `answer` decides about each call, inside the webhook as applications do."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.calls: SipCalls | None = None
        self.seen: list[SipCall] = []
        self.refuses = 0

    async def webhook(self, request: Request) -> Response:
        assert self.calls is not None
        if self.refuses > 0:
            self.refuses -= 1
            return Response(status_code=500)
        call = self.calls.incoming(await request.body(), request.headers, now_s=unix_s())
        assert call is not None
        self.seen.append(call)
        await self._answer(call)
        return Response()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = Starlette(routes=[Route("/hook", self.webhook, methods=["POST"])])
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
            task = asyncio.create_task(server.serve(sockets=[listener]), name="application")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
            server.should_exit = True
            await task


def line(answer: Answer, story: Callable[[Application, str], Awaitable[None]], *, door: Door | None = None) -> None:
    """Run a story with an application and the address to dial at."""

    async def run() -> None:
        application = Application(answer)
        async with (
            application.running() as hook,
            serving(RealtimeServer(loud_engines()), door, sip=Webhook(url=hook, secret=SECRET)) as url,
        ):
            base = url.replace("ws://", "http://").removesuffix("/realtime")
            async with SipCalls("sk-right", webhook_secret=SECRET, base_url=base) as application.calls:
                await story(application, base)

    asyncio.run(asyncio.wait_for(run(), 60))


def dial(base: str, caller: str = "sip:+49301@example.org") -> Any:
    return connect(f"{base}/realtime/sip/calls?From={caller.replace('+', '%2B')}&X-Desk=2", api_key="sk-right")


async def accept(call: SipCall) -> None:
    await call.accept({"model": "scripted", "instructions": "Be brief."})


def test_a_call_is_accepted_supervised_and_heard() -> None:
    async def story(application: Application, base: str) -> None:
        transport = await dial(base)
        caller = RtcCaller(transport)
        (call,) = application.seen
        assert call.call_id == transport.call_id
        assert (call.header("From"), call.header("X-Desk")) == ("sip:+49301@example.org", "2")
        events = await call.attach()
        frames = events.__aiter__()
        created = json.loads(await anext(frames))
        assert (created["type"], created["session"]["instructions"]) == ("session.created", "Be brief.")
        await events.send(b'{"type":"response.create","response":{"instructions":"greet"}}')
        seen = [json.loads(await anext(frames))["type"]]
        while seen[-1] != "response.done":
            seen.append(json.loads(await anext(frames))["type"])
        assert "output_audio_buffer.started" in seen or "response.output_audio_transcript.done" in seen
        await caller.hears(100)

        async with httpx.AsyncClient() as http:
            pressed = await http.post(f"{base}/realtime/sip/calls/{call.call_id}/dtmf", json={"digit": "5"})
            wrong = await http.post(f"{base}/realtime/sip/calls/{call.call_id}/dtmf", json={"digit": "55"})
        assert (pressed.status_code, wrong.status_code) == (200, 400)
        while (event := json.loads(await anext(frames)))["type"] != "input_audio_buffer.dtmf_event_received":
            pass
        assert event["event"] == "5"
        assert "event_id" not in event or event["event_id"] == ""

        await call.refer("tel:+4930123456")
        async for _ in frames:
            pass
        assert events.closed is not None
        await caller.transport.close()
        with pytest.raises(ConnectFailed) as gone:
            await call.hangup()
        assert gone.value.status == 404

    line(accept, story)


@pytest.mark.parametrize(("status", "http_status"), [(486, 486), (603, 403)])
def test_a_call_that_is_declined_tells_the_caller_so(status: int, http_status: int) -> None:
    async def decline(call: SipCall) -> None:
        await call.reject(status)

    async def story(_: Application, base: str) -> None:
        with pytest.raises(ConnectFailed) as declined:
            await dial(base)
        assert declined.value.status == http_status
        assert str(status) in declined.value.body

    line(decline, story)


def test_a_webhook_that_fails_is_sent_again_and_a_call_nobody_takes_ends() -> None:
    async def story(application: Application, base: str) -> None:
        application.refuses = 1
        transport = await dial(base)
        await transport.close()
        assert len(application.seen) == 1
        application.refuses = 3
        with pytest.raises(ConnectFailed) as failed:
            await dial(base)
        assert failed.value.status == 480
        assert "HTTP 500" in failed.value.body

    line(accept, story)


def test_settings_that_a_line_has_not_are_refused_and_the_call_rings_on() -> None:
    refused: list[ConnectFailed] = []

    async def answer(call: SipCall) -> None:
        # What `accept` refuses by itself has to be refused by the server too.
        bad = {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}
        for settings in (bad, {"type": "realtime", "no_such": 1}):
            with pytest.raises(ConnectFailed) as problem:
                await call._calls.post(call.call_id, "accept", settings)
            refused.append(problem.value)
        await accept(call)

    async def story(_: Application, base: str) -> None:
        await (await dial(base)).close()
        assert [problem.status for problem in refused] == [400, 400]
        assert "audio.input.format" in refused[0].body

    line(answer, story)


def test_the_routes_are_behind_the_keys_and_know_their_calls() -> None:
    door = Door(signing_key=b"k" * 32, api_keys=("sk-right",), models=("scripted",))

    async def story(application: Application, base: str) -> None:
        await (await dial(base)).close()
        calls = f"{base}/realtime/calls/rtc_none"
        async with httpx.AsyncClient() as http:
            without = [(await http.post(f"{calls}/{action}", json={})).status_code for action in ("accept", "refer")]
            key = {"Authorization": "Bearer sk-right"}
            unknown = [
                (await http.post(f"{calls}/{action}", json=body, headers=key)).status_code
                for action, body in (
                    ("accept", {"type": "realtime"}),
                    ("reject", {}),
                    ("refer", {"target_uri": "tel:1"}),
                )
            ]
            odd = [
                (await http.post(f"{calls}/{action}", content=body, headers=key)).status_code
                for action, body in (("reject", b"["), ("reject", b'{"status_code":200}'), ("refer", b"{}"))
            ]
        assert (without, unknown, odd) == ([401, 401], [404, 404, 404], [400, 400, 400])
        assert application.seen

    line(accept, story, door=door)
