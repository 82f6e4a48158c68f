"""Calls through a real relay: duologue.relay.server, duologue.relay.call, duologue.relay.ears, duologue.relay.sockets,
duologue.relay.http, duologue.relay.metrics."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace
from raw import PING, raw
from running import CREATED, nobody, relaying
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response

from duologue.errors import ConfigError
from duologue.inspector.trace import Trace, read
from duologue.relay.commands import Caller
from duologue.relay.server import Relay
from duologue.relay.settings import Callers, Ledger, Limits, Listen, Lock, Recordings, Rules, Settings, StaticToken
from duologue.relay.setup import prepare
from duologue.relay.spend import Spending

APPEND = '{"type":"input_audio_buffer.append","audio":"%s"}' % ("AAAA" * 2500)
DELTA = (
    '{"type":"response.output_audio.delta","event_id":"event_2","response_id":"resp_1","item_id":"item_1",'
    '"output_index":0,"content_index":0,"delta":"%s"}' % ("AAAA" * 2500)
)


async def until_empty(relay: Relay) -> None:
    while relay.calls or relay.lines:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def test_sound_passes_in_order_byte_by_byte(tmp_path: Path) -> None:
    heard: list[str] = []

    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        async for frame in ws:
            heard.append(str(frame))
            await ws.send(DELTA)
            await ws.send(DELTA.replace("event_2", f"event_{len(heard) + 2}"))

    async def story() -> None:
        async with relaying(tmp_path, upstream) as (host, relay):
            async with connect(f"ws://{host}/v1/realtime", compression=None) as ws:
                assert json.loads(await ws.recv())["type"] == "session.created"
                for _ in range(20):
                    await ws.send(APPEND)
                got = [await ws.recv() for _ in range(40)]
            await until_empty(relay)
        assert heard == [APPEND] * 20
        assert got == [DELTA if n % 2 == 0 else DELTA.replace("event_2", f"event_{n // 2 + 3}") for n in range(40)]

    asyncio.run(story())


def test_what_is_sent_before_the_upstream_is_open_waits(tmp_path: Path) -> None:
    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        async for frame in ws:
            await ws.send(DELTA.replace("event_2", f"event_{len(frame)}"))

    async def slowly(connection: ServerConnection, request: Request) -> None:
        await asyncio.sleep(0.2)

    async def story() -> None:
        async with (
            relaying(tmp_path, upstream, process_request=slowly) as (host, _),
            connect(f"ws://{host}/", compression=None) as ws,
        ):
            await ws.send(APPEND)
            await ws.recv()
            assert await ws.recv() == DELTA.replace("event_2", f"event_{len(APPEND)}")

    asyncio.run(story())


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4321, "as asked"), (1001, "going")])
def test_either_end_closes_the_other(tmp_path: Path, code: int, reason: str) -> None:
    ends: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()

    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        with suppress(ConnectionClosed):
            async for frame in ws:
                if "clear" in str(frame):
                    await ws.close(code, reason)
        await ends.put((ws.close_code, ws.close_reason))

    async def story() -> None:
        async with relaying(tmp_path, upstream) as (host, relay):
            async with connect(f"ws://{host}/") as ws:
                await ws.recv()
                await ws.send('{"type":"input_audio_buffer.clear"}')
                await ws.wait_closed()
                assert (ws.close_code, ws.close_reason) == (code, reason)
            await ends.get()
            async with connect(f"ws://{host}/") as ws:
                await ws.recv()
                await ws.close(code, reason)
            assert await ends.get() == (code, reason)
            await until_empty(relay)

    asyncio.run(story())


@pytest.mark.parametrize("key", ["sk-secret-of-the-relay", "0a1b2c3d4e5f60718293a4b5c6d7e8f9"])
def test_a_refused_handshake_is_told_without_the_key(tmp_path: Path, key: str) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(HTTPStatus.UNAUTHORIZED, f"no such key: {key}")

    async def story() -> None:
        env = {"OPENAI_API_KEY": key}
        async with relaying(tmp_path, nobody, env=env, process_request=refuse) as (host, relay):
            async with connect(f"ws://{host}/") as ws:
                error = json.loads(await ws.recv())["error"]
                await ws.wait_closed()
                assert error["code"] == "upstream_refused"
                assert "401" in error["message"]
                assert "no such key" in error["message"]
                assert key not in error["message"]
                assert ws.close_code == 3000
            await until_empty(relay)

    asyncio.run(story())


def test_frames_in_pieces_are_one_event_and_binary_is_an_error(tmp_path: Path) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        async for frame in ws:
            await heard.put(str(frame))

    async def story() -> None:
        async with relaying(tmp_path, upstream) as (host, _), connect(f"ws://{host}/") as ws:
            await ws.recv()
            await ws.send([APPEND[:20], APPEND[20:50], APPEND[50:]])
            assert await heard.get() == APPEND
            await ws.send(b"binary")
            assert json.loads(await ws.recv())["error"]["code"] == "invalid_json"

    asyncio.run(story())


def test_an_oversized_message_ends_the_call(tmp_path: Path) -> None:
    async def story() -> None:
        settings = Settings(limits=Limits(event_bytes=10_000))
        async with relaying(tmp_path, nobody, settings) as (host, relay):
            async with connect(f"ws://{host}/") as ws:
                await ws.recv()
                await ws.send("x" * 20_000)
                await ws.wait_closed()
                assert ws.close_code == 1009
            await until_empty(relay)

    asyncio.run(story())


def test_who_has_no_key_is_told_in_an_event(tmp_path: Path) -> None:
    async def story() -> None:
        settings = Settings(callers=Callers(tokens=(StaticToken(user="ann", env="ANN"),), loopback_open=False))
        async with relaying(tmp_path, nobody, settings, {"ANN": "a-token-for-ann"}) as (host, _):
            async with connect(f"ws://{host}/v1/realtime", subprotocols=["realtime"]) as ws:  # type: ignore[list-item]
                assert json.loads(await ws.recv())["type"] == "error"
                await ws.wait_closed()
                assert (ws.close_code, ws.close_reason) == (3000, "invalid_request_error")
            headers = {"Authorization": "Bearer a-token-for-ann"}
            async with connect(f"ws://{host}/v1/realtime", additional_headers=headers) as ws:
                assert json.loads(await ws.recv())["type"] == "session.created"

    asyncio.run(story())


def test_client_secrets_open_calls(tmp_path: Path) -> None:
    async def story() -> None:
        callers = Callers(tokens=(StaticToken(user="ann", env="ANN"),), secret_env="SIGN", loopback_open=False)
        env = {"ANN": "a-token-for-ann", "SIGN": "s" * 40}
        async with relaying(tmp_path, nobody, Settings(callers=callers), env) as (host, _):
            async with httpx.AsyncClient(base_url=f"http://{host}") as http:
                path = "/v1/realtime/client_secrets"
                assert (await http.post(path)).status_code == 401
                made = await http.post(path, headers={"Authorization": "Bearer a-token-for-ann"})
                assert made.status_code == 200
                secret = made.json()["value"]
                again = await http.post(path, headers={"Authorization": f"Bearer {secret}"})
                assert again.status_code == 401
            offered = ["realtime", f"openai-insecure-api-key.{secret}"]
            async with connect(f"ws://{host}/v1/realtime", subprotocols=offered) as ws:  # type: ignore[arg-type]
                assert ws.subprotocol == "realtime"
                assert json.loads(await ws.recv())["type"] == "session.created"

    asyncio.run(story())


def test_a_draining_relay_refuses_and_then_closes(tmp_path: Path) -> None:
    async def story() -> None:
        async with relaying(tmp_path, nobody) as (host, relay), connect(f"ws://{host}/") as ws:
            await ws.recv()
            draining = asyncio.create_task(relay.drain(0.3), name="drain")
            await asyncio.sleep(0)
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{host}/")
            assert refused.value.response.status_code == 503
            await ws.wait_closed()
            assert ws.close_code == 1001
            await draining
            assert relay.calls == 0

    asyncio.run(story())


def test_a_caller_that_vanishes_takes_the_upstream_along_and_one_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with relaying(tmp_path, nobody) as (host, relay):
            ws = await connect(f"ws://{host}/")
            await ws.recv()
            ws.transport.abort()
            await until_empty(relay)

    with caplog.at_level(logging.INFO, "duologue.relay.calls"):
        asyncio.run(story())
    (report,) = [json.loads(record.message) for record in caplog.records if record.name == "duologue.relay.calls"]
    told = (report["user"], report["how"], report["code"], report["by"], report["detail"])
    assert told == ("loopback", "loopback", 1001, "caller", "vanished")


def test_a_recording_is_what_the_caller_said_and_saw_and_is_closed_with_the_call(tmp_path: Path) -> None:
    traces: list[Trace] = []

    def record(call_id: str, caller: Caller) -> Trace:
        traces.append(Trace(tmp_path / f"{call_id}.jsonl", {"user": caller.user}, started_unix_ms=0))
        return traces[-1]

    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED.replace('"model"', '"instructions":"secret of the house","model"'))
        async for _ in ws:
            await ws.send(DELTA)

    async def story() -> None:
        settings = Settings(
            session={"instructions": "secret of the house"}, recording=Recordings(drop=("$.session.id",))
        )
        async with relaying(tmp_path, upstream, settings, recorder=record) as (host, relay):
            async with connect(f"ws://{host}/") as ws:
                await ws.send(APPEND)
                while await ws.recv() != DELTA:
                    pass
            await until_empty(relay)

    asyncio.run(story())
    (trace,) = traces
    assert trace._file.closed
    told = [(entry.by, json.loads(entry.raw)["type"]) for entry in read(trace.path)]
    assert ("client", "input_audio_buffer.append") in told
    assert ("server", "session.created") in told
    assert ("server", "response.output_audio.delta") in told
    assert b"secret of the house" not in trace.path.read_bytes()
    assert b"sess_1" not in trace.path.read_bytes()


def test_a_recording_that_fails_ends_no_call(tmp_path: Path) -> None:
    class Full:
        closed = False

        def record(self, direction: str, frame: bytes | str, now_ms: int) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            self.closed = True

    full = Full()

    async def story() -> None:
        async with (
            relaying(tmp_path, nobody, recorder=lambda call_id, caller: full) as (host, _),
            connect(f"ws://{host}/") as ws,
        ):
            assert json.loads(await ws.recv())["type"] == "session.created"
            await ws.send("{bad")
            assert json.loads(await ws.recv())["error"]["code"] == "invalid_json"

    asyncio.run(story())
    assert full.closed


def test_new_settings_are_for_new_calls(tmp_path: Path) -> None:
    async def story() -> None:
        async with relaying(tmp_path, nobody) as (host, relay), connect(f"ws://{host}/") as old:
            await old.recv()
            stricter = replace(relay.setup.settings, policy=Rules(caller_events_denied=("input_audio_buffer.clear",)))
            relay.reload(prepare(stricter, env={}))
            async with connect(f"ws://{host}/") as new:
                await new.recv()
                await new.send('{"type":"input_audio_buffer.clear"}')
                assert json.loads(await new.recv())["error"]["code"] == "refused_by_policy"
            await old.send('{"type":"input_audio_buffer.clear"}')
            await old.send("{bad")
            assert json.loads(await old.recv())["error"]["code"] == "invalid_json"

    asyncio.run(story())


async def refused(host: str) -> str:
    """Why a call is not taken."""
    async with connect(f"ws://{host}/") as ws:
        error = json.loads(await ws.recv())["error"]
        await ws.wait_closed()
        assert ws.close_code == 1013
    return str(error["code"])


def test_processes_of_one_ledger_count_calls_together(tmp_path: Path) -> None:
    async def story() -> None:
        settings = Settings(limits=Limits(sessions_per_user=1))
        async with (
            relaying(tmp_path, nobody, settings) as (one, relay),
            relaying(tmp_path, nobody, settings) as (two, _),
        ):
            async with connect(f"ws://{one}/") as ws:
                await ws.recv()
                assert await refused(two) == "session_limit_reached"
                assert await refused(one) == "session_limit_reached"
                # what a process knows itself costs it no call
                assert b"duologue_relay_call_seconds_count 0.0" in relay.metrics.page()
            await until_empty(relay)
            await asyncio.gather(*relay._chores)
            async with connect(f"ws://{two}/") as ws:
                assert json.loads(await ws.recv())["type"] == "session.created"

    asyncio.run(story())


def test_a_ledger_that_fails_leaves_the_limits_of_the_process(tmp_path: Path) -> None:
    async def story() -> None:
        settings = Settings(limits=Limits(sessions_per_user=1))
        async with relaying(tmp_path, nobody, settings) as (host, relay):
            await relay.ledger.run(lambda base: base.execute("DROP TABLE seats"))
            async with connect(f"ws://{host}/") as ws:
                assert json.loads(await ws.recv())["type"] == "session.created"
                assert await refused(host) == "session_limit_reached"
            await relay.ledger.run(lambda base: base.execute("CREATE TABLE seats (seat, relay, user)"))

    asyncio.run(story())


RESPONSE = '{"type":"response.%s","event_id":"e","response":{"id":"resp_1","object":"realtime.response",%s}}'
USAGE = '{"total_tokens":500,"input_tokens":100,"output_tokens":400}'
DONE = RESPONSE % ("done", f'"status":"cancelled","output":[],"usage":{USAGE}')


@pytest.mark.parametrize("bill", [DONE, None])
def test_hanging_up_in_the_middle_of_a_response_is_no_way_to_talk_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bill: str | None
) -> None:
    if bill is None:
        monkeypatch.setattr("duologue.relay.call.BILL_SECONDS", 0.1)
    heard: list[str] = []

    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        with suppress(ConnectionClosed):
            async for frame in ws:
                heard.append(json.loads(frame)["type"])
                if heard[-1] == "response.create":
                    await ws.send(RESPONSE % ("created", '"status":"in_progress","output":[]'))
                    await ws.send(DELTA)
                elif bill is not None:
                    await ws.send(bill)
        heard.append(f"{ws.close_code} {ws.close_reason}")

    async def story() -> Spending:
        settings = Settings(limits=Limits(tokens_per_user_day=10_000))
        async with relaying(tmp_path, upstream, settings) as (host, relay):
            async with connect(f"ws://{host}/") as ws:
                await ws.send('{"type":"response.create"}')
                while await ws.recv() != DELTA:
                    pass
                await ws.close(4321, "enough")
            await until_empty(relay)
            return await relay.ledger.today("loopback")

    assert asyncio.run(story()).tokens == (500 if bill else 0)
    assert heard == ["response.create", "response.cancel", "4321 enough"]


def test_without_a_budget_nobody_waits_for_the_bill(tmp_path: Path) -> None:
    heard: list[str] = []

    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        async for frame in ws:
            heard.append(json.loads(frame)["type"])
            await ws.send(RESPONSE % ("created", '"status":"in_progress","output":[]'))

    async def story() -> None:
        async with relaying(tmp_path, upstream) as (host, relay):
            async with connect(f"ws://{host}/") as ws:
                await ws.recv()
                await ws.send('{"type":"response.create"}')
                await ws.recv()
            await until_empty(relay)

    asyncio.run(story())
    assert heard == ["response.create"]


@pytest.mark.parametrize(("path", "code"), [
    ("/v1/realtime?call_id=rtc_1", "refused_by_policy"),
    ("/v1/realtime?intent=transcription", "invalid_value"),
    ("/?intent=other", "invalid_value"),
])  # fmt: skip
def test_what_an_address_may_not_ask_for(tmp_path: Path, path: str, code: str) -> None:
    async def story() -> None:
        async with relaying(tmp_path, nobody) as (host, relay), connect(f"ws://{host}{path}") as ws:
            assert json.loads(await ws.recv())["error"]["code"] == code
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            assert ws.close_code == 4000
            assert relay.calls == 0

    asyncio.run(story())


def test_there_is_nothing_at_other_paths(tmp_path: Path) -> None:
    async def story() -> None:
        async with relaying(tmp_path, nobody) as (host, _):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{host}/v1/realtime/calls")
            assert refused.value.response.status_code == 404

    asyncio.run(story())


@pytest.mark.parametrize(("locked", "query", "asked"), [
    (("model",), "", "model=gpt-realtime"),
    (("model",), "?model=dearest", "model=gpt-realtime"),
    ((), "?model=dearest", "model=dearest"),
])  # fmt: skip
def test_the_model_is_the_callers_where_it_is_not_locked(
    tmp_path: Path, locked: tuple[Lock, ...], query: str, asked: str
) -> None:
    paths: list[str] = []

    async def upstream(ws: ServerConnection) -> None:
        assert ws.request is not None
        paths.append(ws.request.path)
        await nobody(ws)

    async def story() -> None:
        async with (
            relaying(tmp_path, upstream, Settings(policy=Rules(locked=locked))) as (host, _),
            connect(f"ws://{host}/{query}") as ws,
        ):
            await ws.recv()

    asyncio.run(story())
    assert paths == [f"/v1/realtime?{asked}"]


def test_strange_names_and_pages_get_no_connection(tmp_path: Path) -> None:
    async def story() -> None:
        callers = Callers(origins=("https://shop.example",), hosts=("talk.example",))
        async with relaying(tmp_path, nobody, Settings(callers=callers)) as (host, _):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{host}/")
            assert refused.value.response.status_code == 403
            assert b"host_not_allowed" in (refused.value.response.body or b"")

    asyncio.run(story())


def test_the_address_and_the_ledger_stay_while_the_relay_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with relaying(tmp_path, nobody) as (_, relay):
            before = relay.setup
            for other in (replace(before.settings, listen=Listen(port=1)), replace(before.settings, ledger=Ledger())):
                with pytest.raises(ConfigError, match="cannot change"):
                    relay.reload(prepare(other, env={}))
            assert relay.setup is before

    asyncio.run(story())


def test_what_is_spent_is_written_meanwhile_and_told_to_the_users_other_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duologue.relay.server.FLUSH_SECONDS", 0.05)

    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        with suppress(ConnectionClosed):
            async for _ in ws:
                await ws.send(DONE)

    async def story() -> None:
        settings = Settings(limits=Limits(tokens_per_user_day=500))
        async with relaying(tmp_path, upstream, settings) as (host, relay):
            async with connect(f"ws://{host}/") as idle, connect(f"ws://{host}/") as busy:
                await idle.recv()
                await busy.send('{"type":"response.create"}')
                error = json.loads(await idle.recv())["error"]
                assert error["code"] == "insufficient_quota"
            row = "SELECT tokens FROM spending"
            assert await relay.ledger.run(lambda base: base.execute(row).fetchone()) == (500,)
            async with connect(f"ws://{host}/") as late:
                assert json.loads(await late.recv())["error"]["code"] == "insufficient_quota"

    asyncio.run(story())


def test_a_relay_gives_signs_of_life_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duologue.relay.server.FLUSH_SECONDS", 0.05)

    async def story() -> None:
        async with relaying(tmp_path, nobody) as (_, relay):
            await relay.ledger.run(lambda base: base.execute("UPDATE relays SET seen_s = 0"))
            row = "SELECT seen_s FROM relays"
            async with asyncio.timeout(8):
                while await relay.ledger.run(lambda base: base.execute(row).fetchone()) == (0,):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    asyncio.run(story())


def test_a_silent_peer_is_asked_for_a_sign_of_life_and_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duologue.relay.server.SWEEP_SECONDS", 0.05)

    async def story() -> None:
        async with relaying(tmp_path, nobody) as (host, relay):
            async with connect(f"ws://{host}/") as lively, raw(host) as silent:
                assert (await silent.receive())[0] == PING
                assert await silent.reader.read() == b""
                while relay.calls > 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await lively.recv()
                await lively.ping()
                assert relay.calls == 1
            await until_empty(relay)

    asyncio.run(story())
