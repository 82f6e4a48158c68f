"""The commands as a user runs them: real processes (duologue.cli.main, duologue.cli.serve, duologue.cli.serving,
duologue.cli.engines, duologue.cli.console)."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from duologue import __version__
from duologue.cli import engines
from duologue.cli import serve as serve_command
from duologue.cli.main import COMMANDS
from duologue.errors import ConfigError
from duologue.server.http import create_app
from duologue.server.reach import Reach
from duologue.server.runner import RealtimeServer

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
    assert "--api-key" in out.stderr
    assert "Traceback" not in out.stderr


def test_a_busy_port_is_one_line_that_names_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        out = run("serve", "--port", str(taken.getsockname()[1]))
    assert out.returncode == 2
    assert "--port" in out.stderr
    assert len(out.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_and_stops_cleanly_in_mid_session(number: signal.Signals) -> None:
    with serve("--drain-seconds", "0.1") as (process, url):
        with urllib.request.urlopen(
            url.replace("ws:", "http:").replace("/v1/realtime", "/health"), timeout=10
        ) as health:
            assert health.status == 200
        with connect(f"{url}?model=x") as caller:
            assert json.loads(caller.recv(10))["type"] == "session.created"
            process.send_signal(number)
            with pytest.raises(ConnectionClosed) as closed:
                caller.recv(20)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err + out
    (line,) = [json.loads(text) for text in err.splitlines() if text.startswith("{")]
    assert (line["event"], line["model"], line["dialect"]) == ("session", "x", "ga")
    assert line["ended"] == "server: 1001 the server is shutting down"


def test_a_session_that_runs_is_let_end_while_nobody_new_comes_in() -> None:
    with serve("--drain-seconds", "30") as (process, url):
        with connect(f"{url}?model=x") as caller:
            assert json.loads(caller.recv(10))["type"] == "session.created"
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            assert process.stderr.readline() == "duologue serve: 1 sessions have 30 s to end\n"
            with connect(f"{url}?model=x") as late:
                assert json.loads(late.recv(10))["error"]["code"] == "server_shutting_down"
            caller.send('{"type":"input_audio_buffer.clear"}')
            assert json.loads(caller.recv(10))["type"] == "input_audio_buffer.cleared"
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_wait(second: signal.Signals) -> None:
    with serve("--drain-seconds", "600") as (process, url), connect(f"{url}?model=x") as caller:
        assert json.loads(caller.recv(10))["type"] == "session.created"
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "600 s" in process.stderr.readline()
        process.send_signal(second)
        with pytest.raises(ConnectionClosed):
            caller.recv(20)
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_keys_from_the_command_line_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUOLOGUE_API_KEYS", "sk-two, sk-three")
    with serve("--host", "127.0.0.1", "--api-key", "sk-one", "--model", "a", "--session-minutes", "1") as (_, url):
        for key in ("sk-one", "sk-two", "sk-three"):
            with connect(f"{url}?model=a", additional_headers={"Authorization": f"Bearer {key}"}) as caller:
                session = json.loads(caller.recv(10))["session"]
                assert 50 <= session["expires_at"] - time.time() <= 61
        with connect(f"{url}?model=a") as stranger:
            assert json.loads(stranger.recv(10))["error"]["type"] == "invalid_request_error"


def test_a_long_client_secret_travels_in_a_header() -> None:
    text = random.Random(0).randbytes(7000).hex()
    with serve() as (_, url):
        body = json.dumps({"session": {"type": "realtime", "model": "x", "instructions": text}}).encode()
        where = url.replace("ws:", "http:") + "/client_secrets"
        with urllib.request.urlopen(urllib.request.Request(where, body, method="POST"), timeout=10) as answer:
            key = json.load(answer)["value"]
        assert len(key) > 8192, "longer than what the library takes by itself"
        for options in (
            {"additional_headers": {"Authorization": f"Bearer {key}"}},
            {"subprotocols": ["realtime", f"openai-insecure-api-key.{key}"]},
        ):
            with connect(url, **options) as caller:
                assert json.loads(caller.recv(10))["session"]["instructions"] == text


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--tls-cert", "x.pem"), "--tls-key"),
        (("--api-key", " "), "--api-key"),
        (("--max-sessions", "0"), "at least 1"),
        (("--session-minutes", "0"), "more than 0"),
        (("--drain-seconds", "-1"), "0 to 3600"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(arguments: tuple[str, ...], hint: str) -> None:
    out = run("serve", *arguments)
    assert out.returncode != 0
    assert hint in out.stderr
    assert "Traceback" not in out.stderr


def test_a_short_signing_key_is_refused() -> None:
    out = run("serve", DUOLOGUE_SIGNING_KEY="short")
    assert out.returncode == 1
    assert "DUOLOGUE_SIGNING_KEY" in out.stderr


def test_who_holds_a_key_may_be_a_stranger() -> None:
    parser = argparse.ArgumentParser()
    serve_command.add_arguments(parser)

    def reach(*arguments: str) -> Reach:
        options = parser.parse_args(arguments)
        return serve_command.make_reach(options, serve_command.make_door(options, {}))

    assert reach() == Reach(anywhere=True)
    assert reach("--api-key", "k", "--mcp-server", "http://10.0.0.5/t") == Reach(
        anywhere=False, prefixes=("http://10.0.0.5/t",)
    )
    with pytest.raises(ConfigError, match="--mcp-server docs"):
        reach("--mcp-server", "docs")


def test_another_judge_of_turns_is_chosen_by_path() -> None:
    parser = argparse.ArgumentParser()
    engines.add_engine_arguments(parser)
    assert engines.make_engines(parser.parse_args([])).eot.name == "rules"
    chosen = parser.parse_args(["--end-of-turn", "duologue.engines.end_of_turn:RuleEndOfTurn"])
    assert engines.make_engines(chosen).eot.name == "rules"
    with pytest.raises(ConfigError, match="unknown eot engine 'smart'"):
        engines.make_engines(parser.parse_args(["--end-of-turn", "smart"]))


def test_the_page_about_the_server_names_every_option_and_address() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "server.md").read_text()
    parser = argparse.ArgumentParser()
    serve_command.add_arguments(parser)
    engine_options = argparse.ArgumentParser()
    engines.add_engine_arguments(engine_options)
    shown_by_help = {action.dest for action in engine_options._actions}
    for action in parser._actions:
        if action.dest not in shown_by_help and action.dest != "port":
            assert action.option_strings[0] in text, action.dest
    door = serve_command.make_door(parser.parse_args([]), {})
    app = create_app(RealtimeServer(engines.make_engines(parser.parse_args([]))), door)
    for route in app.routes:
        path = getattr(route, "path", "")
        assert path.removesuffix("/client_secrets") in text, path


@pytest.mark.parametrize("secret", ["", "whsec_!"])
def test_calls_are_not_announced_without_a_secret_to_sign_them(secret: str) -> None:
    out = run("serve", "--port", "0", "--sip-webhook", "http://127.0.0.1:9/hook", DUOLOGUE_WEBHOOK_SECRET=secret)
    assert out.returncode == 1
    assert "DUOLOGUE_WEBHOOK_SECRET" in out.stderr
