"""Several tabs, reloads, narrow screens, refusals: one recorder and one session whatever happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect
from stage import FLAGS, Open, Tab, chromium, console_process, picture, recording

pytestmark = pytest.mark.page


def sessions(tab: Tab) -> int:
    """How many sessions the log of this call shows."""
    tab.page.get_by_role("searchbox", name="Filter events").fill("session.created")
    expect(tab.page.get_by_text(re.compile(r"^\d+ of \d+ lines$"))).to_be_visible()
    count = tab.events.get_by_role("row").filter(has_text="session.created")
    expect(count).not_to_have_count(0)
    return count.count()


def test_a_double_click_makes_one_session(browse: Open, tmp_path: Path) -> None:
    tab = browse(recording(tmp_path / "quiet.wav", 1.0))
    tab.page.evaluate(
        """() => {
          window.__asked = 0;
          const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
          navigator.mediaDevices.getUserMedia = (wish) => { window.__asked++; return ask(wish); };
        }"""
    )
    tab.button("Connect").dblclick()
    expect(tab.status).to_contain_text("Connected")
    tab.until_heard()
    assert sessions(tab) == 1
    assert tab.page.evaluate("window.__asked") == 1


def test_a_reload_in_mid_call_goes_on_talking_in_the_same_session(browse: Open, tmp_path: Path) -> None:
    tab = browse(recording(tmp_path / "tokyo.wav", 6.0, "weather_in_tokyo", 1.0))
    tab.mode("VAD")
    tab.connect()
    tab.until_heard()
    tab.page.reload()
    expect(tab.status).to_contain_text("Connected")
    expect(tab.articles.first).to_contain_text("Hello!")
    # The microphone is this tab's again, without a click.
    expect(tab.log).to_contain_text("weather in tokyo")
    expect(tab.region("get_weather")).to_contain_text("Tokyo")
    assert sessions(tab) == 1


def test_a_second_tab_watches_and_takes_the_microphone_over(browse: Open, tmp_path: Path) -> None:
    first = browse(recording(tmp_path / "quiet.wav", 1.0))
    first.mode("Manual")
    first.connect()
    first.until_heard()
    page: Page = first.page.context.new_page()
    page.goto(first.page.url)
    second = Tab(page)
    expect(second.status).to_contain_text("Connected")
    expect(second.articles.first).to_contain_text("Hello!")
    expect(second.page.get_by_role("alert")).to_contain_text("Another tab has the microphone")
    expect(second.button("Push to talk")).to_be_disabled()
    second.button("Use the microphone here").click()
    expect(second.button("Push to talk")).to_be_enabled()
    expect(first.button("Push to talk")).to_be_disabled()
    expect(first.page.get_by_role("alert")).to_contain_text("Another tab has the microphone")
    second.page.bring_to_front()
    second.say("hello again")
    second.until_heard()
    assert second.errors == []
    second.disconnect()


def test_a_phone_holds_to_talk_by_touch(browse: Open, tmp_path: Path) -> None:
    tab = browse(
        recording(tmp_path / "time.wav", 3.0, "tell_me_the_time", 3.0),
        viewport={"width": 375, "height": 667},
        has_touch=True,
        is_mobile=True,
    )
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 375
    tab.page.get_by_role("radiogroup", name="Turn detection").get_by_text("Manual").tap()
    tab.button("Connect").tap()
    expect(tab.status).to_contain_text("Connected")
    tab.until_heard()
    box = tab.button("Push to talk").bounding_box()
    assert box
    assert box["height"] >= 44
    finger = tab.page.context.new_cdp_session(tab.page)
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
    expect(tab.button("Push to talk")).to_have_attribute("aria-pressed", "true")
    tab.until_level("Your", least=30)
    tab.until_level("Your", most=5, for_ms=500)
    finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": 20, "y": 20}]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(tab.button("Push to talk")).to_have_attribute("aria-pressed", "false")
    expect(tab.log).to_contain_text("tell me the time")
    picture(tab, "phone-talk")
    for name in ("Events", "Tools", "Session", "Money"):
        tab.page.get_by_role("tab", name=name).tap()
        picture(tab, f"phone-{name.lower()}")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 375, name
    tab.mode("VAD")
    expect(tab.page.get_by_text("Just speak")).to_be_visible()
    expect(tab.button("Push to talk")).to_be_hidden()


def test_silent_meters_follow_the_theme(browse: Open) -> None:
    tab = browse(color_scheme="light")
    painted_as_styled = """() => [...document.querySelectorAll("[role=meter] canvas")].every((canvas) => {
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let best = 0;
      for (let at = 0; at < data.length; at += 4) if (data[at + 3] > data[best + 3]) best = at;
      const wanted = getComputedStyle(canvas).color.match(/\\d+/g).map(Number);
      return wanted.every((value, index) => Math.abs(value - data[best + index]) < 8);
    })"""
    tab.page.wait_for_function(painted_as_styled)
    tab.page.emulate_media(color_scheme="dark")
    tab.page.wait_for_function(painted_as_styled)
    tab.page.get_by_role("button", name="Theme").click()
    tab.page.wait_for_function(painted_as_styled)


def test_a_refused_microphone_is_said_and_typing_works(browse: Open) -> None:
    tab = browse(allow=False)
    tab.connect()
    expect(tab.page.get_by_role("alert")).to_contain_text("not allowed to use the microphone")
    expect(tab.button("Push to talk")).to_be_disabled()
    expect(tab.page.get_by_text("allow it beside the address, or type")).to_be_visible()
    tab.say("hello there")
    expect(tab.articles.last).to_contain_text("assistant")


def test_the_microphone_of_a_closed_tab_is_offered(browse: Open, tmp_path: Path) -> None:
    first = browse(recording(tmp_path / "quiet.wav", 1.0))
    first.connect()
    page: Page = first.page.context.new_page()
    page.goto(first.page.url)
    second = Tab(page)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Another tab has the microphone")
    first.page.close()
    expect(alert).to_contain_text("nobody has it now", timeout=5_000)
    second.button("Use the microphone here").click()
    expect(alert).not_to_contain_text("microphone")
    second.disconnect()


def test_a_page_without_its_console_claims_nothing(browse: Open, tmp_path: Path) -> None:
    with console_process(tmp_path) as url:
        tab = browse(recording(tmp_path / "quiet.wav", 1.0), url=url)
        tab.connect()
    expect(tab.status).to_contain_text("lost the console")
    expect(tab.button("Disconnect")).to_be_disabled()
    expect(tab.button("Push to talk")).to_be_disabled()
    expect(tab.page.locator(".elapsed")).to_have_count(0)
    tab.page.close()
    tab.errors.clear()  # the browser complains that nobody listens, which is so


def test_the_keyboard_goes_on_from_where_an_item_was_deleted(browse: Open, tmp_path: Path) -> None:
    tab = browse(recording(tmp_path / "quiet.wav", 1.0))
    tab.connect()
    tab.until_heard()
    delete = tab.button("Delete: you, Hello!")
    expect(delete).to_have_text("Delete")
    delete.focus()
    tab.page.keyboard.press("Enter")
    expect(delete).to_have_count(0)
    expect(tab.articles.first).to_be_focused()
    tab.articles.first.get_by_role("button", name=re.compile("^Delete")).press("Enter")
    expect(tab.log).to_be_focused()


def test_a_server_that_is_not_there_leaves_a_true_state_and_a_next_step(browse: Open, tmp_path: Path) -> None:
    with console_process(tmp_path, "--upstream", "http://127.0.0.1:9") as url:
        tab = browse(url=url)
        tab.button("Connect").click()
        expect(tab.status).to_contain_text("Closed: could not connect")
        expect(tab.page.get_by_role("alert")).to_contain_text("127.0.0.1:9")
        tab.page.get_by_role("tab", name="Session").click()
        tab.page.get_by_label("Who answers").select_option("embedded")
        tab.button("Use it").click()
        expect(tab.page.get_by_text("embedded", exact=True)).to_be_visible()
        tab.connect()
        expect(tab.articles.first).to_contain_text("Hello!")
        tab.disconnect()
        tab.page.close()  # before its server goes


def test_the_page_follows_the_browsers_language_and_theme(browse: Open, tmp_path: Path) -> None:
    tab = browse(
        recording(tmp_path / "quiet.wav", 1.0),
        viewport={"width": 1440, "height": 900},
        color_scheme="dark",
    )
    tab.connect()
    tab.say("what is the weather in Seoul?")
    expect(tab.region("get_weather")).to_contain_text("21.5 °C")
    expect(tab.articles.last).to_contain_text("21.5")
    picture(tab, "dark")
    for name in ("Session", "Money"):
        tab.page.get_by_role("tab", name=name).click()
        picture(tab, f"dark-{name.lower()}")
    expect(tab.page.get_by_text("$0.0000").first).to_be_visible()
    tab.disconnect()
    tab.button("한국어").click()
    expect(tab.button("연결")).to_be_visible()
    picture(tab, "dark-korean")
    tab.button("English").click()
    expect(tab.button("Connect")).to_be_visible()


def test_a_korean_browser_gets_korean(playwright: Playwright, console: str) -> None:
    browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
    try:
        page = browser.new_context(locale="ko-KR").new_page()
        page.goto(console)
        expect(page.get_by_role("button", name="연결", exact=True)).to_be_visible()
    finally:
        browser.close()
