"""`@openai/agents-realtime` in Chromium calls `duologue serve` over WebRTC, and is heard, interrupted and obeyed."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aioice.ice import get_host_addresses
from peers import node_modules
from playwright.sync_api import Browser, Page, Playwright
from realserver import duologue_serve
from stage import FLAGS, chromium, recording

HERE = Path(__file__).parent
LOUD = 0.01
"""Of full scale."""
GAP_S = 0.6
"""Silence longer than this is no pause between two words."""
CALL_PATIENCE_MS = 120_000
"""Several turns at the pace of speech, on a machine that has other things to do."""
CALL_FLAGS = [*FLAGS, "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"]


class _Files(SimpleHTTPRequestHandler):
    """The page, and the SDK's own bundle for browsers."""

    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0].lstrip("/")
        if name.startswith("bundle/"):
            return str(node_modules() / "agents-realtime" / "dist" / name)
        return str(HERE / name)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(HERE)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/agents.html"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with duologue_serve() as address:
        yield address


def secret(host: str) -> str:
    """An ephemeral key, as an application's server asks for it."""
    body = json.dumps({"session": {"type": "realtime", "model": "gpt-realtime"}}).encode()
    request = urllib.request.Request(
        f"http://{host}/v1/realtime/client_secrets", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        return str(json.load(reply)["value"])


@contextmanager
def calling(playwright: Playwright, site: str, host: str, microphone: Path, *flags: str) -> Iterator[Page]:
    """The page in a Chromium of its own, its agent connected; the microphone begins again when its file is at its end."""
    arguments = [*CALL_FLAGS, f"--use-file-for-fake-audio-capture={microphone}", *flags]
    browser: Browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
    try:
        page = browser.new_page()
        page.set_default_timeout(CALL_PATIENCE_MS)
        page.goto(f"{site}?{urlencode({'key': secret(host), 'calls': f'http://{host}/v1/realtime/calls'})}")
        page.wait_for_function("window.start !== undefined")
        assert str(page.evaluate("window.start()")).startswith("rtc_")
        yield page
        assert page.evaluate("told.errors") == []
    finally:
        browser.close()


def until(page: Page, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """The events of a type, once there are that many."""
    page.wait_for_function(
        "([kind, count]) => told.events.filter((e) => e.type === kind).length >= count", arg=[kind, count]
    )
    found: list[dict[str, Any]] = page.evaluate("(kind) => told.events.filter((e) => e.type === kind)", kind)
    return found


def loud_times(page: Page, channel: int) -> list[float]:
    """When the microphone (1) or the answer (2) was not silent, in seconds."""
    levels: list[list[float]] = page.evaluate("told.levels")
    return [moment[0] for moment in levels if moment[channel] > LOUD]


def silent_after(spoken: list[float], heard: list[float]) -> list[float]:
    """Seconds that the answer went on after each interruption: speech that begins while it is heard."""
    onsets = [b for a, b in pairwise([-GAP_S, *spoken]) if b - a > GAP_S]
    stretches = [heard[0], *(b for a, b in pairwise(heard) if b - a > GAP_S)]
    ends = [*(a for a, b in pairwise(heard) if b - a > GAP_S), heard[-1]]
    return [e - o for o in onsets for s, e in zip(stretches, ends, strict=True) if s < o < e]


def test_it_hears_an_answer_interrupts_it_and_has_a_tool_run(
    playwright: Playwright, site: str, host: str, tmp_path: Path
) -> None:
    talk = recording(tmp_path / "talk.wav", 2.0, "count_to_twenty", 5.0, "weather_in_paris", 9.0)
    with calling(playwright, site, host, talk, "--allow-loopback-in-peer-connection") as page:
        cleared = until(page, "output_audio_buffer.cleared", 2)[0]
        truncated = until(page, "conversation.item.truncated", 2)[0]
        page.wait_for_function("told.tools.length >= 2")
        assert page.evaluate("told.tools[0].city").lower() == "paris"
        page.wait_for_function("told.events.filter((e) => (e.transcript ?? '').includes('21')).length >= 2")
        kinds = page.evaluate("told.events.map((e) => e.type)")
        assert kinds.index("output_audio_buffer.cleared") < kinds.index("conversation.item.truncated")
        assert "response.output_audio.delta" not in kinds
        assert cleared["response_id"] in [event["response"]["id"] for event in until(page, "response.created")]
        spoken, heard = loud_times(page, 1), loud_times(page, 2)
        assert truncated["audio_end_ms"] > 1000
        assert len([moment for moment in heard if moment < heard[0] + 2]) > 300  # of 750 in two seconds
        after = silent_after(spoken, heard)
        assert len(after) >= 2
        assert min(after) < 0.3, after  # whatever else the machine is doing: one of them


def test_a_page_without_the_flag_finds_another_way_in(
    playwright: Playwright, site: str, host: str, tmp_path: Path
) -> None:
    """Chromium leaves the loopback interface alone by itself; any other address of the machine will do."""
    if not get_host_addresses(use_ipv4=True, use_ipv6=True):
        pytest.skip("this machine has no address but loopback")
    with calling(playwright, site, host, recording(tmp_path / "talk.wav", 2.0, "hello", 9.0)) as page:
        until(page, "output_audio_buffer.stopped")
        assert len(loud_times(page, 2)) > 50
        page.evaluate("session.close()")
