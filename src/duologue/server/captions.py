"""A transcript while it is still growing: from the recognizer's changing guesses to words that are only ever added."""

from __future__ import annotations

import re

AGREEMENT = {"minimal": 1, "low": 2, "medium": 3, "high": 4}
"""How many guesses in a row must agree on a word, by the client's `delay`; at `xhigh` only the last one counts."""
DEFAULT_AGREEMENT = 2
_WORD = re.compile(r"\S+")


class Captions:
    """One item's transcript. What was handed out is never taken back."""

    def __init__(self, delay: str | None = None) -> None:
        self._agreement = AGREEMENT.get(delay or "", 0 if delay == "xhigh" else DEFAULT_AGREEMENT)
        self._guesses: list[str] = []
        self._said = ""

    def guess(self, text: str) -> None:
        """The recognizer's transcript so far; its last word is open."""
        self._guesses = [*self._guesses, text][-max(1, self._agreement) :]

    def delta(self) -> str:
        """The words that have become certain since the last call."""
        if not self._agreement or len(self._guesses) < self._agreement:
            return ""
        newest = self._guesses[-1]
        words = [guess.split() for guess in self._guesses]
        ends = [match.end() for match in _WORD.finditer(newest)][:-1]
        certain = 0
        while certain < len(ends) and len({tuple(w[: certain + 1]) for w in words}) == 1:
            certain += 1
        stable = newest[: ends[certain - 1]] if certain else ""
        if len(stable) <= len(self._said) or not stable.startswith(self._said):
            return ""
        delta, self._said = stable[len(self._said) :], stable
        return delta

    def finish(self, text: str) -> tuple[str, str]:
        """The last delta and the whole transcript, which is the sum of all deltas.

        Where the recognizer changed its mind about a word that was handed out, that word stands.
        """
        if text.startswith(self._said):
            return text[len(self._said) :], text
        rest = text.split()[len(self._said.split()) :]
        delta = "".join(f" {word}" for word in rest)
        return delta, self._said + delta
