"""Speaking and being answered, with a recording as the microphone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from stage import Open, Weather, picture, recording

pytestmark = pytest.mark.page


def test_a_spoken_question_is_answered_aloud_with_a_tool_and_the_log_stays(
    browse: Open, weather: Weather, tmp_path: Path
) -> None:
    tab = browse(recording(tmp_path / "ask.wav", 5.0, "weather_in_paris", 1.0), viewport={"width": 1440, "height": 900})
    tab.mode("VAD")
    tab.connect()
    tab.until_heard()
    expect(tab.articles.nth(0)).to_contain_text("Hello!")
    expect(tab.log).to_contain_text("what is the weather in paris")
    expect(tab.log).to_contain_text("get_weather(")
    expect(tab.region("get_weather")).to_contain_text("21.5 °C")
    expect(tab.region("get_weather")).to_contain_text("9 km/h")
    expect(tab.region("get_weather").get_by_role("img", name="Paris")).to_be_visible()
    assert abs(float(weather.queries[-1]["latitude"][0]) - 48.85) < 0.1
    answer = tab.articles.last
    expect(answer).to_contain_text("assistant")
    expect(answer).to_contain_text("21.5")
    expect(answer).to_contain_text(re.compile(r"heard \d+\.\d s"))
    picture(tab, "light")

    question = tab.articles.filter(has_text="what is the weather in paris")
    tab.until_silent()
    question.get_by_role("button", name="Play").click()
    tab.until_heard()

    question.get_by_role("button", name="Delete").click()
    expect(question).to_have_count(0)

    shown = tab.articles.count()
    tab.disconnect()
    assert tab.articles.count() == shown
    tab.until_silent()
    answer.get_by_role("button", name="Play").click()
    tab.until_heard()
    answer.get_by_role("button", name="Delete").click()
    expect(tab.articles).to_have_count(shown - 1)


def test_speech_stops_the_voice_and_cuts_the_item_where_it_was_heard(browse: Open, tmp_path: Path) -> None:
    # Counting takes half a minute, and on a busy machine it begins seconds after the microphone was opened.
    tab = browse(recording(tmp_path / "stop.wav", 15.0, "stop", 3.0))
    tab.mode("VAD")
    tab.connect()
    tab.say("count from 1 to 60")
    counting = tab.articles.filter(has_text=re.compile(r"18\D+19\D+20|eighteen\W+nineteen\W+twenty"))
    expect(counting).to_be_visible()
    tab.until_heard()
    # What was typed cuts the greeting as well, and the counting begins before the page has said where.
    cut = counting.filter(has_text="✂ cut at")
    expect(cut).to_be_visible()
    tab.until_silent(200)
    words = re.search(r"cut at (\d+\.\d) s of (\d+\.\d) s", cut.inner_text())
    assert words
    heard, whole = float(words[1]), float(words[2])
    assert 0 < heard < whole - 1
    expect(cut).to_contain_text("never heard:")
    tab.page.get_by_role("searchbox", name="Filter events").fill("conversation.item.truncated")
    expect(tab.events.get_by_role("row").filter(has_text="conversation.item.truncated").first).to_be_visible()


def test_push_to_talk_by_space_bar_saves_a_memory(browse: Open, tmp_path: Path) -> None:
    tab = browse(recording(tmp_path / "anna.wav", 3.0, "remember_my_name_is_anna", 3.0))
    tab.mode("Manual")
    tab.connect()
    tab.until_heard()
    push = tab.button("Push to talk")
    tab.page.keyboard.down("Space")
    expect(push).to_have_attribute("aria-pressed", "true")
    tab.until_silent(100)  # talking interrupts at once
    tab.until_level("Your", least=30)
    tab.until_level("Your", most=5, for_ms=500)
    tab.page.keyboard.up("Space")
    expect(push).to_have_attribute("aria-pressed", "false")
    expect(tab.log).to_contain_text("my name is anna")
    expect(tab.region("set_memory")).to_contain_text(re.compile("anna", re.IGNORECASE))
    tab.until_heard()


def test_space_is_a_space_while_typing_and_a_lost_focus_releases(browse: Open, tmp_path: Path) -> None:
    tab = browse(recording(tmp_path / "quiet.wav", 1.0))
    tab.mode("Manual")
    tab.connect()
    tab.until_heard()
    box = tab.page.get_by_role("textbox", name="Message")
    box.click()
    tab.page.keyboard.type("two words")
    expect(box).to_have_value("two words")
    push = tab.button("Push to talk")
    expect(push).to_have_attribute("aria-pressed", "false")
    tab.page.get_by_role("heading", name="Conversation").click()
    box.evaluate("box => box.blur()")
    tab.page.keyboard.down("Space")
    expect(push).to_have_attribute("aria-pressed", "true")
    tab.page.evaluate("window.dispatchEvent(new Event('blur'))")
    expect(push).to_have_attribute("aria-pressed", "false")


def test_the_mouse_may_leave_the_button_and_still_releases(browse: Open, tmp_path: Path) -> None:
    tab = browse(recording(tmp_path / "quiet.wav", 1.0))
    tab.mode("Manual")
    tab.connect()
    tab.until_heard()
    push = tab.button("Push to talk")
    push.hover()
    tab.page.mouse.down()
    expect(push).to_have_attribute("aria-pressed", "true")
    tab.page.mouse.move(5, 5)
    expect(push).to_have_attribute("aria-pressed", "true")
    tab.page.mouse.up()
    expect(push).to_have_attribute("aria-pressed", "false")
    tab.say("hello")
    expect(tab.articles.last).to_contain_text("assistant")


def test_a_language_that_the_embedded_recognizer_lacks_is_said_with_the_remedy(browse: Open, tmp_path: Path) -> None:
    tab = browse(recording(tmp_path / "hello.wav", 5.0, "hello", 2.0), viewport={"width": 1440, "height": 900})
    tab.mode("VAD")
    tab.page.get_by_role("tab", name="Session").click()
    language = tab.page.get_by_role("group", name="Session").get_by_label("Spoken language")
    language.fill("ko")
    language.press("Tab")
    tab.connect()
    alert = tab.page.get_by_role("alert")
    expect(alert).to_contain_text("--stt-url")
    expect(tab.articles.filter(has_text="--stt-url")).to_have_count(1)
    picture(tab, "banner")
    alert.get_by_role("button", name="Close").first.click()
    expect(alert).not_to_contain_text("--stt-url")
    language.fill("")
    language.press("Tab")
