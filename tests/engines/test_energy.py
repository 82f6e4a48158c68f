from __future__ import annotations

import random

from duologue.audio import pcm16
from duologue.engines.energy import EnergyVad


def noise(level: int, duration_ms: int) -> bytes:
    chance = random.Random(9)
    return pcm16.pack(round(chance.gauss(0, level)) for _ in range(24 * duration_ms))


def test_the_floor_follows_a_loud_room() -> None:
    probabilities = EnergyVad().open().feed(noise(100, 10_000) + noise(3_000, 200))
    room, voice = probabilities[-60:-10], probabilities[-10:]
    assert max(room) < 0.5 < min(voice)
