from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.audio.pcm16 import pack
from duologue.audio.playout import DEFAULT_TRACK, REMEMBERED, Playout

STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(["a", "b", "c", DEFAULT_TRACK]), st.integers(0, 50)),
    st.tuples(st.just("pull"), st.just(""), st.integers(1, 60)),
    st.tuples(st.just("cut"), st.just(""), st.just(0)),
)


@given(st.lists(STEPS, max_size=60), st.integers(0, 40))
def test_what_leaves_is_what_is_counted(story: list[tuple[str, str, int]], lead: int) -> None:
    playout = Playout(lead_samples=lead)
    left = 0
    dead: set[str] = set()
    for step, track, size in story:
        if step == "add":
            assert playout.add(pack([1] * size), track) == (track not in dead)
        elif step == "pull":
            left += len(playout.pull(size)) // 2
        else:
            cut = playout.cut()
            dead |= {count.track_id for count in cut} - {DEFAULT_TRACK}
            assert all(count.offset < count.received for count in cut)
            assert playout.waiting == 0
            dead |= {name for name in "abc" if playout._tracks.get(name) and playout._tracks[name].cut}
    counts = [playout.count(track) for track in ("a", "b", "c", DEFAULT_TRACK)]
    assert sum(count.offset for count in counts) == left
    assert all(count.offset <= count.received for count in counts)


def test_tracks_are_played_in_turn_and_cut_in_turn() -> None:
    playout = Playout()
    playout.add(pack([1] * 10), "first")
    playout.add(pack([2] * 10), "second")
    assert playout.pull(15) == pack([1] * 10 + [2] * 5)
    playout.add(pack([3] * 10), "third")
    assert [(cut.track_id, cut.offset, cut.received) for cut in playout.cut()] == [("second", 5, 10), ("third", 0, 10)]
    assert playout.count("first").offset == 10
    assert not playout.add(pack([2]), "second")
    assert not playout.add(pack([3]), "third")


def test_a_track_that_waits_for_more_is_cut_too() -> None:
    playout = Playout()
    playout.add(pack([1] * 10), "item")
    assert len(playout.pull(20)) == 20
    assert playout.cut() == []
    assert not playout.add(pack([1]), "item"), "its late sound must not be played"


def test_the_lead_never_holds_up_an_end() -> None:
    playout = Playout(lead_samples=100)
    playout.add(pack([1] * 10), "short")
    assert [len(playout.pull(50)) for _ in range(4)] == [0, 0, 20, 0]


def test_bounds() -> None:
    playout = Playout(limit_samples=10)
    assert playout.add(bytes(20), "a")
    assert not playout.add(bytes(2), "a")
    with pytest.raises(ValueError, match="even number"):
        playout.add(b"\0", "a")
    for index in range(3 * REMEMBERED):
        playout.pull(10)
        playout.add(bytes(2), f"track {index}")
    assert len(playout._tracks) <= REMEMBERED + 1
