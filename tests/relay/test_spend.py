from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from duologue.errors import ConfigError
from duologue.relay.spend import Ledger, Spending


def test_a_restart_forgets_nothing_and_processes_add_up(tmp_path: Path) -> None:
    async def story() -> None:
        one, two = (Ledger(tmp_path / "l.sqlite3", lambda: "2026-11-21") for _ in range(2))
        one.add("ann", Spending(10, 0.5))
        assert await one.today("ann") == Spending(10, 0.5)
        await one.flush()
        two.add("ann", Spending(1, 0.25))
        assert await two.today("ann") == Spending(11, 0.75)
        one.close()
        two.close()
        again = Ledger(tmp_path / "l.sqlite3", lambda: "2026-11-21")
        assert await again.today("ann") == Spending(11, 0.75)
        assert await again.today("bob") == Spending()
        again.close()
        later = Ledger(tmp_path / "l.sqlite3", lambda: "2026-11-22")
        assert await later.today("ann") == Spending()
        later.close()

    asyncio.run(story())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_nobody_else_on_the_machine_reads_the_ledger(tmp_path: Path) -> None:
    async def story() -> None:
        ledger = Ledger(tmp_path / "l.sqlite3")
        ledger.add("ann", Spending(1, 0.5))
        await ledger.flush()
        assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
        assert len(list(tmp_path.iterdir())) == 3
        ledger.close()

    asyncio.run(story())


def test_a_ledger_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ledger"):
        Ledger(tmp_path)
