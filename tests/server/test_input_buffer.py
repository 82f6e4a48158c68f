"""Every byte of the user's sound is accounted for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.server.input_buffer import BYTES_PER_MS, InputBuffer

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 9000)),
        st.tuples(st.just("commit"), st.integers(0, 300)),
        st.tuples(st.just("keep"), st.integers(0, 50)),
        st.tuples(st.just("clear"), st.just(0)),
    )
)


@given(ACTIONS)
def test_appended_is_committed_plus_cleared_plus_buffered(actions: list[tuple[str, int]]) -> None:
    buffer = InputBuffer()
    for action, number in actions:
        match action:
            case "append":
                buffer.append(bytes(number))
            case "commit":
                buffer.commit(buffer.start_ms + number // 3, buffer.start_ms + number)
            case "keep":
                buffer.keep_last(number, buffer.end_ms)
            case _:
                buffer.clear()
        ledger = buffer.ledger()
        assert ledger.appended_bytes == ledger.committed_bytes + ledger.cleared_bytes + ledger.buffered_bytes
        assert min(ledger.committed_bytes, ledger.cleared_bytes, ledger.buffered_bytes) >= 0


def test_a_commit_takes_what_was_spoken_and_leaves_what_came_after() -> None:
    buffer = InputBuffer()
    buffer.append(b"a" * BYTES_PER_MS * 10 + b"b" * BYTES_PER_MS * 20 + b"c" * BYTES_PER_MS * 5)
    assert buffer.commit(10, 30) == b"b" * BYTES_PER_MS * 20
    assert (buffer.start_ms, buffer.end_ms) == (30, 35)
    assert buffer.slice(0) == b"c" * BYTES_PER_MS * 5


def test_old_silence_is_let_go() -> None:
    buffer = InputBuffer()
    for _ in range(1000):
        buffer.append(bytes(BYTES_PER_MS * 20))
        buffer.keep_last(300, buffer.end_ms)
        assert buffer.held_ms <= 600
    assert buffer.end_ms == 20_000


def test_sound_after_the_position_stays() -> None:
    buffer = InputBuffer()
    buffer.append(bytes(BYTES_PER_MS * 20_000))
    buffer.keep_last(300, 500)
    assert buffer.start_ms == 0
    buffer.keep_last(300, 1_000)
    assert (buffer.start_ms, buffer.end_ms) == (700, 20_000)
