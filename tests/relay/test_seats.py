"""Calls are counted over all processes of one ledger."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from duologue.errors import ProtocolError
from duologue.relay.seats import DEAD_SECONDS, Seats
from duologue.relay.settings import Limits
from duologue.relay.spend import Ledger

LIMITS = Limits(sessions=3, sessions_per_user=2)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000

    def __call__(self) -> int:
        return self.now_s


def process(folder: Path, name: str, clock: Clock) -> Seats:
    return Seats(Ledger(folder / "relay.sqlite3"), name, clock)


def test_processes_count_together(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        one, two = process(tmp_path, "one", clock), process(tmp_path, "two", clock)
        await one.take("a", "ann", LIMITS)
        await two.take("b", "ann", LIMITS)
        with pytest.raises(ProtocolError, match="No more than 2 calls"):
            await one.take("c", "ann", LIMITS)
        await one.take("d", "bob", LIMITS)
        with pytest.raises(ProtocolError, match="full"):
            await two.take("e", "cat", LIMITS)
        one.leave("a")
        await one.give_back()
        await two.take("c", "ann", LIMITS)
        await one.alive()
        assert one.taken == 3
        one.close()
        await two.alive()
        assert two.taken == 2
        two.close()

    asyncio.run(story())


def test_calls_that_begin_at_once_find_each_others_seats(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        relays = [process(tmp_path, str(number), clock) for number in range(3)]
        wishes = [relays[n % 3].take(f"s{n}", "ann", Limits(sessions_per_user=4)) for n in range(12)]
        told = await asyncio.gather(*wishes, return_exceptions=True)
        assert sum(answer is None for answer in told) == 4
        for each in relays:
            each.close()

    asyncio.run(story())


def test_a_seat_that_was_left_is_free_at_once_in_the_same_process(tmp_path: Path) -> None:
    async def story() -> None:
        seats = process(tmp_path, "one", Clock())
        for _ in range(3):
            await seats.take("a", "ann", Limits(sessions_per_user=1))
            seats.leave("a")
        seats.close()

    asyncio.run(story())


@pytest.mark.parametrize("step_s", [DEAD_SECONDS + 1, -DEAD_SECONDS - 1])
def test_the_calls_of_a_process_that_was_killed_are_soon_forgotten(tmp_path: Path, step_s: int) -> None:
    async def story() -> None:
        clock = Clock()
        killed, two = process(tmp_path, "killed", clock), process(tmp_path, "two", clock)
        await killed.take("a", "ann", LIMITS)
        await killed.take("b", "ann", LIMITS)
        # no sign of life any more; a clock that was set back ages them alike
        clock.now_s += step_s
        await two.take("c", "ann", LIMITS)
        # only asleep: its calls count again
        await killed.alive()
        assert killed.taken == 3
        clock.now_s += 100_000
        late = process(tmp_path, "late", clock)
        with sqlite3.connect(tmp_path / "relay.sqlite3") as base:
            assert base.execute("SELECT COUNT(*) FROM seats").fetchone() == (0,)
        for each in (killed, two, late):
            each.close()

    asyncio.run(story())


def test_a_seat_that_cannot_be_given_back_now_is_given_back_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duologue.relay.spend.BUSY_SECONDS", 0.05)

    async def story() -> None:
        seats = process(tmp_path, "one", Clock())
        await seats.take("a", "ann", LIMITS)
        other = sqlite3.connect(tmp_path / "relay.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        seats.leave("a")
        await seats.give_back()
        other.execute("ROLLBACK")
        other.close()
        await seats.alive()
        assert seats.taken == 0
        seats.close()
        seats.leave("a")
        await seats.give_back()

    asyncio.run(story())
