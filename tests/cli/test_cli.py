"""The commands as a user runs them: real processes (duologue.cli.main, duologue.cli.serve, duologue.cli.serving,
duologue.cli.engines, duologue.cli.console)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.client import connect

from duologue import __version__
from duologue.cli import engines
from duologue.cli.main import COMMANDS

COMMAND = [sys.executable, "-m", "duologue.cli.main"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, env=env, check=False)


@contextmanager
def serve(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`duologue serve` on a free port; gives the process and the address that it printed."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("duologue serve: listening on ws://127.0.0.1:"), line
        yield process, line.split()[-1]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


def test_version_and_help() -> None:
    assert run("--version").stdout.strip() == f"duologue {__version__}"
    out = run("--help")
    assert out.returncode == 0
    assert all(name in out.stdout for name in COMMANDS)


def test_an_unknown_command_is_said_in_words() -> None:
    out = run("sing")
    assert out.returncode == 2
    assert "sing" in out.stderr
    assert "Traceback" not in out.stderr


def test_every_engine_option_is_offered() -> None:
    out = run("serve", "--help")
    assert all(f"--{kind}-url" in out.stdout for kind in ("llm", "stt", "tts")), engines.__name__


def test_an_address_without_a_model_is_asked_for_one() -> None:
    out = run("serve", "--llm-url", "http://127.0.0.1:1/v1")
    assert out.returncode == 1
    assert out.stderr.strip().startswith("duologue: --llm-url needs --llm-model")


def test_serve_does_not_listen_to_strangers() -> None:
    out = run("serve", "--host", "0.0.0.0")
    assert out.returncode != 0
    assert "127.0.0.1" in out.stderr
    assert "Traceback" not in out.stderr


def test_a_busy_port_is_one_line_that_names_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        out = run("serve", "--port", str(taken.getsockname()[1]))
    assert out.returncode == 2
    assert "--port" in out.stderr
    assert len(out.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_and_stops_cleanly_in_mid_session(number: signal.Signals) -> None:
    with serve() as (process, url):
        with urllib.request.urlopen(
            url.replace("ws:", "http:").replace("/v1/realtime", "/health"), timeout=10
        ) as health:
            assert health.status == 200
        with connect(f"{url}?model=x") as caller:
            assert json.loads(caller.recv(10))["type"] == "session.created"
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err + out
