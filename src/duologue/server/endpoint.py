"""How long to wait in a pause, by how finished the user sounds and how eager the client is to answer."""

from __future__ import annotations

from math import pow

from duologue.protocol.session import Eagerness

FIRST_JUDGEMENT_MS = 200
"""A shorter pause is a consonant."""
LONGEST_MS = {"low": 8_000, "medium": 4_000, "auto": 4_000, "high": 2_000}
"""The wait for somebody who surely goes on; so long at most is any pause."""
SHORTEST_MS = {"low": 400, "medium": 300, "auto": 300, "high": 250}
"""The wait for somebody who has surely finished."""
SURE, OPEN = 0.8, 0.15
"""At these scores and beyond the wait is the shortest and the longest; between them each step multiplies it."""
UNKNOWN = 0.5


def wait_ms(score: float | None, eagerness: Eagerness) -> int:
    """The pause that ends the turn; `score` 0-1 says how likely the user has finished, None that nobody knows."""
    openness = (SURE - (UNKNOWN if score is None else score)) / (SURE - OPEN)
    shortest, longest = SHORTEST_MS[eagerness], LONGEST_MS[eagerness]
    return round(shortest * pow(longest / shortest, min(max(openness, 0.0), 1.0)))


def next_judgement_ms(pause_ms: int) -> int:
    """After which pause to judge again: half as much longer each time, so that a long one costs few judgements."""
    return pause_ms * 3 // 2
