"""The page of examples/pyodide in Chromium: Duologue in Pyodide calls `duologue serve` by WebRTC and writes by WebSocket.

Nothing comes from outside of this machine: FLAGS forbid it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect
from realserver import duologue_serve
from stage import FLAGS, PATIENCE_MS, chromium, recording, started

ROOT = Path(__file__).parents[2]
CALL_FLAGS = [
    *FLAGS,
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
]
WATCH_PEERS = """
  window.peers = [];
  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer { constructor(...a) { super(...a); window.peers.push(this); } };
  window.energy = async () => {
    let sum = 0;
    for (const peer of window.peers)
      for (const report of (await peer.getStats()).values())
        if (report.type === "inbound-rtp") sum += report.totalAudioEnergy ?? 0;
    return sum;
  };
"""
REFUSED = """
from duologue.client.client import RealtimeClient
from duologue.client.thin import OpenAIRealtimeWebRTC, OpenAIRealtimeWebSocket
from duologue.errors import ConfigError, ConnectFailed
from duologue.transports.runtime import default_transport, runtime

async def refusal(client, **how):
    try:
        await client.connect(**how)
    except (ConfigError, ConnectFailed) as problem:
        return f"{type(problem).__name__}: {problem}"
    await client.close()
    return "connected"

async def found(url):
    import json
    return json.dumps({
        "where": [runtime(), default_transport()],
        "websocket": await refusal(OpenAIRealtimeWebSocket(url=url), api_key="sk-lasting"),
        "webrtc": await refusal(OpenAIRealtimeWebRTC(url=url), api_key=lambda: "sk-lasting"),
        "client": await refusal(RealtimeClient(url, api_key="sk-lasting", reconnect=False)),
        "dangerous": await refusal(
            OpenAIRealtimeWebSocket(url=url), api_key="sk-lasting", dangerously_allow_api_key_in_browser=True
        ),
        "nobody": await refusal(OpenAIRealtimeWebSocket(url="ws://127.0.0.1:9/v1/realtime"), api_key="ek_1"),
        "elsewhere": await refusal(OpenAIRealtimeWebRTC(url="http://127.0.0.1:9/v1/realtime"), api_key="ek_1"),
    })
"""

AGENT = """
import asyncio, json
from duologue.agents.agent import RealtimeAgent
from duologue.agents.session import RealtimeSession
from duologue.errors import ConfigError
from js import document, fetch

def get_weather(city: str) -> str:
    \"\"\"The weather in a city.

    Args:
        city: Its name.
    \"\"\"
    asked.append(city)
    return "It is sunny with 21 degrees."

asked, said = [], asyncio.Event()

async def talk():
    place = json.loads(await (await fetch("/session")).text())
    loudspeaker = document.getElementById("loudspeaker")
    session = RealtimeSession(RealtimeAgent("guide", tools=[get_weather]), output_port=loudspeaker)
    session.on("agent_end", lambda event: said.set() if "21" in event.text else None)
    await session.connect(url=place["url"], api_key=place["key"])
    try:
        await session.send_audio(bytes(480))
    except ConfigError as problem:
        refused = str(problem)
    session.mute()
    muted = session._link.call.muted
    await session.send_message("What is the weather in Paris?")
    await asyncio.wait_for(said.wait(), 30)
    kind = type(session._link.call).__name__
    await session.close()
    return json.dumps({"asked": asked, "kind": kind, "muted": muted, "refused": refused})
"""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with duologue_serve("--tokens-per-second", "30") as address:
        yield address


@pytest.fixture(scope="module")
def site(host: str) -> Iterator[str]:
    """The example as a user starts it."""
    command = [sys.executable, ROOT / "examples" / "pyodide" / "serve.py", "--port", "0"]
    with started([*command, "--api", f"http://{host}/v1/realtime"]) as line:
        assert line.startswith("pyodide example: open http://"), line
        yield line.split()[-1]


@contextmanager
def opened(playwright: Playwright, site: str, microphone: Path) -> Iterator[Page]:
    flags = [*CALL_FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
    browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
    try:
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(WATCH_PEERS)
        page.goto(site)
        expect(page.get_by_role("status")).to_have_text("Ready")
        yield page
        assert problems == []
    finally:
        browser.close()


def test_a_call_is_heard_answered_interrupted_and_hung_up(playwright: Playwright, site: str, tmp_path: Path) -> None:
    microphone = recording(tmp_path / "talk.wav", 3.0, "count_to_twenty", 60.0)
    with opened(playwright, site, microphone) as page:
        page.get_by_role("button", name="Call").click()
        expect(page.get_by_role("status")).to_contain_text("In call rtc_")
        page.wait_for_function("window.energy().then((energy) => energy > 0.01)")
        page.get_by_role("button", name="Interrupt").click()
        expect(page.get_by_role("log")).to_contain_text("Model: ")
        page.wait_for_function("""async () => {
          const before = await window.energy();
          await new Promise((done) => setTimeout(done, 500));
          return (await window.energy()) === before;
        }""")
        page.get_by_role("button", name="Hang up").click()
        expect(page.get_by_role("status")).to_contain_text("Call over: connection closed by us with 1000")
        assert page.evaluate("window.peers.map((peer) => peer.connectionState)") == ["closed"]


def test_letters_go_by_websocket_and_a_tool_runs_in_the_page(playwright: Playwright, site: str, tmp_path: Path) -> None:
    with opened(playwright, site, recording(tmp_path / "silence.wav", 1.0)) as page:
        page.get_by_role("textbox", name="Message").fill("What is the weather in Paris?")
        page.get_by_role("button", name="Send").click()
        log = page.get_by_role("log")
        expect(log).to_contain_text("Tool: get_weather(Paris)")
        expect(log.locator("p", has_text="Model: ").filter(has_text="21")).to_be_visible()
        assert page.evaluate("window.peers.length") == 0


def test_a_page_refuses_lasting_keys_and_says_what_failed(
    playwright: Playwright, site: str, host: str, tmp_path: Path
) -> None:
    with opened(playwright, site, recording(tmp_path / "silence.wav", 1.0)) as page:
        script = f"{REFUSED}\nawait found({f'ws://{host}/v1/realtime?model=gpt-realtime'!r})"
        told = json.loads(page.evaluate("(script) => python.runPythonAsync(script)", script))
        assert told["where"] == ["page", "webrtc"]
        for name in ("websocket", "webrtc", "client"):
            assert "dangerously_allow_api_key_in_browser=True" in told[name], name
            assert "sk-lasting" not in told[name]
        assert told["dangerous"] == "connected"
        assert told["nobody"].startswith("ConnectFailed")
        assert told["elsewhere"].startswith("ConnectFailed")


def test_an_agent_in_the_page_calls_by_default(playwright: Playwright, site: str, tmp_path: Path) -> None:
    with opened(playwright, site, recording(tmp_path / "silence.wav", 30.0)) as page:
        script = f"{AGENT}\nawait talk()"
        told = json.loads(page.evaluate("(script) => python.runPythonAsync(script)", script))
        assert told["asked"] == ["Paris"]
        assert (told["kind"], told["muted"]) == ("PageCall", True)
        assert "MediaStream" in told["refused"]
