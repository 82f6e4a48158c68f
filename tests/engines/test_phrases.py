"""Words that leave something open, and words that do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engines.phrases import completeness

OPEN = [
    "what is the weather in", "What is the weather in, um", "remember that", "remember that my name", "turn on the",
    "i would like", "i want to", "um", "well", "call", "tell me", "can you", "what is", "my name is", "yes but",
    "because i was tired and", "what is seven times", "let me think", "I was...", "no,", "서울 날씨가", "그리고",
    "내일은 비가 오는데",
]  # fmt: skip
OVER = [
    "what is the weather in paris", "Where are you from?", "who is it for", "turn it off", "turn on the light", "yes",
    "no thank you", "yes please", "thank you", "i don't know", "remember that my name is anna", "how are you",
    "i know what it is", "stop", "um what time is it", "my favourite color is blue", "오늘 날씨 어때요", "불 켜 줘",
]  # fmt: skip


@pytest.mark.parametrize("text", OPEN)
def test_something_is_left_open(text: str) -> None:
    assert completeness(text) <= -2.5


@pytest.mark.parametrize("text", OVER)
def test_nothing_is_left_open(text: str) -> None:
    assert completeness(text) >= 0.5


@pytest.mark.parametrize("text", ["", "...?!"[3:], "paris", "un deux trois"[:7], "こんにちは"])
def test_nothing_to_go_by(text: str) -> None:
    assert completeness(text) == 0.0


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    assert -4.0 <= completeness(text) <= 3.0


@given(st.text(st.characters(codec="ascii")))
def test_case_and_space_around_do_not_matter(text: str) -> None:
    assert completeness(text) == completeness(f" {text.upper()} ")
