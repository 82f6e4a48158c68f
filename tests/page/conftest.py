"""The console, the weather service and the browsers that the page's tests share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright
from stage import FLAGS, PATIENCE_MS, Open, Tab, Weather, chromium, console_process


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def weather() -> Iterator[Weather]:
    service = Weather()
    thread = threading.Thread(target=service.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield service
    service.server.shutdown()
    thread.join()
    service.server.server_close()


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory, weather: Weather) -> Iterator[str]:
    """One console for all stories: it holds one call at a time, and each story begins its own."""
    with console_process(tmp_path_factory.mktemp("console"), "--weather-url", weather.url) as url:
        yield url


@pytest.fixture
def browse(playwright: Playwright, console: str, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens the console in a Chromium of its own with `microphone` as what the user says; checks that nothing broke."""
    browsers: list[Browser] = []
    tabs: list[Tab] = []

    def open_tab(microphone: Path | None = None, *, url: str = console, allow: bool = True, **context: Any) -> Tab:
        flags = [*FLAGS]
        if allow:
            flags.append("--use-fake-ui-for-media-stream")
        if microphone:
            flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        browsers.append(browser)
        page = browser.new_context(**{"locale": "en-GB", **context}).new_page()
        page.set_default_timeout(PATIENCE_MS)
        tab = Tab(page)
        tabs.append(tab)
        page.goto(url)
        expect(tab.button("Connect").or_(tab.button("Disconnect"))).to_be_enabled()
        return tab

    yield open_tab
    for tab in tabs:
        if not tab.page.is_closed() and tab.button("Disconnect").is_visible():
            tab.button("Disconnect").click()
            expect(tab.button("Connect")).to_be_visible()
    for browser in browsers:
        browser.close()
    assert [error for tab in tabs for error in tab.errors] == []
