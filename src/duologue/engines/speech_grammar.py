"""Speech hints as a JSGF grammar and the small pronouncing dictionary that goes with it. Pure but for one file read."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct

from duologue.engines.base import SpeechHints

_TOKEN = re.compile(r"<[^<>]*>|[\[\]]|[^\s\[\]<>]+")
_SILENT = re.compile(r"[^a-z'\-]")


_ALSO_SAID = {"seoul": ("S EH AO L", "S AO L", "S IY OW L", "S EY OW L")}
"""Pronunciations that the dictionary lacks: it knows Seoul only as a homophone of "soul"."""


class Grammar(Struct, frozen=True, kw_only=True):
    """What a decoder needs; `jsgf` is None where the hints leave nothing to say, and the language model serves."""

    jsgf: str | None
    dictionary: str = ""


def pronounceable(words: Iterable[str]) -> set[str]:
    """Those of `words` (several may stand in one string, any case) that the recognizer's dictionary can pronounce.

    Empty where pocketsphinx is not installed.
    """
    known = pronunciations()
    return {word for word in words if (parts := _words(word)) and all(part in known for part in parts)}


@cache
def pronunciations() -> Mapping[str, tuple[str, ...]]:
    """Every word of the bundled dictionary with its pronunciations, as phones joined by blanks (134,000 words)."""
    package = importlib.util.find_spec("pocketsphinx")
    if package is None or package.origin is None:
        return {}
    known: dict[str, tuple[str, ...]] = {}
    text = (Path(package.origin).parent / "model/en-us/cmudict-en-us.dict").read_text(encoding="utf-8")
    for line in text.splitlines():
        entry, _, phones = line.partition(" ")
        word = entry.partition("(")[0]
        known[word] = (*known.get(word, ()), phones)
    for word, more in _ALSO_SAID.items():
        known[word] = (*known[word], *more)
    return known


def grammar_of(hints: SpeechHints) -> Grammar:
    """The grammar of all phrases whose words have a pronunciation; the others are left out."""
    slots = {name: _alternatives(choices) for name, choices in hints.slots.items()}
    rules = {name: f"slot{number}" for number, name in enumerate(slots)}
    phrases = [phrase for text in hints.phrases if (phrase := _phrase(text, slots, rules))]
    if not phrases:
        return Grammar(jsgf=None)
    lines = ["#JSGF V1.0;", "grammar hints;", f"public <all> = {' | '.join(dict.fromkeys(phrases))};"]
    lines += [f"<{rules[name]}> = {' | '.join(choices)};" for name, choices in slots.items() if choices]
    known = pronunciations()
    spoken = [re.sub(r"<[^>]*>", " ", phrase) for phrase in phrases] + [
        word for choices in slots.values() for word in choices
    ]
    words = {word for text in spoken for word in re.findall(r"[a-z'\-]+", text)}
    entries = []
    for word in sorted(words & known.keys()):
        for number, phones in enumerate(known[word], 1):
            entries.append(f"{word} {phones}" if number == 1 else f"{word}({number}) {phones}")
    return Grammar(jsgf="\n".join(lines), dictionary="\n".join(entries) + "\n")


def _alternatives(choices: Iterable[str]) -> list[str]:
    known = pronunciations()
    spoken = [_words(choice) for choice in choices]
    return list(dict.fromkeys(" ".join(words) for words in spoken if words and all(word in known for word in words)))


def _phrase(text: str, slots: Mapping[str, list[str]], rules: Mapping[str, str]) -> str | None:
    """The phrase in JSGF; None if it cannot be spoken, or its brackets do not match."""
    known = pronunciations()
    parts: list[str] = []
    depth = 0
    for token in _TOKEN.findall(text.lower()):
        if token in "[]":
            depth += 1 if token == "[" else -1
            parts.append(token)
        elif token.startswith("<"):
            name = next((slot for slot in slots if slot.lower() == token[1:-1]), None)
            if name is None or not slots[name]:
                return None
            parts.append(f"<{rules[name]}>")
        else:
            words = _words(token)
            if any(word not in known for word in words):
                return None
            parts += words
        if depth not in (0, 1):
            return None
    # An empty choice, or a phrase of optional words only, would let silence count as the phrase.
    phrase = re.sub(r"\[ *\]", "", " ".join(parts)).strip()
    return phrase if depth == 0 and re.sub(r"\[[^\]]*\]", "", phrase).strip() else None


def _words(text: str) -> list[str]:
    words = (_SILENT.sub("", word).strip("-'") for word in text.lower().replace("’", "'").split())
    return [word for word in words if word]
