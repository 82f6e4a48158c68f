"""How many events a second the console shows while its page still draws 30 frames a second.

A scripted upstream streams answers into a real `duologue console`; a headless Chromium looks at it. No two neighbours
of these events fold into one row, so every event is a row of its own: the hardest case for the list.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import shutil
import socket
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import websockets
from msgspec import Struct
from playwright.async_api import Page, async_playwright

from bench import processes
from bench.tables import Sheet

GOAL_FPS = 30
RATES = (250, 500, 1000, 2000, 4000, 8000, 16_000)
ANSWER_EVENTS = 400
"""Deltas in an answer: some 8 s of speech."""
SETTLE_SECONDS = 1.0
KEPT_UP = 0.9
SOUND = b64encode(bytes(480 * 2)).decode()

FRAMES_SCRIPT = """seconds => new Promise(done => {
  let frames = 0, longest = 0, last = performance.now();
  const begin = last;
  const tick = now => {
    frames += 1;
    longest = Math.max(longest, now - last);
    last = now;
    if (now - begin < seconds * 1000) requestAnimationFrame(tick);
    else done([frames / ((now - begin) / 1000), longest]);
  };
  requestAnimationFrame(tick);
})"""


class Step(Struct):
    """What one rate did."""

    wanted: int
    sent: float
    """Events a second that the upstream really sent, and that the page counted."""
    shown: float
    fps: float
    longest_ms: float
    rows: int
    console_cpu: float


class Upstream:
    """A server that answers the session and then streams at `rate` events a second."""

    def __init__(self) -> None:
        self.rate = 0
        self.sent = 0
        self.connected = asyncio.Event()
        self._events = _events()

    async def serve(self, console: websockets.ServerConnection) -> None:
        """One connection."""
        session = {"type": "realtime", "object": "realtime.session", "id": "sess_bench", "model": "bench"}
        await console.send(json.dumps({"type": "session.created", "event_id": "event_0", "session": session}))
        await console.send(json.dumps({"type": "session.updated", "event_id": "event_00", "session": session}))
        self.connected.set()
        stream = asyncio.create_task(self._stream(console), name="bench-upstream")
        try:
            async for _ in console:
                pass  # what the console asks for changes nothing
        finally:
            stream.cancel()
            await asyncio.gather(stream, return_exceptions=True)

    async def _stream(self, console: websockets.ServerConnection) -> None:
        owed, last = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            owed += self.rate * (now - last)
            last = now
            for event in itertools.islice(self._events, int(owed)):
                await console.send(event)
                self.sent += 1
            owed -= int(owed)


def _events() -> Iterator[str]:
    """Answers without end: words and sound in turns."""
    number = itertools.count(1)

    def event(kind: str, **fields: Any) -> str:
        return json.dumps({"type": kind, "event_id": f"event_{next(number)}", **fields})

    for answer in itertools.count(1):
        where = {"response_id": f"resp_{answer}", "item_id": f"item_{answer}", "output_index": 0}
        response = {"object": "realtime.response", "id": f"resp_{answer}", "status": "in_progress", "output": []}
        item = {"id": f"item_{answer}", "object": "realtime.item", "type": "message", "role": "assistant"}
        yield event("response.created", response=response)
        entry = {**item, "status": "in_progress", "content": []}
        yield event("response.output_item.added", response_id=f"resp_{answer}", output_index=0, item=entry)
        yield event("conversation.item.added", previous_item_id=None, item=entry)
        for n in range(ANSWER_EVENTS // 2):
            yield event("response.output_audio_transcript.delta", content_index=0, delta=f"word{n} ", **where)
            yield event("response.output_audio.delta", content_index=0, delta=SOUND, **where)
        yield event("response.output_audio.done", content_index=0, **where)
        words = " ".join(f"word{n}" for n in range(ANSWER_EVENTS // 2))
        done = {**item, "status": "completed", "content": [{"type": "output_audio", "transcript": words}]}
        yield event("response.output_item.done", response_id=f"resp_{answer}", output_index=0, item=done)
        yield event("conversation.item.done", previous_item_id=None, item=done)
        yield event("response.done", response={**response, "status": "completed", "output": [done]})


def run(sheet: Sheet, *, quick: bool) -> None:
    """Print frames a second for each rate, and the highest rate that kept 30. Needs Chromium."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sheet.say("This part needs Chromium.")
        return
    asyncio.run(_measure(sheet, chromium, (250, 1000) if quick else RATES, 2.0 if quick else 5.0))


async def _measure(sheet: Sheet, chromium: str, rates: tuple[int, ...], seconds: float) -> None:
    upstream = Upstream()
    async with (
        websockets.serve(upstream.serve, "127.0.0.1", 0, compression=None, max_size=None) as server,
        _console(server.sockets[0].getsockname()[1]) as (url, pid),
        async_playwright() as driver,
    ):
        browser = await driver.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
        )
        try:
            page = await browser.new_page(viewport={"width": 1280, "height": 800})
            await page.goto(url)
            await page.get_by_role("button", name="Connect", exact=True).click()
            await asyncio.wait_for(upstream.connected.wait(), 15)
            await page.get_by_role("button", name="Disconnect", exact=True).wait_for()
            idle_fps, _ = await page.evaluate(FRAMES_SCRIPT, 2)
            sheet.say(f"{idle_fps:.0f} frames a second before the first event.")
            steps: list[Step] = []
            for rate in rates:
                steps.append(await _step(page, upstream, rate, seconds, pid))
                if not held(steps[-1]):
                    break
            _report(sheet, steps)
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def _console(upstream_port: int) -> AsyncIterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "duologue.cli.main", "console", "--port", str(port), "--no-browser"),
            *("--upstream", f"ws://127.0.0.1:{upstream_port}/v1/realtime?model=bench", "--sessions", folder),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        try:
            line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
            found = re.search(r"https?://\S+", line)
            if not found:
                raise SystemExit(f"bench: the console did not start: {line!r}")
            yield found[0], process.pid
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _step(page: Page, upstream: Upstream, rate: int, seconds: float, pid: int) -> Step:
    upstream.rate = rate
    await asyncio.sleep(SETTLE_SECONDS)
    begin, sent, shown, cpu = time.monotonic(), upstream.sent, await _rows(page), _cpu(pid)
    fps, longest_ms = await page.evaluate(FRAMES_SCRIPT, seconds)
    took, rows = time.monotonic() - begin, await _rows(page)
    step = Step(
        wanted=rate,
        sent=(upstream.sent - sent) / took,
        shown=(rows - shown) / took,
        fps=fps,
        longest_ms=longest_ms,
        rows=rows,
        console_cpu=(_cpu(pid) - cpu) / took,
    )
    upstream.rate = 0
    await asyncio.sleep(SETTLE_SECONDS / 2)
    return step


async def _rows(page: Page) -> int:
    """Rows of the list, its head not counted."""
    return int(await page.get_by_role("grid", name="Events").get_attribute("aria-rowcount") or 1) - 1


def _cpu(pid: int) -> float:
    return processes.cpu_seconds([pid]).get(pid, 0.0) if processes.available() else float("nan")


def held(step: Step) -> bool:
    """Whether the page drew smoothly and showed what was sent, and the upstream could send what was wanted."""
    return step.fps >= GOAL_FPS and step.shown >= KEPT_UP * step.sent and step.sent >= KEPT_UP * step.wanted


def _report(sheet: Sheet, steps: list[Step]) -> None:
    rows = [
        [
            step.wanted,
            f"{step.sent:.0f}",
            f"{step.shown:.0f}",
            f"{step.fps:.0f}",
            f"{step.longest_ms:.0f}",
            step.rows,
            f"{100 * step.console_cpu:.0f}",
        ]
        for step in steps
    ]
    sheet.table(
        ["events/s wanted", "sent", "rows/s shown", "frames/s", "longest frame ms", "rows in all", "console CPU %"],
        rows,
    )
    smooth = [step for step in steps if held(step)]
    best = f"{smooth[-1].sent:.0f} with {smooth[-1].rows} rows in the list" if smooth else "none"
    sheet.say(f"Events a second shown at {GOAL_FPS} frames a second and more: {best}.")
