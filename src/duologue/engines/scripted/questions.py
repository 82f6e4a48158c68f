"""How to ask for what a tool still needs."""

from __future__ import annotations

from duologue.engines.scripted.schema import Slot, Tool
from duologue.engines.scripted.values import spoken_choice
from duologue.engines.scripted.words import join_words, word_set

_COUNTED = word_set("people guests persons seats tickets nights days hours minutes seconds items rooms copies times")
_MAX_CHOICES = 6


_STORED = {
    ("key", "en"): "What should I remember?",
    ("key", "ko"): "무엇을 기억할까요?",
    ("value", "en"): "And what should I note about it?",
    ("value", "ko"): "그것에 대해 무엇을 적어 둘까요?",
}


def ask(slot: Slot, language: str = "en", tool: Tool | None = None) -> str:
    """A question for the slot's value; of a `tool` that stores, in words that need no key."""
    if tool is not None and tool.key is not None and tool.value is not None:
        part = {tool.key.name: "key", tool.value.name: "value"}.get(slot.name, "")
        if stored := _STORED.get((part, language)):
            return stored
    return _korean(slot) if language == "ko" else _english(slot)


def _english(slot: Slot) -> str:
    name = slot.spoken
    match slot.kind:
        case "lat" | "lng" | "place":
            return {"origin": "From which city?", "target": "To which city?"}.get(slot.role, "Which city?")
        case "enum":
            told = join_words((spoken_choice(value) for value in slot.values[:_MAX_CHOICES]), "or")
            more = "" if len(slot.values) <= _MAX_CHOICES else ", for example"
            return f"Which {name}{more}: {told}?"
        case "number" | "integer":
            return f"How many {name}?" if slot.words and slot.words[-1] in _COUNTED else f"What {name}?"
        case "boolean":
            return f"{name[0].upper()}{name[1:]}: yes or no?"
        case "date":
            return f"When? Please tell me the {name}."
    return f"What is the {name}?"


def _korean(slot: Slot) -> str:
    match slot.kind:
        case "lat" | "lng" | "place":
            return {"origin": "어느 도시에서요?", "target": "어느 도시로요?"}.get(slot.role, "어느 도시요?")
        case "enum":
            told = ", ".join(spoken_choice(value) for value in slot.values[:_MAX_CHOICES])
            return f"{slot.spoken}: {told} 중 어느 것인가요?"
        case "boolean":
            return f"{slot.spoken}: 네, 아니요?"
    return f"{slot.spoken}: 무엇인가요?"
