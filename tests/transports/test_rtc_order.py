"""duologue.transports.rtc_order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from duologue.transports.rtc_order import PATIENCE_PACKETS, Packet, Sequence


def packet(number: int) -> Packet:
    return Packet(timestamp=number * 960, payload=bytes([number & 0xFF]))


def run(sequence: Sequence, numbers: list[int]) -> list[int | None]:
    out: list[int | None] = []
    for number in numbers:
        out += [p and p.timestamp // 960 for p in sequence.add(number & 0xFFFF, packet(number))]
    return out


def test_what_comes_in_order_passes_at_once() -> None:
    sequence = Sequence()
    for number in (65_534, 65_535, 65_536, 65_537):
        assert run(sequence, [number]) == [number]


def test_a_late_packet_finds_its_place() -> None:
    assert run(Sequence(), [1, 3, 4, 2, 5]) == [1, 2, 3, 4, 5]


def test_what_never_comes_is_given_up() -> None:
    sequence = Sequence()
    assert run(sequence, [1, *range(3, 3 + PATIENCE_PACKETS)]) == [1, None, *range(3, 3 + PATIENCE_PACKETS)]
    assert sequence.lost == 1
    assert run(sequence, [2]) == []  # too late


def test_twice_is_once_and_a_new_stream_begins_anew() -> None:
    assert run(Sequence(), [1, 2, 2, 1, 3]) == [1, 2, 3]
    assert run(Sequence(), [1, 2, 30_000, 30_001]) == [1, 2, 30_000, 30_001]


@given(st.data())
def test_nothing_is_lost_that_comes_within_patience(data: st.DataObject) -> None:
    """However packets overtake each other by less than the patience, all come out once and in order."""
    start = data.draw(st.integers(0, 70_000))
    count = data.draw(st.integers(1, 60))
    late = [data.draw(st.integers(0, PATIENCE_PACKETS - 2)) for _ in range(count)]
    late[0] = 0  # the stream begins with whatever comes first
    order = sorted(range(count), key=lambda i: (i + late[i], i))
    assert run(Sequence(), [start + i for i in order]) == [start + i for i in range(count)]


@given(st.lists(st.integers(0, 500), max_size=80))
def test_no_sequence_of_numbers_breaks_it(numbers: list[int]) -> None:
    out = [n for n in run(Sequence(), numbers) if n is not None]
    assert len(out) <= len(numbers)
