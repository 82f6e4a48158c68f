"""`duologue console` as a user runs it: real processes."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from duologue.access.origins import Gate
from duologue.cli import console, serving
from duologue.errors import ConfigError

COMMAND = [sys.executable, "-m", "duologue.cli.main", "console", "--no-browser"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_says_one_line_serves_the_page_and_stops_cleanly(tmp_path: Path, stop: signal.Signals) -> None:
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port), "--sessions", str(tmp_path)],
        cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"duologue console: open http://localhost:{port}\n"
        with urllib.request.urlopen(f"http://localhost:{port}/", timeout=10) as page:
            assert b"Duologue" in page.read()
        process.send_signal(stop)
        rest, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, rest, errors) == (0, "", "")


def test_a_busy_port_is_one_line_that_names_the_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        out = run(tmp_path, "--port", str(taken.getsockname()[1]))
    assert out.returncode != 0
    assert len(out.stderr.splitlines()) == 1
    assert "--port" in out.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "--tls-cert and --tls-key"),
        (("--tls-cert", "x.pem"), "--tls-cert and --tls-key belong together"),
        (("--upstream", "openai"), "OPENAI_API_KEY"),
        (("--upstream", "ws://[x"), "is no address"),
        (("--upstream", "nonsense"), "'nonsense' is no address"),
    ],
)
def test_what_cannot_work_is_one_line_with_the_remedy(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    out = run(tmp_path, "--port", str(free_port()), *arguments)
    assert out.returncode == 1
    assert words in out.stderr
    assert len(out.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "99999"), "--port 99999"),
        (("--port", "0", "--tls-cert", "none.pem", "--tls-key", "none.pem"), "--tls-cert and --tls-key"),
    ],
)
def test_what_cannot_be_listened_on_is_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    out = run(tmp_path, *arguments)
    assert out.returncode == 2
    assert words in out.stderr
    assert len(out.stderr.splitlines()) == 1


def test_the_start_address_holds_the_token_only_beyond_loopback() -> None:
    assert console.start_address(Gate(bind="127.0.0.1", port=3000, secret="s")) == "http://localhost:3000"
    wide = Gate(bind="0.0.0.0", port=3000, secret="s", tls=True)
    assert console.start_address(wide) == "https://localhost:3000/?token=s"
    assert console.start_address(Gate(bind="::2", port=1, secret="s", tls=True)) == "https://[::2]:1/?token=s"


def test_sessions_are_kept_where_the_system_keeps_state() -> None:
    if sys.platform.startswith("linux"):
        assert console.default_sessions({"XDG_STATE_HOME": "/state"}) == Path("/state/duologue/sessions")


def test_a_key_can_be_typed_unseen_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", argparse.Namespace(isatty=lambda: True))
    monkeypatch.setattr("getpass.getpass", lambda prompt: "sk-typed")
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    assert console.ask_for_key(tmp_path / ".env") == "sk-typed"
    assert (tmp_path / ".env").read_text() == "OPENAI_API_KEY=sk-typed\n"
    monkeypatch.setattr("getpass.getpass", lambda prompt: "")
    with pytest.raises(ConfigError):
        console.ask_for_key(tmp_path / ".env")


def test_a_port_that_the_system_chooses_is_one_to_listen_on() -> None:
    port = serving.free_port("127.0.0.1")
    with serving.bind(serving.Address(host="127.0.0.1", port=port)) as listener:
        assert listener.getsockname()[1] == port > 0


@pytest.mark.parametrize("port", [99_999, -1])
def test_a_port_that_is_none_names_the_option(port: int) -> None:
    with pytest.raises(ConfigError, match=f"--port {port}"):
        serving.bind(serving.Address(host="127.0.0.1", port=port))


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system cannot be told")
def test_little_waits_in_the_system_for_a_client_on_a_slow_line() -> None:
    with socket.socket() as client, serving.bind(serving.Address(host="127.0.0.1", port=0)) as listener:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024)
        client.connect(listener.getsockname())
        ours, _ = listener.accept()
        with ours:
            ours.setblocking(False)
            taken = 0
            with suppress(BlockingIOError):
                while taken < 8 * 1024 * 1024:
                    taken += ours.send(bytes(16 * 1024))
            assert taken < 256 * 1024


STALLING = """
import asyncio
from duologue.cli.serving import Address, run_app

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while True:
            await send({"type": "websocket.send", "bytes": bytes(65536)})
    else:
        await asyncio.Event().wait()

raise SystemExit(run_app(app, Address(host="127.0.0.1", port=0), lambda port: print(port, flush=True)))
"""


def test_a_page_that_is_asleep_and_a_request_that_never_ends_do_not_spoil_the_stop() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STALLING], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with (
            socket.create_connection(("127.0.0.1", port)) as page,
            socket.create_connection(("127.0.0.1", port)) as ask,
        ):
            page.sendall(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            assert page.recv(12) == b"HTTP/1.1 101"
            ask.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, rest, errors) == (0, "", "")
