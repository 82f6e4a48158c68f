"""Words that are only ever added."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.server.captions import Captions

GUESSES = ["turn", "turn on", "turn on the", "turn on the kitten", "turn on the kitchen", "turn on the kitchen light"]


def told(captions: Captions, guesses: list[str], final: str) -> list[str]:
    deltas = []
    for guess in guesses:
        captions.guess(guess)
        deltas.append(captions.delta())
    delta, whole = captions.finish(final)
    deltas.append(delta)
    assert "".join(deltas) == whole
    return [d for d in deltas if d]


def test_a_word_is_told_once_two_guesses_agree_on_it_and_another_follows() -> None:
    deltas = told(Captions(), GUESSES, "turn on the kitchen light.")
    assert deltas == ["turn", " on", " the", " kitchen", " light."]


def test_a_longer_delay_waits_for_more_agreement() -> None:
    assert told(Captions("minimal"), GUESSES, GUESSES[-1])[0] == "turn"
    assert len(told(Captions("high"), GUESSES, GUESSES[-1])) < len(told(Captions("minimal"), GUESSES, GUESSES[-1]))
    assert told(Captions("xhigh"), GUESSES, "turn on the kitchen light") == ["turn on the kitchen light"]


def test_what_was_told_stands_where_the_recognizer_changes_its_mind() -> None:
    captions = Captions("minimal")
    captions.guess("wreck a nice")
    assert captions.delta() == "wreck a"
    assert captions.finish("recognize a nice beach") == (" nice beach", "wreck a nice beach")


@given(
    st.lists(st.text("ab ", max_size=12), max_size=8), st.text("ab ", max_size=12), st.sampled_from([None, "minimal"])
)
def test_the_sum_of_the_deltas_is_the_transcript(guesses: list[str], final: str, delay: str | None) -> None:
    told(Captions(delay), guesses, final)
