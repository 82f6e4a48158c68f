"""Browsers behind `duologue relay`: the agents' SDK over WebSocket and WebRTC, and the console of this package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Playwright, expect
from realserver import duologue_relay, duologue_serve
from stage import PATIENCE_MS, Open, chromium, console_process, recording
from test_agents_webrtc import CALL_FLAGS, calling, loud_times, secret, site, until

pytestmark = pytest.mark.page
__all__ = ["site"]
SETTINGS = """
[callers]
secret_env = "RELAY_SIGNING_KEY"
loopback_open = true
[policy]
locked = ["instructions", "model"]
[session]
instructions = 'Always mention "San Francisco" in your answers.'
"""
OVER_WEBSOCKET = """async ([url, apiKey]) => {
  const { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession } = await import("/bundle/openai-realtime-agents.mjs");
  const transport = new OpenAIRealtimeWebSocket({ url });
  const agent = new RealtimeAgent({ name: "guide", instructions: "Never mention a city." });
  const session = new RealtimeSession(agent, { transport });
  session.on("error", (error) => told.errors.push(JSON.stringify(error)));
  transport.on("*", (event) => told.events.push(event));
  await session.connect({ apiKey, url });
  session.sendMessage("hello");
}"""


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with duologue_serve() as host, duologue_relay(host, tmp_path_factory.mktemp("relay"), SETTINGS) as address:
        yield address


def test_a_page_calls_by_websocket_with_a_client_secret(playwright: Playwright, site: str, relay: str) -> None:
    browser = playwright.chromium.launch(executable_path=chromium(), args=CALL_FLAGS)
    try:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{site}?{urlencode({'key': ''})}")
        page.wait_for_function("window.start !== undefined")
        page.evaluate(OVER_WEBSOCKET, [f"ws://{relay}/v1/realtime", secret(relay)])
        until(page, "response.done")
        assert "San Francisco" in "".join(
            each["transcript"] for each in until(page, "response.output_audio_transcript.done")
        )
        assert until(page, "session.created")[0]["session"]["instructions"] == ""
        assert page.evaluate("told.errors") == []
    finally:
        browser.close()


def test_a_page_calls_by_webrtc_and_runs_its_tool(
    playwright: Playwright, site: str, relay: str, tmp_path: Path
) -> None:
    microphone = recording(tmp_path / "talk.wav", 3.0, "weather_in_paris", 30.0)
    with calling(playwright, site, relay, microphone, "--allow-loopback-in-peer-connection") as page:
        page.wait_for_function("told.tools.length === 1")
        page.wait_for_function("told.events.some((e) => (e.transcript ?? '').includes('21'))")
        until(page, "output_audio_buffer.stopped")
        assert len(loud_times(page, 2)) > 50


def test_the_console_talks_through_the_relay(browse: Open, relay: str, tmp_path: Path) -> None:
    with console_process(tmp_path, "--upstream", f"ws://{relay}/v1/realtime") as url:
        tab = browse(url=url)
        tab.connect()
        tab.say("what is seven times eight")
        expect(tab.log).to_contain_text("7 times 8 is 56.")
        tab.disconnect()
        tab.page.close()
