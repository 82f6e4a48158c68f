"""The ASGI side on real sockets, in both dialects (duologue.server.http, duologue.server.rest, duologue.server.asgi,
duologue.server.metrics)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import websockets
from openai.types.realtime import ClientSecretCreateResponse
from wire import Caller, serving, simple_engines, types

from duologue.server.admission import Door
from duologue.server.limits import Limits
from duologue.server.metrics import Metrics
from duologue.server.runner import RealtimeServer

DOOR = Door(signing_key=b"k" * 32, api_keys=("sk-right",), models=("scripted", "other"))
KEY = {"Authorization": "Bearer sk-right"}
BETA = {"OpenAI-Beta": "realtime=v1"}


@asynccontextmanager
async def site(door: Door | None = None, **limits: Any) -> AsyncIterator[tuple[httpx.AsyncClient, str, RealtimeServer]]:
    """A server; gives a client for its HTTP side, the address of its WebSocket, and the server itself."""
    server = RealtimeServer(simple_engines(), limits=Limits(**limits), meter=Metrics())
    async with serving(server, door) as url:
        base = url.replace("ws://", "http://").replace("/v1/realtime", "")
        async with httpx.AsyncClient(base_url=base) as http:
            yield http, url, server


@asynccontextmanager
async def visit(url: str, *subprotocols: str, **headers: str) -> AsyncIterator[Caller]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    options: dict[str, Any] = {"subprotocols": subprotocols or None, "max_size": None}
    async with websockets.connect(url, additional_headers=named, **options) as raw:
        yield Caller(raw)


async def turned_away(url: str, *subprotocols: str, **headers: str) -> tuple[int, str, str | None]:
    """Close code, close reason and error code; the error event must be all that came."""
    async with visit(url, *subprotocols, **headers) as caller:
        error = await caller.receive()
        assert error["type"] == "error"
        assert error["event_id"]
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await caller.receive()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason, error["error"]["code"]


def test_health_counts_the_sessions() -> None:
    async def story() -> None:
        async with site() as (http, url, _):
            assert (await http.get("/health")).json() == {"status": "ok", "sessions": 0}
            async with visit(f"{url}?model=x") as caller:
                await caller.until("session.created")
                assert (await http.get("/health")).json()["sessions"] == 1

    asyncio.run(story())


@pytest.mark.parametrize("beta", [False, True])
def test_each_reason_to_turn_a_client_away(beta: bool) -> None:
    async def story() -> None:
        head, protocol = (BETA, ["openai-beta.realtime-v1"]) if beta else ({}, [])
        wrong = (3000, "invalid_request_error.invalid_api_key", "invalid_api_key")
        async with site(DOOR) as (http, url, _):
            here = f"{url}?model=scripted"
            assert await turned_away(here, **head) == (3000, "invalid_request_error", None)
            assert await turned_away(here, Authorization="Bearer sk-wrong", **head) == wrong
            assert await turned_away(here, api_key="sk-wrong", **head) == wrong
            assert await turned_away(here, "realtime", "openai-insecure-api-key.null", *protocol) == wrong
            missing = (4000, "invalid_request_error.missing_model", "missing_model")
            assert await turned_away(url, **KEY, **head) == missing
            unknown = (4000, "invalid_request_error.invalid_model", "invalid_model")
            assert await turned_away(f"{url}?model=unknown", **KEY, **head) == unknown
            for address in (f"{url}/translations?model=scripted", f"{url}?model=gpt-realtime-translate"):
                assert (await turned_away(address, **KEY, **head))[2] == "translation_not_supported"
            assert (await turned_away(f"{url}?call_id=rtc_1", **KEY, **head))[2] == "call_not_found"
            counted = (await http.get("/metrics", headers=KEY)).text
            assert 'duologue_refusals_total{code="invalid_api_key"} 3.0' in counted

    asyncio.run(story())


@pytest.mark.parametrize("beta", [False, True])
@pytest.mark.parametrize("way", ["bearer", "header", "subprotocol"])
def test_a_right_key_opens_in_every_way(way: str, beta: bool) -> None:
    async def story() -> None:
        protocols: list[str] = ["realtime"]
        headers: dict[str, str] = {}
        match way:
            case "bearer":
                headers = dict(KEY)
            case "header":
                headers = {"api_key": "sk-right"}
            case _:
                protocols.append("openai-insecure-api-key.sk-right")
        protocols += ["openai-beta.realtime-v1"] if beta else ["openai-agents-sdk.0.20.0"]
        async with site(DOOR) as (_, url, _), visit(f"{url}?model=other", *protocols, **headers) as caller:
            assert caller.socket.subprotocol == "realtime"
            session = (await caller.receive())["session"]
            assert session["model"] == "other"
            assert ("modalities" in session, "output_modalities" in session) == (beta, not beta)

    asyncio.run(story())


def test_a_whole_turn_in_beta() -> None:
    async def story() -> None:
        async with site() as (_, url, _), visit(f"{url}?model=x", **BETA) as caller:
            created = (await caller.receive())["session"]
            assert created["modalities"] == ["text", "audio"]
            await caller.send("session.update", session={"turn_detection": None, "voice": "ash", "temperature": 0.7})
            updated = (await caller.until("session.updated"))[-1]["session"]
            assert (updated["turn_detection"], updated["voice"]) == (None, "ash")
            await caller.say("hello")
            await caller.send("response.create", response={"modalities": ["text", "audio"]})
            events = await caller.until("response.done")
            names = list(dict.fromkeys(types(events)))
            assert names[:5] == [
                "conversation.item.created",
                "response.created",
                "response.output_item.added",
                "response.content_part.added",
                "response.audio_transcript.delta",
            ]
            assert "response.audio.delta" in names
            assert not [name for name in names if "output_audio" in name or name.startswith("conversation.item.done")]
            assert all(event["event_id"] for event in events)
            (item,) = events[-1]["response"]["output"]
            assert [part["type"] for part in item["content"]] == ["audio"]
            assert events[-1]["response"]["modalities"] == ["text", "audio"]

    asyncio.run(story())


def test_errors_in_beta_name_what_the_beta_client_sent() -> None:
    async def story() -> None:
        async with site() as (_, url, _), visit(f"{url}?model=x", **BETA) as caller:
            for session, param in (
                ({"input_audio_format": "mp3"}, "session.input_audio_format"),
                ({"turn_detection": {"type": "server_vad", "threshold": 2}}, "session.turn_detection.threshold"),
                ({"audio": {}}, "session.audio"),
            ):
                await caller.send("session.update", session=session, event_id="mine")
                error = (await caller.until("error"))[-1]["error"]
                assert (error["param"], error["event_id"]) == (param, "mine")
            await caller.socket.send(b"binary")
            assert (await caller.until("error"))[-1]["error"]["code"] == "invalid_event"

    asyncio.run(story())


def test_another_api_s_beta_is_not_ours() -> None:
    async def story() -> None:
        async with site() as (_, url, _), visit(f"{url}?model=x", OpenAI_Beta="assistants=v2") as caller:
            assert (await caller.receive())["session"]["output_modalities"] == ["audio"]

    asyncio.run(story())


def test_a_client_secret_opens_a_session_with_its_settings() -> None:
    async def story() -> None:
        async with site(DOOR) as (http, url, _):
            asked = {"type": "realtime", "model": "other", "instructions": "Be brief.", "output_modalities": ["text"]}
            made = await http.post("/v1/realtime/client_secrets", json={"session": asked}, headers=KEY)
            assert made.status_code == 200
            ClientSecretCreateResponse.model_validate_json(made.content, strict=True)
            said = made.json()
            assert list(said) == ["value", "expires_at", "session"]
            assert said["session"]["expires_at"] == 0
            assert said["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
            key = said["value"]
            assert key.startswith("ek_")
            for _ in range(2):
                async with visit(url, "realtime", f"openai-insecure-api-key.{key}") as caller:
                    session = (await caller.receive())["session"]
                    assert (session["instructions"], session["model"]) == ("Be brief.", "other")
                    assert session["output_modalities"] == ["text"]
                    assert (await caller.configure(instructions="Now talk."))["instructions"] == "Now talk."
            again = await http.post("/v1/realtime/client_secrets", headers={"Authorization": f"Bearer {key}"})
            assert again.status_code == 401
            forged = await turned_away(f"{url}?model=other", Authorization=f"Bearer {key[:-1]}")
            assert forged[2] == "invalid_api_key"

    asyncio.run(story())


def test_a_client_secret_for_transcription_opens_one() -> None:
    async def story() -> None:
        async with site(DOOR) as (http, url, _):
            made = await http.post(
                "/v1/realtime/client_secrets", json={"session": {"type": "transcription"}}, headers=KEY
            )
            assert made.json()["session"]["object"] == "realtime.transcription_session"
            async with visit(url, Authorization=f"Bearer {made.json()['value']}") as caller:
                assert (await caller.receive())["session"]["type"] == "transcription"
            async with visit(f"{url}?intent=transcription", **KEY) as caller:
                assert (await caller.receive())["session"]["type"] == "transcription"

    asyncio.run(story())


def test_the_beta_s_sessions_over_http() -> None:
    async def story() -> None:
        async with site(DOOR) as (http, url, _):
            wish = {"model": "other", "voice": "ash", "temperature": 0.65}
            said = (await http.post("/v1/realtime/sessions", json=wish, headers=KEY)).json()
            assert (said["voice"], said["model"], said["modalities"]) == ("ash", "other", ["text", "audio"])
            assert said["temperature"] == 0.65
            secret = {"Authorization": f"Bearer {said['client_secret']['value']}"}
            async with visit(url, **secret, **BETA) as caller:
                session = (await caller.receive())["session"]
                assert (session["voice"], session["temperature"]) == ("ash", 0.65)
            async with visit(url, **secret) as caller:
                assert "temperature" not in (await caller.receive())["session"]
            heard = await http.post("/v1/realtime/transcription_sessions", json={}, headers=KEY)
            assert heard.json()["object"] == "realtime.transcription_session"
            async with visit(url, Authorization=f"Bearer {heard.json()['client_secret']['value']}", **BETA) as caller:
                assert (await caller.receive())["type"] == "transcription_session.created"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("client_secrets", {"session": {"type": "realtime", "sound": 1}}, "session.sound"),
        ("client_secrets", {"session": {"type": "realtime", "max_output_tokens": 0}}, "session.max_output_tokens"),
        ("client_secrets", {"session": {"type": "realtime", "model": "unknown"}}, "model"),
        ("client_secrets", {"expires_after": {"seconds": 5}}, "expires_after.seconds"),
        ("sessions", {"input_audio_format": "mp3"}, "input_audio_format"),
        ("sessions", {"temperature": 2}, "temperature"),
        ("transcription_sessions", {"temperature": 0.8}, "temperature"),
    ],
)
def test_http_says_what_is_wrong(path: str, body: dict[str, Any], param: str) -> None:
    async def story() -> None:
        async with site(DOOR) as (http, _, _):
            answer = await http.post(f"/v1/realtime/{path}", json=body, headers=KEY)
            assert answer.status_code == 400
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
            assert answer.json()["error"]["param"] == param

    asyncio.run(story())


def test_http_checks_keys_sizes_and_paths() -> None:
    async def story() -> None:
        async with site(DOOR) as (http, _, _):
            for path in ("client_secrets", "sessions", "transcription_sessions"):
                bare = await http.post(f"/v1/realtime/{path}")
                assert (bare.status_code, bare.json()["error"]["code"]) == (401, None)
            wrong = await http.get("/v1/models", headers={"Authorization": "Bearer sk-wrong"})
            assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
            assert (await http.get("/metrics")).status_code == 401
            models = (await http.get("/v1/models", headers=KEY)).json()
            assert [model["id"] for model in models["data"]] == ["scripted", "other"]
            large = await http.post("/v1/realtime/client_secrets", content=b" " * 1_100_000, headers=KEY)
            assert large.status_code == 413
            nowhere = await http.post("/v1/nowhere", headers=KEY)
            assert (nowhere.status_code, nowhere.json()["error"]["type"]) == (404, "invalid_request_error")
            translation = await http.post("/v1/realtime/translations/client_secrets", headers=KEY)
            assert translation.json()["error"]["code"] == "translation_not_supported"

    asyncio.run(story())


def test_browsers_may_ask_from_other_origins() -> None:
    async def story() -> None:
        async with site(DOOR) as (http, _, _):
            asked = {
                "Origin": "https://app.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type,x-openai-agents-sdk",
            }
            preflight = await http.options("/v1/realtime/client_secrets", headers=asked)
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == "*"
            allowed = preflight.headers["access-control-allow-headers"].lower()
            assert all(name in allowed for name in ("authorization", "content-type", "x-openai-agents-sdk"))
            answer = await http.post(
                "/v1/realtime/client_secrets", headers={**KEY, "Origin": "https://app.example"}, content=b"{"
            )
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "location" in answer.headers["access-control-expose-headers"].lower()

    asyncio.run(story())


def test_without_keys_a_page_of_the_world_may_not_connect() -> None:
    async def story() -> None:
        async with site() as (_, url, _):
            assert (await turned_away(f"{url}?model=x", Origin="https://evil.example"))[2] == "origin_not_allowed"
            async with visit(f"{url}?model=x", Origin="http://localhost:5173") as caller:
                assert (await caller.receive())["type"] == "session.created"

    asyncio.run(story())


@pytest.mark.parametrize("beta", [False, True])
def test_a_full_server_says_so_and_takes_the_next_one_later(beta: bool) -> None:
    async def story() -> None:
        head = BETA if beta else {}
        async with site(max_sessions=1) as (http, url, server):
            assert (await http.get("/ready")).json() == {"status": "ready", "sessions": 0}
            async with visit(f"{url}?model=x", **head) as caller:
                await caller.until("session.created")
                full = (1013, "server_error.session_limit_reached", "session_limit_reached")
                assert await turned_away(f"{url}?model=x", **head) == full
                for answer in (await http.get("/ready"), await http.post("/v1/realtime/client_secrets")):
                    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "session_limit_reached")
                    assert int(answer.headers["retry-after"]) > 0
                assert (await http.get("/health")).status_code == 200
            await asyncio.wait_for(server.drain(10), 20)
            server.draining = False
            assert (await http.get("/ready")).status_code == 200

    asyncio.run(story())


def test_a_draining_server_takes_nobody() -> None:
    async def story() -> None:
        async with site() as (http, url, server):
            await server.drain(0)
            assert (await http.get("/ready")).json()["error"]["code"] == "server_shutting_down"
            assert await turned_away(f"{url}?model=x") == (
                1001,
                "server_error.server_shutting_down",
                "server_shutting_down",
            )

    asyncio.run(story())


def test_metrics_tell_what_happened() -> None:
    async def story() -> None:
        async with site() as (http, url, _), visit(f"{url}?model=x") as caller:
            await caller.until("session.created")
            await caller.say("hello")
            await caller.send("response.create")
            await caller.until("response.done")
            await caller.send("response.cancel")
            await caller.until("error")
            text = (await http.get("/metrics")).text
            for line in (
                "duologue_sessions 1.0",
                'duologue_events_received_total{type="response.create"} 1.0',
                'duologue_events_sent_total{type="session.created"} 1.0',
                'duologue_responses_total{status="completed"} 1.0',
                'duologue_errors_total{code="response_cancel_not_active"} 1.0',
                "duologue_first_audio_seconds_count 1.0",
                "duologue_waiting_bytes 0.0",
            ):
                assert line in text.splitlines(), line

    asyncio.run(story())


@pytest.mark.parametrize("log_speech", [False, True])
def test_the_log_has_one_line_a_session_and_speech_only_if_asked(
    log_speech: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        server = RealtimeServer(simple_engines(), meter=Metrics(log_speech=log_speech))
        async with serving(server, DOOR) as url, visit(f"{url}?model=other", **KEY) as caller:
            await caller.until("session.created")
            await caller.say("my secret")
            await caller.send("response.create")
            await caller.until("response.done")
            await caller.socket.close()
            await asyncio.wait_for(server.drain(10), 20)

    with caplog.at_level(logging.INFO, "duologue.sessions"):
        asyncio.run(story())
    lines = [json.loads(record.message) for record in caplog.records if record.name == "duologue.sessions"]
    (report,) = [line for line in lines if line["event"] == "session"]
    assert (report["model"], report["dialect"], report["turns"], report["responses"]) == ("other", "ga", 1, 1)
    assert report["ended"] == "peer: 1000"
    assert report["estimated_output_tokens"] == report["output_tokens"] > 0  # its model does not count
    assert ("my secret" in caplog.text) is log_speech
    assert "sk-right" not in caplog.text
