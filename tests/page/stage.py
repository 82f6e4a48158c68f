"""What the page's tests are played on: a console as a process, a weather service, Chromium with a WAV as microphone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect

CLIPS = Path(__file__).parent.parent / "clips"
PICTURES = Path(__file__).parents[2] / ".cache" / "pictures"
RATE_HZ = 16_000
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
FLAGS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing but this machine: what the page shows must not need the network.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
]
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


def chromium() -> str:
    """The system's Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise AssertionError("the page's tests need Chromium: apt-get install chromium")


class Weather:
    """Open-Meteo as far as the console asks: 21.5 °C and 9 km/h everywhere."""

    def __init__(self) -> None:
        self.queries: list[dict[str, list[str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.queries.append(parse_qs(urlsplit(self.path).query))
                data = json.dumps({"current": {"temperature_2m": 21.5, "wind_speed_10m": 9}}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def console_process(folder: Path, *arguments: str) -> Iterator[str]:
    """`duologue console` as a user starts it; gives the address that it printed."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "duologue.cli.main", "console", "--port", str(port), "--no-browser"]
    with started([*command, "--sessions", str(folder / "sessions"), *arguments], folder) as line:
        assert line.startswith("duologue console: open "), line
        yield line.split()[-1]


@contextmanager
def started(command: list[str | Path], folder: Path | None = None) -> Iterator[str]:
    """A program as a user starts it in a folder; gives the line that it prints. Ctrl-C has to end it with 0."""
    process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


def recording(path: Path, *parts: str | float) -> Path:
    """A WAV file of clips (names) and silences (seconds), one after the other."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        for part in parts:
            if isinstance(part, str):
                with wave.open(str(CLIPS / f"{part}.wav")) as clip:
                    out.writeframes(clip.readframes(clip.getnframes()))
            else:
                out.writeframes(bytes(2 * round(part * RATE_HZ)))
    return path


class Tab:
    """The page by the names that people and screen readers use."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self._complaint(message.type, message.text))

    def _complaint(self, kind: str, text: str) -> None:
        # Street tiles are looked for and not found: there is no network here.
        if kind == "error" and "ERR_NAME_NOT_RESOLVED" not in text and "ERR_INTERNET_DISCONNECTED" not in text:
            self.errors.append(text)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def status(self) -> Locator:
        return self.page.get_by_role("status")

    @property
    def events(self) -> Locator:
        return self.page.get_by_role("grid", name="Events")

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log", name="Conversation")

    @property
    def articles(self) -> Locator:
        return self.log.get_by_role("article")

    def region(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name)

    def mode(self, name: str) -> None:
        self.page.get_by_role("radiogroup", name="Turn detection").get_by_role("radio", name=name).check()

    def connect(self) -> None:
        self.button("Connect").click()
        expect(self.button("Disconnect")).to_be_visible()
        expect(self.status).to_contain_text("Connected")

    def disconnect(self) -> None:
        self.button("Disconnect").click()
        expect(self.status).to_contain_text("Closed")

    def say(self, text: str) -> None:
        self.page.get_by_role("textbox", name="Message").fill(text)
        self.button("Send").click()

    def until_level(self, who: str, least: int = 0, most: int = 100, for_ms: int = 0) -> None:
        """Wait until the sound of `Your` or `Model` side stays between two levels for a while."""
        self.page.evaluate("window.__since = 0")
        self.page.wait_for_function(
            """([name, least, most, time]) => {
              const now = Number(document.querySelector(`[role=meter][aria-label="${name}"]`).ariaValueNow);
              if (now < least || now > most) window.__since = 0;
              else window.__since ||= performance.now();
              return window.__since && performance.now() - window.__since >= time;
            }""",
            arg=[f"{who} level", least, most, for_ms],
            timeout=PATIENCE_MS,
            polling=30,
        )

    def until_heard(self) -> None:
        """The model's voice leaves the loudspeaker."""
        self.until_level("Model", least=30)

    def until_silent(self, for_ms: int = 400) -> None:
        self.until_level("Model", most=5, for_ms=for_ms)


Open = Callable[..., Tab]


def picture(tab: Tab, name: str) -> None:
    """A screenshot to be looked at, in .cache/pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    tab.page.screenshot(path=PICTURES / f"{name}.png")
