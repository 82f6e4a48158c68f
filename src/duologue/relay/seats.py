"""How many calls run, in all processes of one ledger: a seat for each call, as rows of the ledger's file.

A seat counts while the process that took it gives signs of life: one that was killed keeps nobody out for long. The cost
is one short transaction where a call begins and one where it ends, and a row that is written again every few seconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from duologue.clock import unix_s
from duologue.errors import ProtocolError
from duologue.relay.settings import Limits
from duologue.relay.spend import Ledger, written

DEAD_SECONDS = 15
"""A process without a sign of life for so long has no calls any more. The relay gives one every two seconds."""
FORGOTTEN_SECONDS = 86_400
_TABLES = (
    "CREATE TABLE IF NOT EXISTS relays (relay TEXT PRIMARY KEY, seen_s INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS seats (seat TEXT PRIMARY KEY, relay TEXT NOT NULL, user TEXT NOT NULL) WITHOUT ROWID",
)
_SEEN = "INSERT OR REPLACE INTO relays VALUES (?, ?)"
# Clocks are set back and forth: a sign of life from the future is none for ever.
_TAKEN = (
    "SELECT COUNT(*), COALESCE(SUM(user = ?), 0) FROM seats WHERE relay IN (SELECT relay FROM relays "
    f"WHERE seen_s BETWEEN ? - {DEAD_SECONDS} AND ? + {DEAD_SECONDS})"
)


class Seats:
    """The seats of one process, `relay` its name, among those of all."""

    def __init__(self, ledger: Ledger, relay: str, now_s: Callable[[], int] = unix_s) -> None:
        """Raises ConfigError where the ledger cannot hold them."""
        self.taken = 0
        """Seats taken in all processes, as of the last `alive`."""
        self._ledger = ledger
        self._relay = relay
        self._now_s = now_s
        self._left: set[str] = set()
        self._closed = False
        ledger.prepare(self._begin)

    async def take(self, seat: str, user: str, limits: Limits) -> None:
        """One more call of this user. Raises ProtocolError where that is too many, and sqlite3.Error."""
        await self.give_back()
        now_s = self._now_s()

        def job(base: sqlite3.Connection) -> None:
            with written(base) as cursor:
                cursor.execute(_SEEN, (self._relay, now_s))
                calls, of_user = cursor.execute(_TAKEN, (user, now_s, now_s)).fetchone()
                check_room(limits, calls, of_user)
                cursor.execute("INSERT INTO seats VALUES (?, ?, ?)", (seat, self._relay, user))

        await self._ledger.run(job)

    def leave(self, seat: str) -> None:
        """The call is over: the next `take` of this process finds the seat free, the others with the next `give_back`."""
        self._left.add(seat)

    async def give_back(self) -> None:
        """Write which seats are free again. What cannot be written now is written the next time."""
        leaving, self._left = self._left, set()
        if not leaving or self._closed:
            return

        def job(base: sqlite3.Connection) -> None:
            with written(base) as cursor:
                cursor.executemany("DELETE FROM seats WHERE seat = ?", [(seat,) for seat in leaving])

        try:
            await self._ledger.run(job)
        except sqlite3.Error:
            self._left |= leaving

    async def alive(self) -> None:
        """A sign of life of this process. Raises sqlite3.Error."""
        await self.give_back()
        now_s = self._now_s()

        def job(base: sqlite3.Connection) -> int:
            base.execute(_SEEN, (self._relay, now_s))
            calls: int = base.execute(_TAKEN, ("", now_s, now_s)).fetchone()[0]
            return calls

        self.taken = await self._ledger.run(job)

    def close(self) -> None:
        """Give all back, and close the ledger."""
        self._closed = True
        self._ledger.close(self._end)

    def _begin(self, base: sqlite3.Connection) -> None:
        now_s = self._now_s()
        for table in _TABLES:
            base.execute(table)
        with written(base) as cursor:
            cursor.execute("DELETE FROM relays WHERE abs(seen_s - ?) > ?", (now_s, FORGOTTEN_SECONDS))
            cursor.execute(_SEEN, (self._relay, now_s))
            cursor.execute("DELETE FROM seats WHERE relay NOT IN (SELECT relay FROM relays)")

    def _end(self, base: sqlite3.Connection) -> None:
        with written(base) as cursor:
            cursor.execute("DELETE FROM seats WHERE relay = ?", (self._relay,))
            cursor.execute("DELETE FROM relays WHERE relay = ?", (self._relay,))


def check_room(limits: Limits, calls: int, of_user: int) -> None:
    """Raises ProtocolError where so many calls, and so many of the user, leave no room for one more."""
    if calls >= limits.sessions:
        raise ProtocolError("The relay is full.", type="server_error", code="session_limit_reached")
    if of_user >= limits.sessions_per_user:
        message = f"No more than {limits.sessions_per_user} calls at a time are open to one user."
        raise ProtocolError(message, type="server_error", code="session_limit_reached")
