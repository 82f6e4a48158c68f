from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.dialogue.playback import PlaybackLedger, Truncation


def cut(item: str, ms: int, part: int = 0) -> Truncation:
    return Truncation(item_id=item, content_index=part, audio_end_ms=ms)


def test_two_queued_items_are_cut_where_they_were_heard() -> None:
    ledger = PlaybackLedger()
    ledger.received("a", 0, 24_000)
    ledger.finished("a", 0)
    ledger.received("b", 0, 48_000)
    ledger.played_total(12_001)
    assert ledger.interrupt() == [cut("a", 500), cut("b", 0)]
    assert ledger.heard_ms("a") == 500


def test_what_was_heard_whole_is_not_cut() -> None:
    ledger = PlaybackLedger()
    ledger.received("a", 0, 24_000)
    ledger.finished("a", 0)
    ledger.played_total(24_000)
    assert ledger.interrupt() == []


def test_an_underrun_in_the_middle_of_an_item_loses_nothing() -> None:
    ledger = PlaybackLedger()
    ledger.received("a", 0, 2_400)
    ledger.played_total(5_000)  # the loudspeaker went on with silence
    ledger.received("a", 0, 2_400)
    ledger.played_total(6_200)
    assert ledger.interrupt() == [cut("a", 150)]


def test_an_unfinished_part_is_cut_at_what_was_heard_though_all_was() -> None:
    ledger = PlaybackLedger()
    ledger.received("a", 0, 2_400)
    ledger.played_item("a", 9_999)
    assert ledger.interrupt() == [cut("a", 100)]


def test_late_sound_of_a_cut_item_is_refused_and_the_next_item_plays() -> None:
    ledger = PlaybackLedger()
    ledger.received("a", 0, 2_400)
    ledger.interrupt()
    assert not ledger.received("a", 0, 2_400)
    assert ledger.received("b", 0, 2_400)
    ledger.advance(240)
    assert (ledger.heard_ms("a"), ledger.heard_ms("b")) == (0, 10)


steps = st.one_of(
    st.tuples(st.just("received"), st.sampled_from("abc"), st.integers(0, 1), st.integers(0, 50_000)),
    st.tuples(st.just("finished"), st.sampled_from("abc"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("advance"), st.just(""), st.just(0), st.integers(-5, 60_000)),
    st.tuples(st.just("lost"), st.just(""), st.just(0), st.just(0)),
    st.tuples(st.just("item"), st.sampled_from("abcd"), st.integers(0, 1), st.integers(-5, 60_000)),
)


@given(st.lists(steps, max_size=40), st.sampled_from([8_000, 24_000]))
def test_cuts_are_whole_ms_within_the_received_sound_and_queue_order(story: list[tuple], rate_hz: int) -> None:
    ledger = PlaybackLedger(rate_hz)
    received: dict[tuple[str, int], int] = {}
    for what, item, part, count in story:
        match what:
            case "received":
                received[item, part] = received.get((item, part), 0) + count
                assert ledger.received(item, part, count)
            case "finished":
                ledger.finished(item, part)
            case "advance":
                ledger.advance(count)
            case "lost":
                ledger.connection_lost()
            case "item":
                ledger.played_item(item, count, part)
    assert ledger.pending_ms >= 0
    cuts = ledger.interrupt()
    for one in cuts:
        assert type(one.audio_end_ms) is int
        assert 0 <= one.audio_end_ms <= received[one.item_id, one.content_index] * 1000 // rate_hz
    order = list(received)
    places = [order.index((one.item_id, one.content_index)) for one in cuts]
    assert places == sorted(places)
    assert ledger.interrupt() == []


def test_only_some_parts_are_cut_and_the_others_play_on() -> None:
    ledger = PlaybackLedger(24_000)
    ledger.received("old", 0, 24_000)
    ledger.received("new", 0, 24_000)
    ledger.played_item("old", 2_400)
    assert ledger.interrupt({("old", 0)}) == [Truncation(item_id="old", content_index=0, audio_end_ms=100)]
    assert not ledger.received("old", 0, 1)
    assert ledger.received("new", 0, 24_000)
    ledger.advance(12_000)
    assert ledger.heard_ms("new") == 500
    assert ledger.interrupt() == [Truncation(item_id="new", content_index=0, audio_end_ms=500)]
