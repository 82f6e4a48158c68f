from __future__ import annotations

import struct

import pytest

from duologue.console.sound import Button, Microphone, Played, Tracks, parse
from duologue.dialogue.playback import Truncation


def pairs(kind: int, *words: int) -> bytes:
    return bytes([kind, 0, 0, 0]) + struct.pack(f"<{len(words)}I", *words)


def test_frames_of_the_page() -> None:
    assert parse(pairs(1) + b"abcd") == Microphone(b"abcd")
    assert parse(pairs(2, 1, 480, 2, 0)) == Played({1: 480, 2: 0})
    assert parse(pairs(3, 7, 1, 480)) == Played({1: 480}, 7)
    assert parse(pairs(3, 0)) == Played({}, 0)
    assert parse(pairs(4)) == Button(True)
    assert parse(pairs(5)) == Button(False)


@pytest.mark.parametrize("frame", [b"", b"\x01", pairs(1) + b"abc", pairs(2, 1), pairs(3), pairs(9, 1), b"\xff" * 40])
def test_nonsense_is_dropped(frame: bytes) -> None:
    assert parse(frame) is None


SECOND = 48_000


def cut(item_id: str, audio_end_ms: int) -> Truncation:
    return Truncation(item_id=item_id, content_index=0, audio_end_ms=audio_end_ms)


def test_a_stop_cuts_what_was_heard_in_part_and_what_was_queued_behind_it() -> None:
    tracks = Tracks()
    first = tracks.receive(("item_1", 0), SECOND)
    second = tracks.receive(("item_2", 0), SECOND)
    tracks.heard({first.number: 6_000})
    cuts = tracks.settle({first.number: 12_000, second.number: 0})
    assert cuts == [cut("item_1", 500), cut("item_2", 0)]
    assert tracks.heard_ms("item_1") == 500


def test_what_was_heard_whole_is_not_cut() -> None:
    tracks = Tracks()
    first = tracks.receive(("item_1", 0), SECOND)
    tracks.finish(("item_1", 0))
    second = tracks.receive(("item_2", 0), SECOND)
    assert tracks.settle({first.number: 24_000, second.number: 2_400}) == [cut("item_2", 100)]


def test_an_underrun_does_not_reset_the_count() -> None:
    tracks = Tracks()
    track = tracks.receive(("item_1", 0), SECOND)
    tracks.heard({track.number: 24_000})
    tracks.receive(("item_1", 0), SECOND)
    assert tracks.settle({track.number: 36_000}) == [cut("item_1", 1500)]


def test_counts_stay_within_what_was_received() -> None:
    tracks = Tracks()
    track = tracks.receive(("item_1", 0), SECOND)
    tracks.finish(track.part)
    tracks.heard({track.number: 99_999, 17: 5})
    assert tracks.heard_ms("item_1") == 1000
    assert tracks.heard({track.number: 10}) == []
    assert tracks.settle({}) == []


def test_late_sound_of_a_cut_part_is_dropped() -> None:
    tracks = Tracks()
    track = tracks.receive(("item_1", 0), SECOND)
    tracks.settle({track.number: 240})
    assert tracks.receive(("item_1", 0), SECOND).stopped
    assert tracks.settle({track.number: 480}) == []
    assert tracks.heard_ms("item_1") == 10


def test_parts_of_one_item_are_tracks_of_their_own() -> None:
    tracks = Tracks()
    tracks.receive(("item_1", 0), SECOND)
    tracks.receive(("item_1", 1), SECOND)
    tracks.heard({1: 24_000, 2: 12_000})
    assert tracks.heard_ms("item_1") == 1500
    assert [track.part for track in tracks.unheard()] == [("item_1", 1)]
    assert tracks.pending_ms == 500


def test_a_new_page_goes_on_where_the_old_one_stopped() -> None:
    tracks = Tracks()
    old = tracks.receive(("item_1", 0), SECOND).number
    tracks.heard({old: 6_000})
    (track,) = tracks.resume()
    assert track.number != old
    assert track.base == 6_000
    tracks.heard({track.number: 2_400, old: 24_000})
    assert tracks.heard_ms("item_1") == 350
    assert tracks.settle({track.number: 4_800}) == [cut("item_1", 450)]


def test_between_stop_and_answer_no_late_sound_gets_through() -> None:
    tracks = Tracks()
    track = tracks.receive(("item_1", 0), SECOND)
    assert tracks.stop(1)
    assert tracks.receive(("item_1", 0), SECOND).stopped
    assert tracks.resume() == []
    assert tracks.settle({track.number: 2_400}) == [cut("item_1", 100)]
    assert not tracks.stop(2)


def test_an_answer_that_comes_before_the_page_has_stopped_the_last_one_is_not_cut() -> None:
    tracks = Tracks()
    old = tracks.receive(("item_1", 0), SECOND)
    assert tracks.stop(1)
    new = tracks.receive(("item_2", 0), SECOND)
    assert tracks.settle({old.number: 2_400}, 1) == [cut("item_1", 100)]
    assert not tracks.receive(("item_2", 0), SECOND).stopped
    assert tracks.settle({old.number: 4_800}, 1) == []  # the page's answer, after it was not waited for any more
    assert tracks.stop(2)
    assert tracks.settle({new.number: 12_000}, 2) == [cut("item_2", 500)]


def test_each_stop_is_settled_by_its_own_answer() -> None:
    tracks = Tracks()
    old = tracks.receive(("item_1", 0), SECOND)
    assert tracks.stop(1)
    new = tracks.receive(("item_2", 0), SECOND)
    assert tracks.stop(2)
    assert not tracks.stop(3)
    assert tracks.settle({old.number: 2_400}, 1) == [cut("item_1", 100)]
    assert tracks.settle({new.number: 240}, 2) == [cut("item_2", 10)]


def test_a_page_that_stops_by_itself_cuts_what_it_had() -> None:
    tracks = Tracks()
    had = tracks.receive(("item_1", 0), SECOND)
    tracks.receive(("item_2", 0), SECOND)  # still on its way to the page
    assert tracks.settle({had.number: 2_400}) == [cut("item_1", 100)]
    assert tracks.stop(1)
    assert tracks.settle({}, 1) == [cut("item_2", 0)]


def test_an_answer_of_which_more_will_come_is_stopped_though_all_so_far_was_heard() -> None:
    tracks = Tracks()
    track = tracks.receive(("item_1", 0), SECOND)
    tracks.heard({track.number: 24_000})
    assert tracks.stop(1)
    assert tracks.receive(("item_1", 0), SECOND).stopped
    assert tracks.settle({}, 1) == [cut("item_1", 1000)]
