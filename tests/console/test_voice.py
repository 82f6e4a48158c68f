from __future__ import annotations

import asyncio

from duologue.console.voice import Voice
from duologue.dialogue.playback import Truncation

PART = ("item_1", 0)
MS = 48


def test_only_what_may_still_be_played_is_kept() -> None:
    cuts: list[Truncation] = []
    voice = Voice(cuts.extend)
    for _ in range(10):
        voice.say(PART, bytes(100 * MS))
    assert (voice.kept_bytes, voice.received_ms("item_1")) == (1_000 * MS, 1_000)
    voice.heard({1: 24 * 300})
    assert voice.kept_bytes == 700 * MS
    voice.heard({1: 24 * 100})  # a late report takes nothing back
    assert voice.kept_bytes == 700 * MS
    voice.say(PART, bytes(100 * MS))
    voice.heard({1: 24 * 1_100})
    assert voice.kept_bytes == 0
    assert (voice.received_ms("item_1"), voice.heard_ms("item_1")) == (1_100, 1_100)
    voice.say(PART, bytes(10 * MS))
    assert voice.kept_bytes == 10 * MS


def test_what_was_stopped_is_forgotten_and_late_sound_is_counted_only() -> None:
    async def story() -> None:
        cuts: list[Truncation] = []
        voice = Voice(cuts.extend)
        voice.say(PART, bytes(500 * MS))
        voice.heard({1: 24 * 200})
        voice.stop()
        voice.say(PART, bytes(100 * MS))
        assert voice.kept_bytes == 0
        assert [cut.audio_end_ms for cut in cuts] == [200]
        assert voice.received_ms("item_1") == 600

    asyncio.run(story())


def test_sound_counts_by_item_however_many_parts_it_has() -> None:
    voice = Voice(lambda cuts: None)
    voice.say(("item_1", 0), bytes(100 * MS))
    voice.say(("item_1", 1), bytes(50 * MS))
    voice.say(("item_2", 0), bytes(25 * MS))
    assert [voice.received_ms(item) for item in ("item_1", "item_2", "item_3")] == [150, 25, 0]
