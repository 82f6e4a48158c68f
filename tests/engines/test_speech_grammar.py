from __future__ import annotations

import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.engines.base import SpeechHints
from duologue.engines.speech_grammar import grammar_of, pronounceable

pytest.importorskip("pocketsphinx")


def test_words_with_a_pronunciation() -> None:
    assert pronounceable(["Paris", "New York", "Xqzt", "서울", "", "o'clock"]) == {"Paris", "New York", "o'clock"}


def test_hints_become_rules_and_a_dictionary() -> None:
    grammar = grammar_of(
        SpeechHints(phrases=("Weather [today] in <City>", "hello!"), slots={"City": ("Paris", "Xqzt", "New York")})
    )
    assert grammar.jsgf is not None
    assert grammar.jsgf.splitlines()[2:] == [
        "public <all> = weather [ today ] in <slot0> | hello;",
        "<slot0> = paris | new york;",
    ]
    words = [line.split()[0] for line in grammar.dictionary.splitlines()]
    assert {"weather", "today", "in", "paris", "new", "york", "hello"} == {word.split("(")[0] for word in words}


@pytest.mark.parametrize(
    "phrase",
    ["frobnicate it", "[hello]", "[hello", "hello]", "[[hello] you] there", "<nowhere>", "<empty>", "", "날씨"],
)
def test_what_cannot_be_said_is_left_out(phrase: str) -> None:
    assert grammar_of(SpeechHints(phrases=(phrase,), slots={"empty": ("xqzt",)})).jsgf is None


@given(
    st.lists(st.text("ab <>[]|;*=\n'", max_size=20), max_size=4), st.lists(st.text("ab <>;|", max_size=8), max_size=3)
)
@settings(max_examples=60, deadline=None)
def test_any_hints_compile(phrases: list[str], choices: list[str]) -> None:
    import pocketsphinx

    grammar = grammar_of(SpeechHints(phrases=tuple(phrases), slots={"a": tuple(choices)}))
    if grammar.jsgf:
        with tempfile.NamedTemporaryFile("w", suffix=".dict") as dictionary:
            dictionary.write(grammar.dictionary)
            dictionary.flush()
            model = pocketsphinx.get_model_path("en-us/en-us")
            decoder = pocketsphinx.Decoder(hmm=model, dict=dictionary.name, lm=None, loglevel="FATAL")
            decoder.add_jsgf_string("hints", grammar.jsgf)
