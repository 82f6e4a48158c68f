from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from duologue.cli.main import main


def test_it_says_when_it_is_ready_reloads_and_stops(tmp_path: Path) -> None:
    config = tmp_path / "relay.toml"
    config.write_text(f'[ledger]\npath = "{(tmp_path / "relay.sqlite3").as_posix()}"\n')
    command = [sys.executable, "-m", "duologue.cli.main", "relay", "--port", "0", "--config", str(config)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as relay:
        assert relay.stdout
        assert relay.stderr
        assert relay.stdout.readline().startswith("duologue relay: listening on ws://127.0.0.1:")
        relay.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGHUP)
        if sys.platform != "win32":
            assert any("new settings" in line for line in relay.stderr)
        relay.send_signal(signal.SIGTERM)
        assert relay.wait(20) == 0


def test_open_to_others_without_callers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["relay", "--host", "0.0.0.0"]) == 1
    assert "no caller could be let in" in capsys.readouterr().err
