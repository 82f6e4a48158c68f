from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from duologue.audio.pcm16 import pack
from duologue.audio.track import JITTER_MS, PATIENCE_MS, StereoTrack, interleave

ONE_MS = 24


def lanes(stereo: bytes) -> tuple[list[int], list[int]]:
    values = array("h", stereo)
    return values[0::2].tolist(), values[1::2].tolist()


def test_each_side_stands_where_it_was_heard() -> None:
    track = StereoTrack(1_000)
    out = track.user(pack([1] * ONE_MS * 300), 1_000)
    out += track.assistant(pack([2] * ONE_MS * 100), 1_150)
    out += track.finish()
    left, right = lanes(out)
    assert left == [1] * ONE_MS * 300
    assert right == [0] * ONE_MS * 150 + [2] * ONE_MS * 100 + [0] * ONE_MS * 50
    assert track.duration_ms == 300


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400), st.integers(0, JITTER_MS)), max_size=40))
def test_any_order_of_chunks(story: list[tuple[bool, int, int]]) -> None:
    """Memory is bounded, no sample of either side is lost, and none comes earlier than it was heard."""
    track = StereoTrack(0)
    out, now_ms, given_samples = b"", 0, [0, 0]
    for is_user, pause_ms, jitter_ms in story:
        now_ms += pause_ms
        pcm = pack([1] * ONE_MS * 20)
        given_samples[0 if is_user else 1] += ONE_MS * 20
        out += (track.user if is_user else track.assistant)(pcm, now_ms + jitter_ms)
        waiting = max(len(track._left), len(track._right))
        assert waiting <= 2 * ONE_MS * PATIENCE_MS
        now_ms += 20
    left, right = lanes(out + track.finish())
    assert [sum(left), sum(right)] == given_samples
    assert len(left) == len(right)


def test_jitter_makes_no_gap() -> None:
    track = StereoTrack(0)
    out = b""
    for index, late_ms in enumerate((0, 30, 5, 60, 0)):
        out += track.user(pack([7] * ONE_MS * 20), index * 20 + late_ms)
    left, _ = lanes(out + track.finish())
    assert left == [7] * ONE_MS * 100


def test_interleave() -> None:
    assert interleave(b"aabb", b"ccdd") == b"aaccbbdd"
