from __future__ import annotations

import re

import pytest
from scripted_talk import ALL, CONSOLE, CONVERT, LIGHT, MEMORY, SONG, TABLE, WEATHER, tool

from duologue.engines.base import SpeechHints
from duologue.engines.scripted import ScriptedLlm
from duologue.engines.scripted.hints import speech_hints
from duologue.protocol.session import FunctionTool


def hears(hints: SpeechHints, said: str) -> bool:
    """Whether a grammar made of the hints takes the sentence."""
    slots = {name: "|".join(map(re.escape, values)) for name, values in hints.slots.items()}
    for phrase in hints.phrases:
        pattern = re.sub(r"\[([^\]]*)\] ?", r"(?:\1 )?", phrase + " ")
        pattern = re.sub(r"<([a-z]+)>", lambda match: f"(?:{slots[match[1]]})", pattern)
        if re.fullmatch(pattern, said + " "):
            return True
    return False


@pytest.mark.parametrize(
    "said",
    [
        "what is the weather in paris",
        "what's the weather like in new york",
        "how is the weather in london today",
        "what is the weather in paris and in london",
        "and in berlin",
        "tokyo",
        "remember that my name is anna",
        "my favorite color is blue",
        "remember my dog's name is max",
        "i live in seoul",
        "what is my name",
        "hello",
        "stop",
        "what time is it",
        "tell me the time",
        "what day is it today",
        "count to ten",
        "what is seven times eight",
        "spell banana",
        "say hello",
        "repeat that please",
        "who are you",
        "thank you",
        "thank you very much",
        "goodbye",
    ],
)
def test_the_console_is_understood(said: str) -> None:
    assert hears(speech_hints(CONSOLE, None, places_limit=300), said)


@pytest.mark.parametrize(
    ("tool_", "said"),
    [
        (LIGHT, "turn on the light in the living room"),
        (LIGHT, "please turn on the kitchen light"),
        (LIGHT, "turn the bedroom light on"),
        (LIGHT, "turn on the light to fifty percent"),
        (LIGHT, "the bedroom"),
        (LIGHT, "kitchen please"),
        (TABLE, "book a table for four people in rome"),
        (TABLE, "for four people"),
        (CONVERT, "convert ten euros to dollars"),
        (CONVERT, "how much is twenty pounds in euros"),
        (SONG, "play a song"),
    ],
)
def test_unseen_tools_are_understood(tool_: FunctionTool, said: str) -> None:
    assert hears(speech_hints((tool_,), None, places_limit=300), said)


def test_nothing_is_heard_that_no_tool_wants() -> None:
    hints = speech_hints((MEMORY,), None, places_limit=300)
    assert not hears(hints, "what is the weather in paris")
    assert "place" not in hints.slots


def test_every_choice_of_an_unseen_tool_can_be_said() -> None:
    planets = ["mercury", "venus", "earth", "Mars", "planet_nine", "2nd-moon", "서울"]
    fly = tool("fly_to_planet", "Flies to a planet", planet={"type": "string", "enum": planets})
    hints = speech_hints((fly,), None, places_limit=10)
    for name in ("mercury", "venus", "earth", "mars", "planet nine"):
        assert hears(hints, name)
        assert hears(hints, f"fly to planet {name}") or hears(hints, f"fly to planet in the {name}")


def test_the_prompt_adds_its_phrases() -> None:
    hints = speech_hints((), "Duologue, espresso machine; the 2 moons of Mars\n서울", places_limit=10)
    for said in ("duologue", "espresso machine", "the two moons of mars"):
        assert hears(hints, said)


@pytest.mark.parametrize("tools", [(), CONSOLE, ALL])
def test_only_words_that_a_recognizer_can_spell(tools: tuple[FunctionTool, ...]) -> None:
    hints = speech_hints(tools, None, places_limit=500)
    for phrase in hints.phrases:
        assert re.fullmatch(r"[a-z' <>\[\]]+", phrase)
        assert phrase.count("[") == phrase.count("]")
        assert set(re.findall(r"<([a-z]+)>", phrase)) <= set(hints.slots)
    for values in hints.slots.values():
        assert values
        assert all(re.fullmatch(r"[a-z']+(?: [a-z']+)*", value) for value in values)
    assert len(set(hints.phrases)) == len(hints.phrases)


def test_places_are_bounded_and_most_populous_first() -> None:
    hints = ScriptedLlm(hint_places=50).hints((WEATHER,), None)
    assert len(hints.slots["place"]) == 50
    assert hints.slots["place"][0] == "shanghai"


def test_the_weight_of_places_stays_small() -> None:
    """Each mention of a slot copies all its words into a grammar."""
    hints = speech_hints(CONSOLE, None, places_limit=300)
    assert sum(phrase.count("<place>") for phrase in hints.phrases) <= 6
