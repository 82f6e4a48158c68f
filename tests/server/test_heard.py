"""From milliseconds heard to words heard."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.server.heard import Mark, words_heard

TEXT = "One two three. Four five six."
MARKS = (Mark(audio_ms=1000, characters=14), Mark(audio_ms=3000, characters=len(TEXT)))


def test_words_are_cut_where_the_sound_was() -> None:
    assert words_heard(TEXT, MARKS, 0) == ""
    assert words_heard(TEXT, MARKS, 500) == "One two"
    assert words_heard(TEXT, MARKS, 1000) == "One two three."
    assert words_heard(TEXT, MARKS, 2000) == "One two three. Four"
    assert words_heard(TEXT, MARKS, 3000) == TEXT


def test_without_a_mark_nothing_is_known_to_be_heard() -> None:
    assert words_heard(TEXT, (), 500) == ""


@given(st.integers(0, 4000), st.integers(0, 4000))
def test_hearing_longer_never_hears_less(first_ms: int, second_ms: int) -> None:
    low, high = sorted((first_ms, second_ms))
    assert words_heard(TEXT, MARKS, high).startswith(words_heard(TEXT, MARKS, low))
