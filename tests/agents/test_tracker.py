from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.agents.tracker import RealtimePlaybackTracker, SpeedOfSpeech
from duologue.dialogue.playback import PlaybackLedger


def ledger_of(*parts_ms: int, rate_hz: int = 24_000) -> PlaybackLedger:
    ledger = PlaybackLedger(rate_hz)
    for number, ms in enumerate(parts_ms):
        ledger.received(f"i{number}", 0, ms * rate_hz // 1000)
    return ledger


def test_what_an_application_played_is_what_was_heard() -> None:
    tracker, ledger = RealtimePlaybackTracker(), ledger_of(1000, 1000)
    tracker.on_play_ms("i0", 0, 10)  # nobody listens yet
    tracker.follow(lambda: ledger)
    tracker.on_play_ms("i0", 0, 400)
    tracker.on_play_bytes("i0", 0, bytes(48 * 100))
    assert ledger.heard_ms("i0") == 500
    tracker.on_play_ms("i1", 0, 20.5)
    assert (ledger.heard_ms("i0"), ledger.heard_ms("i1")) == (1000, 20)
    tracker.on_play_ms("stranger", 0, 20)
    tracker.on_interrupted()
    tracker.on_play_ms("i1", 0, 5)
    assert [(cut.item_id, cut.audio_end_ms) for cut in ledger.interrupt()] == [("i0", 1000), ("i1", 20)]


def test_telephone_sound_has_one_byte_a_sample() -> None:
    tracker, ledger = RealtimePlaybackTracker(), ledger_of(1000, rate_hz=8000)
    tracker.follow(lambda: ledger)
    tracker.on_play_bytes("i0", 0, bytes(8 * 100))
    assert ledger.heard_ms("i0") == 100


def test_where_nobody_tells_sound_plays_at_the_speed_of_speech() -> None:
    ledger = PlaybackLedger()
    pace = SpeedOfSpeech(lambda: ledger)
    ledger.received("i0", 0, 24 * 1000)
    pace.began("i0", 5_000)
    ledger.received("i1", 0, 24 * 1000)
    pace.began("i1", 5_600)  # the first is still playing
    assert ledger.heard_ms("i0") == 600
    assert pace.cuts(6_300)
    assert [(cut.item_id, cut.audio_end_ms) for cut in ledger.interrupt()] == [("i0", 1000), ("i1", 300)]
    pace.go_on()
    ledger.received("i2", 0, 24 * 1000)
    pace.began("i2", 60_000)  # after a long silence
    assert ledger.heard_ms("i2") == 0
    ledger.played_item("i2", 2400)
    assert not pace.cuts(70_000)
    assert ledger.heard_ms("i2") == 100


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 2000)), max_size=8), st.integers(0, 5000))
def test_nothing_is_heard_that_did_not_come_or_before_it_came(items: list[tuple[int, int]], after_ms: int) -> None:
    ledger, now_ms = PlaybackLedger(), 0
    pace = SpeedOfSpeech(lambda: ledger)
    for number, (wait_ms, long_ms) in enumerate(items):
        now_ms += wait_ms
        ledger.received(f"i{number}", 0, 24 * long_ms)
        pace.began(f"i{number}", now_ms)
        assert ledger.heard_ms(f"i{number}") == 0
    first_ms = items[0][0] if items else 0
    pace.cuts(now_ms + after_ms)
    heard = sum(ledger.heard_ms(f"i{number}") for number in range(len(items)))
    assert heard <= min(sum(long_ms for _, long_ms in items), now_ms + after_ms - first_ms)
