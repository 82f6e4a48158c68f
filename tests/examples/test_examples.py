"""Every example is started and used as its reader would, against `duologue serve`."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from fake_twilio import dialled, hosted
from phone_ear import RATE
from realserver import CLIPS, duologue_serve

from duologue.audio.g711 import ulaw_decode, ulaw_encode
from duologue.audio.pcm16 import rms
from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav
from duologue.errors import TransportClosed

MS = RATE // 1000
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with duologue_serve() as address:
        yield address


def spoken(name: str) -> bytes:
    """A recorded sentence as a telephone carries it."""
    wav = parse_wav((CLIPS / f"{name}.wav").read_bytes())
    return ulaw_encode(resample(wav.mono(), wav.spec.rate_hz, RATE))


def command(name: str, host: str, *arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py"), "--url", f"ws://{host}/v1/realtime", *arguments]


def run(name: str, host: str, *arguments: str) -> str:
    out = subprocess.run(command(name, host, *arguments), capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == 0, out.stderr
    return out.stdout


def test_handoff(host: str) -> None:
    said = run("handoff", host)
    assert "-- Front hands over to Billing" in said
    assert "Billing: " in said.partition("-- Front")[2]


def test_guarded(host: str) -> None:
    said = run("guarded", host, "say good morning", "what is seven times eight", "my password is secret")
    assert "heard: Good morning" in said
    assert "-- no_sums stopped: " in said
    assert "-- no_passwords declines: 'my password is secret'" in said


def test_transcribe(host: str) -> None:
    assert run("transcribe", host, str(CLIPS / "weather_in_paris.wav")).strip() == "what is the weather in paris"


def test_supervisor(host: str) -> None:
    pytest.importorskip("aiortc")
    from duologue.transports.webrtc import connect

    async def story() -> str:
        call = await connect(f"ws://{host}/v1/realtime?model=scripted", api_key="none")
        assert call.call_id
        helper = await asyncio.create_subprocess_exec(
            *command("supervisor", host, call.call_id), stdout=asyncio.subprocess.PIPE
        )
        assert helper.stdout is not None
        assert (await asyncio.wait_for(helper.stdout.readline(), 20)) == b"joined\n"
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say good morning"}]}
        await call.send(json.dumps({"type": "conversation.item.create", "item": item}).encode())
        await call.send(b'{"type":"response.create"}')
        heard = (await asyncio.wait_for(helper.stdout.readline(), 20)).decode()
        await call.close()
        rest, _ = await asyncio.wait_for(helper.communicate(), 30)
        assert helper.returncode == 0
        return heard + rest.decode()

    said = asyncio.run(story())
    assert "assistant: Good morning" in said
    assert "over: " in said


def test_phone_agent(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUOLOGUE_URL", f"ws://{host}/v1/realtime")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from phone_agent import app

    async def story() -> None:
        async with hosted(app) as url, dialled(url, back_ms=40) as twilio:
            await twilio.until(lambda: len(twilio.ear.heard) > 500 * MS)
            greeted = len(twilio.ear.heard)
            assert rms(ulaw_decode(bytes(twilio.ear.heard))) > 0.02, "somebody greets"
            twilio.say(spoken("count_to_twenty") + b"\xff" * (700 * MS))
            await twilio.until(lambda: len(twilio.ear.heard) > greeted + 1_500 * MS)

    try:
        asyncio.run(asyncio.wait_for(story(), 60))
    except TransportClosed:
        pytest.fail("the call broke off")


@contextmanager
def site(host: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    base = f"http://{host}/v1/realtime"
    line = [sys.executable, str(EXAMPLES / "browser_agent.py"), "--base", base, "--port", str(port)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("open http://localhost:")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_browser_agent_hands_out_a_page_and_a_key_that_opens_a_call(host: str) -> None:
    pytest.importorskip("aiortc")
    from duologue.transports.webrtc import connect

    async def call(key: str, calls: str) -> None:
        transport = await connect(calls, api_key=key)
        created = json.loads(await asyncio.wait_for(anext(aiter(transport)), 20))
        assert created["type"] == "session.created"
        assert created["session"]["instructions"] == "You are a friendly guide. Be brief."
        await transport.close()

    with site(host) as address:
        page = urllib.request.urlopen(address).read().decode()
        assert "oai-events" in page
        secret = json.load(urllib.request.urlopen(urllib.request.Request(f"{address}/secret", method="POST")))
        assert secret["key"].startswith("ek_")
        asyncio.run(call(secret["key"], secret["calls"]))
