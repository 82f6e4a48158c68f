"""Cuts a stream of text into clauses to speak: the first early, the rest at natural pauses, none across a number."""

from __future__ import annotations

import re

FIRST_MIN = 12
"""The first clause may be short: it decides how soon the voice is heard."""
LATER_MIN = 24
LONGEST = 200
_ABBREVIATIONS = ("mr", "mrs", "ms", "dr", "st", "vs", "etc", "e.g", "i.e", "no", "approx", "prof")
_SENTENCE_END = re.compile(r"[.!?…]+[\"')\]]*(?=\s)|[。！？]|\n")
_PAUSE = re.compile(r"[,;:](?=\s)|[、，；：]")


class ClauseSplitter:
    """Feed text as it comes; every character comes out exactly once, in order."""

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def feed(self, delta: str) -> list[str]:
        """The clauses that `delta` completed."""
        self._text += delta
        clauses = []
        while (cut := self._cut()) is not None:
            clauses.append(self._text[:cut])
            self._text = self._text[cut:]
            self._first = False
        return clauses

    def flush(self) -> list[str]:
        """What is left, at the end of the text."""
        rest, self._text = self._text, ""
        self._first = True
        return [rest] if rest else []

    def _cut(self) -> int | None:
        text, shortest = self._text, FIRST_MIN if self._first else LATER_MIN
        for end in self._ends(_SENTENCE_END):
            if not self._is_abbreviation(end):
                return end
        for end in self._ends(_PAUSE):
            if end >= shortest:
                return end
        if len(text) <= LONGEST:
            return None
        blank = text.rfind(" ", shortest, LONGEST)
        return blank + 1 if blank > 0 else LONGEST

    def _ends(self, pattern: re.Pattern[str]) -> list[int]:
        return [match.end() for match in pattern.finditer(self._text) if self._text[: match.end()].strip()]

    def _is_abbreviation(self, end: int) -> bool:
        words = self._text[:end].rstrip("\"')]").rstrip(".").split()
        dotted = self._text[:end].rstrip("\"')]").endswith(".")
        return dotted and bool(words) and (words[-1].lower() in _ABBREVIATIONS or _is_initial(words[-1]))


def _is_initial(word: str) -> bool:
    return len(word) == 1 and word.isalpha() and word.isupper() and word != "I"
