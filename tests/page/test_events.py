"""The event list with a hundred thousand events, and what can be done with one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from desk import Desk, desk
from playwright.sync_api import Playwright, expect
from stage import FLAGS, Open, Tab, chromium, recording

from duologue.console.feed import LoggedEvent

pytestmark = pytest.mark.page

MANY = 100_000


@contextmanager
def desk_in_a_thread(folder: Path) -> Iterator[tuple[Desk, asyncio.AbstractEventLoop]]:
    """A console in this process, so that the test can reach its feed."""
    loop = asyncio.new_event_loop()
    ready: list[Desk] = []
    started, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with desk(folder) as found:
            ready.append(found)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(20)
    try:
        yield ready[0], loop
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


def fill(console: Desk, first: int, count: int) -> None:
    for number in range(first, first + count):
        kind = "response.output_text.delta" if number % 2 else "input_audio_buffer.append"
        text = "a needle" if number % 10_000 == 5 else "hay"
        console.call.feed.record(
            LoggedEvent(t_ms=number, by="server", type=kind, size=300, item=f"item_{number // 3}", text=text)
        )


FRAMES = """(seconds) => new Promise((done) => {
  let frames = 0, longest = 0, last = performance.now();
  const begin = last;
  const step = (now) => {
    frames++;
    longest = Math.max(longest, now - last);
    last = now;
    if (now - begin < 1000 * seconds) requestAnimationFrame(step);
    else done([frames / ((now - begin) / 1000), longest]);
  };
  requestAnimationFrame(step);
})"""


def test_a_hundred_thousand_events_stay_smooth(playwright: Playwright, tmp_path: Path) -> None:
    with desk_in_a_thread(tmp_path) as (console, loop):
        fill(console, 0, MANY)
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = browser.new_page()
            tab = Tab(page)
            page.goto(console.origin)
            expect(page.get_by_text(f"{MANY} events")).to_be_visible()
            expect(tab.events).to_have_attribute("aria-rowcount", str(MANY + 1))
            assert tab.events.get_by_role("row").count() < 200  # only what is in sight exists

            async def stream() -> None:
                for burst in range(60):
                    fill(console, MANY + 50 * burst, 50)
                    await asyncio.sleep(0.05)

            arriving = asyncio.run_coroutine_threadsafe(stream(), loop)
            rate, _ = page.evaluate(FRAMES, 3)
            arriving.result(20)
            assert rate >= 30
            expect(page.get_by_text(f"{MANY + 3000} events")).to_be_visible()

            # Who scrolls is not dragged back to the end.
            tab.events.evaluate("grid => { grid.scrollTop = grid.scrollHeight / 2; }")
            expect(tab.button("↓ Follow the newest")).to_be_visible()
            where = tab.events.evaluate("grid => grid.scrollTop")
            loop.call_soon_threadsafe(fill, console, MANY + 3000, 100)
            expect(page.get_by_text(f"{MANY + 3100} events")).to_be_visible()
            assert tab.events.evaluate("grid => grid.scrollTop") == where
            tab.button("↓ Follow the newest").click()
            expect(tab.button("↓ Follow the newest")).to_be_hidden()

            page.get_by_role("searchbox", name="Filter events").fill("needle")
            expect(page.get_by_text("11 of ")).to_be_visible()
            assert tab.errors == []
        finally:
            browser.close()


def test_a_fold_of_any_size_opens_whole_and_grows(playwright: Playwright, tmp_path: Path) -> None:
    def deltas(console: Desk, first: int, count: int) -> None:
        for number in range(first, first + count):
            console.call.feed.record(
                LoggedEvent(t_ms=number, by="server", type="response.output_text.delta", size=1, item="item_1")
            )

    with desk_in_a_thread(tmp_path) as (console, loop):
        deltas(console, 0, 5_000)
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = browser.new_page()
            tab = Tab(page)
            page.goto(console.origin)
            expect(tab.events).to_have_attribute("aria-rowcount", "2")
            tab.events.get_by_role("button", name="5000").click()
            expect(tab.events).to_have_attribute("aria-rowcount", "5002")
            loop.call_soon_threadsafe(deltas, console, 5_000, 700)
            expect(tab.events).to_have_attribute("aria-rowcount", "5702")
            page.get_by_role("searchbox", name="Filter events").fill("output_text")
            expect(page.get_by_text("1 of 1")).to_be_visible()
            expect(tab.events).to_have_attribute("aria-rowcount", "5702")
            assert tab.errors == []
        finally:
            browser.close()


def test_an_event_opens_its_payload_and_a_fold_its_events(browse: Open, tmp_path: Path) -> None:
    tab = browse(recording(tmp_path / "quiet.wav", 1.0), viewport={"width": 1440, "height": 900})
    tab.mode("Manual")
    tab.connect()
    tab.until_heard()
    tab.page.get_by_role("searchbox", name="Filter events").fill("output_audio.delta")
    fold = tab.events.get_by_role("row").filter(has_text="response.output_audio.delta").filter(has_text="×").first
    expect(fold).to_have_attribute("aria-expanded", "false")
    folds = int((fold.get_by_role("button").inner_text()).split()[0].removeprefix("×"))
    rows = tab.events.get_by_role("row").count()
    fold.get_by_role("button").click()
    expect(fold).to_have_attribute("aria-expanded", "true")
    expect(tab.events.get_by_role("row")).not_to_have_count(rows)
    shown = tab.events.get_by_role("row").count() - rows
    assert shown == folds or shown > 10
    fold.click()
    detail = tab.page.get_by_role("group", name="response.output_audio.delta")
    expect(detail).to_contain_text("bytes of sound")
    detail.get_by_role("button", name="Load the whole frame").click()
    expect(detail).not_to_contain_text("bytes of sound")
    tab.until_silent()
    detail.get_by_role("button", name="Play the sound").click()
    tab.until_level("Model", least=15)

    # And by keyboard alone.
    tab.events.focus()
    tab.page.keyboard.press("Escape")
    expect(detail).to_have_count(0)
    tab.page.keyboard.press("Home")
    tab.page.keyboard.press("ArrowLeft")
    expect(fold).to_have_attribute("aria-expanded", "false")
    tab.page.keyboard.press("Enter")
    expect(detail).to_be_visible()


def test_settings_are_edited_before_and_during_a_call_with_the_truth_beside_them(browse: Open, tmp_path: Path) -> None:
    tab = browse(recording(tmp_path / "quiet.wav", 1.0), viewport={"width": 1440, "height": 900})
    tab.mode("VAD")
    tab.page.get_by_role("tab", name="Session").click()
    panel = tab.page.get_by_role("group", name="Session")
    silence = panel.get_by_label("Silence, ms")
    expect(silence).to_have_value("500")
    silence.fill("450")
    silence.press("Tab")
    tab.connect()
    row = panel.locator(".setting").filter(has_text="Silence, ms")
    expect(row).to_contain_text("450")
    silence.fill("500")
    silence.press("Tab")
    expect(row).to_contain_text("500")
    language = panel.get_by_label("Spoken language")
    language.fill("ko")
    language.press("Tab")
    expect(panel.locator(".setting").filter(has_text="Spoken language")).to_contain_text("ko")
    language.fill("")
    language.press("Tab")
    tab.mode("Manual")
    expect(panel.get_by_label("Detector")).to_have_value("manual")
