"""The page of examples/browser_agent.py in Chromium, used as a visitor does: talk, listen, be helped, hang up."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect
from realserver import duologue_serve
from stage import ENVIRONMENT, FLAGS, chromium, recording

pytestmark = pytest.mark.page

EXAMPLE = Path(__file__).parents[2] / "examples" / "browser_agent.py"
PATIENCE_MS = 90_000
CALL_FLAGS = [
    *FLAGS,
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
]
A_VOICE = """() => {
  const voice = document.getElementById("voice");
  if (!voice.srcObject || voice.paused) return false;
  if (!window.ear) {
    const context = new AudioContext();
    window.ear = context.createAnalyser();
    context.createMediaStreamSource(voice.srcObject).connect(window.ear);
  }
  const sound = new Float32Array(window.ear.fftSize);
  window.ear.getFloatTimeDomainData(sound);
  return Math.sqrt(sound.reduce((sum, x) => sum + x * x, 0) / sound.length) > 0.01;
}"""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with duologue_serve() as address:
        yield address


@contextmanager
def example(host: str) -> Iterator[tuple[str, Iterator[str]]]:
    """The example as a process: its address, and what it prints."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(EXAMPLE), "--base", f"http://{host}/v1/realtime", "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().removeprefix("open "), iter(process.stdout.readline, "")
        finally:
            process.terminate()


@contextmanager
def visitor(playwright: Playwright, address: str, microphone: Path) -> Iterator[Page]:
    """A browser of its own whose microphone begins again when its file is at its end."""
    flags = [*CALL_FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
    browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
    try:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        yield page
    finally:
        browser.close()


def test_a_visitor_is_greeted_asks_and_hears_what_a_tool_told(
    playwright: Playwright, host: str, tmp_path: Path
) -> None:
    question = recording(tmp_path / "ask.wav", 6.0, "weather_in_paris", 12.0)
    with example(host) as (address, printed), visitor(playwright, address, question) as page:
        state, words = page.get_by_role("status"), page.get_by_role("list", name="Conversation")
        expect(state).to_have_text("Not connected.")
        page.get_by_role("button", name="Talk").click()
        expect(state).to_have_text("Connection: connected", timeout=PATIENCE_MS)
        page.wait_for_function(A_VOICE, polling=20)
        expect(words).to_contain_text("agent: Hello! Where shall we go", timeout=PATIENCE_MS)
        expect(words).to_contain_text("you: what is the weather in paris", timeout=PATIENCE_MS)
        expect(words).to_contain_text("tool: get_weather", timeout=PATIENCE_MS)
        assert next(printed) == "get_weather: It is sunny in Paris, 21 degrees.\n"
        expect(words.get_by_role("listitem").filter(has_text="agent: ").filter(has_text="21")).not_to_have_count(
            0, timeout=PATIENCE_MS
        )
        page.wait_for_function(A_VOICE, polling=20)
        page.get_by_role("button", name="Hang up").click()
        expect(state).to_have_text("The call is over.")
        while next(printed) != "the call is over\n":
            pass
        while sessions(host):
            pass


def sessions(host: str) -> int:
    """How many the server holds."""
    with urllib.request.urlopen(f"http://{host}/health") as reply:
        return int(json.load(reply)["sessions"])
