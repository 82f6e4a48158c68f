from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from duologue.cli import relay
from duologue.cli.main import main


def test_it_says_when_it_is_ready_reloads_and_stops(tmp_path: Path) -> None:
    config = tmp_path / "relay.toml"
    config.write_text(f'[ledger]\npath = "{(tmp_path / "relay.sqlite3").as_posix()}"\n')
    command = [sys.executable, "-m", "duologue.cli.main", "relay", "--port", "0", "--config", str(config)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith("duologue relay: listening on ws://127.0.0.1:")
        process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGHUP)
        if sys.platform != "win32":
            assert any("new settings" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_open_to_others_without_callers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["relay", "--host", "0.0.0.0"]) == 1
    assert "no caller could be let in" in capsys.readouterr().err


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    relay.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_key_may_stand_in_a_file_of_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert relay._setup(options()).upstream_key is None
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-in-a-file\n")
    assert relay._setup(options()).upstream_key == "sk-in-a-file"


def test_options_go_before_the_file_and_mistakes_in_it_have_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relay.toml").write_text("[listen]\nport = 7000\n[upstream]\nmodel = 'a'\n")
    setup = relay._setup(options("--port", "7001", "--upstream", "ws://b"))
    assert setup.settings.listen.port == 7001
    assert setup.address(model=setup.settings.upstream.model) == "ws://b/v1/realtime?model=a"
    (tmp_path / "relay.toml").write_text("[callers]\nsecret_env = 'GONE'\n")
    assert main(["relay"]) == 1
    assert capsys.readouterr().err.startswith("duologue: relay.toml:2: callers.secret_env: the environment variable")


@pytest.mark.parametrize(("arguments", "words"), [
    (("--upstream", "https://x"), "'https://x' is no address"),
    (("--record", "relay.toml/calls"), "calls cannot be recorded in relay.toml/calls"),
    (("--config", "gone.toml"), "gone.toml cannot be read"),
])  # fmt: skip
def test_what_cannot_work_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relay.toml").write_text("[upstream]\nurl = 'ws://127.0.0.1:9'\n")
    assert main(["relay", *arguments]) == 1
    told = capsys.readouterr().err
    assert words in told
    assert len(told.splitlines()) == 1
