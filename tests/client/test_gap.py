from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.client.gap import GapBuffer


@given(st.lists(st.binary(min_size=1, max_size=20)), st.integers(0, 60))
def test_the_newest_sound_is_kept_and_nothing_is_unaccounted_for(pieces: list[bytes], limit: int) -> None:
    gap = GapBuffer(limit)
    for piece in pieces:
        gap.put(piece)
    kept = b""
    while piece := gap.take():
        kept += piece
    whole = b"".join(pieces)
    assert whole.endswith(kept)
    assert len(kept) + gap.dropped_bytes == len(whole)
    assert len(kept) <= limit
    assert gap.held_bytes == 0


def test_what_is_put_back_comes_first_and_goes_first() -> None:
    gap = GapBuffer(6)
    gap.put(b"def")
    gap.put_back(b"Xabc")
    assert gap.take() + gap.take() == b"abcdef"
    assert gap.dropped_bytes == 1
    gap.put(b"x")
    gap.clear()
    assert gap.take() == b""
