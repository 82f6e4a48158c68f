"""The ledger: what each user has spent on a day (UTC), in SQLite. It outlives the relay and is shared by its processes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from duologue.errors import ConfigError

BUSY_SECONDS = 10.0
"""How long one process waits while another one writes."""
KEPT_DAYS = 40
T = TypeVar("T")
_TABLE = (
    "CREATE TABLE IF NOT EXISTS spending (day TEXT, user TEXT, tokens INTEGER NOT NULL, usd REAL NOT NULL, "
    "PRIMARY KEY (day, user)) WITHOUT ROWID"
)
_ADD = (
    "INSERT INTO spending VALUES (?, ?, ?, ?) "
    "ON CONFLICT (day, user) DO UPDATE SET tokens = tokens + excluded.tokens, usd = usd + excluded.usd"
)


class Spending(Struct, frozen=True):
    """Tokens and dollars."""

    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Spending) -> Spending:
        return Spending(self.tokens + other.tokens, self.usd + other.usd)


def today() -> str:
    """The day that spending counts for."""
    return datetime.now(UTC).date().isoformat()


class Ledger:
    """One thread of its own reads and writes; the event loop never waits for the disk.

    What `add` was told counts at once, also before it is written.
    """

    def __init__(self, path: Path, day: Callable[[], str] = today) -> None:
        """Raises ConfigError where there can be no such file."""
        self._day = day
        self._waiting: dict[tuple[str, str], Spending] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="relay-ledger")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)  # who calls and what they spend is the relay's own business
            self._base = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.execute(_TABLE)
        except (OSError, sqlite3.Error) as problem:
            self._thread.shutdown()
            raise ConfigError(f"ledger.path: {path} cannot be used: {problem}") from None

    def prepare(self, job: Callable[[sqlite3.Connection], object]) -> None:
        """Do something in the same file before anything else is asked for. Raises ConfigError."""
        try:
            job(self._base)
        except sqlite3.Error as problem:
            self.close()
            raise ConfigError(f"ledger.path: the ledger cannot be used: {problem}") from None

    def add(self, user: str, spending: Spending) -> None:
        """The user has spent that; `flush` writes it."""
        key = (self._day(), user)
        self._waiting[key] = self._waiting.get(key, Spending()) + spending

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do something else in the same file, after all that was asked for before. Raises sqlite3.Error, or what it raises.

        Cancelled, it may still be done.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, job, self._base)

    async def today(self, user: str) -> Spending:
        """What the user has spent today, in all processes. Raises sqlite3.Error."""
        day = self._day()
        return await self.run(lambda _: self._read(day, user)) + self._waiting.get((day, user), Spending())

    async def flush(self) -> None:
        """Write what waits. Raises sqlite3.Error; then nothing of it is lost, it waits on."""
        if not self._waiting:
            return
        writing, self._waiting = self._waiting, {}
        try:
            await self.run(lambda _: self._write(writing))
        except sqlite3.Error:
            for key, spending in writing.items():
                self._waiting[key] = self._waiting.get(key, Spending()) + spending
            raise

    def close(self, last: Callable[[sqlite3.Connection], object] = lambda _: None) -> None:
        """Write what waits, do one last thing, and end."""
        waiting, self._waiting = self._waiting, {}
        self._thread.submit(self._end, waiting, last).result()
        self._thread.shutdown()

    def _read(self, day: str, user: str) -> Spending:
        row = self._base.execute("SELECT tokens, usd FROM spending WHERE day = ? AND user = ?", (day, user)).fetchone()
        return Spending(*row) if row else Spending()

    def _write(self, waiting: dict[tuple[str, str], Spending]) -> None:
        rows = [(day, user, spent.tokens, spent.usd) for (day, user), spent in waiting.items()]
        with written(self._base) as cursor:
            cursor.executemany(_ADD, rows)
            cursor.execute(f"DELETE FROM spending WHERE day < date(?, '-{KEPT_DAYS} days')", (rows[0][0],))

    def _end(self, waiting: dict[tuple[str, str], Spending], last: Callable[[sqlite3.Connection], object]) -> None:
        try:
            if waiting:
                self._write(waiting)
            last(self._base)
        finally:
            self._base.close()


@contextmanager
def written(base: sqlite3.Connection) -> Iterator[sqlite3.Cursor]:
    """A transaction that nobody else writes in: all of it, or nothing where something is raised inside."""
    with closing(base.cursor()) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
            cursor.execute("COMMIT")
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
