"""`duologue talk` as a user runs it (duologue.cli.talk, duologue.cli.talking): files, the keyboard, a stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from duologue.audio.pcm16 import rms
from duologue.audio.wav import parse_wav

pytest.importorskip("starlette")

CLIPS = Path(__file__).parent.parent / "clips"
COMMAND = [sys.executable, "-m", "duologue.cli.main", "talk"]


def talk(*arguments: str, typed: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OPENAI_API_KEY": "", **environment}
    return subprocess.run(
        [*COMMAND, *arguments], input=typed, capture_output=True, text=True, timeout=60, env=env, check=False
    )


def test_a_file_is_answered_into_a_file_and_recorded_with_both_sides(tmp_path: Path) -> None:
    answer, both = tmp_path / "answer.wav", tmp_path / "both.wav"
    ran = talk("--input", str(CLIPS / "seven_times_eight.wav"), "--output", str(answer), "--record", str(both))
    assert ran.returncode == 0, ran
    lines = {line[:6].strip(): line[7:] for line in ran.stdout.splitlines()}
    assert lines["you"] == "what is seven times eight"
    assert "56" in lines["it"]
    assert " s · " in lines["it"], "latency and tokens are told"
    heard = parse_wav(answer.read_bytes())
    assert rms(heard.data) > 0.005
    stereo = parse_wav(both.read_bytes())
    assert stereo.spec.channels == 2
    assert stereo.duration_ms > 3_000


def test_without_a_microphone_it_still_talks_with_who_types() -> None:
    ran = talk("--say", "hello", typed="What is six times seven?\n")
    assert ran.returncode == 0, ran
    assert "you    hello" in ran.stdout
    assert "42" in ran.stdout
    assert "no input device" in ran.stdout or "microphone" in ran.stdout


def test_pushed_to_talk_a_file_is_one_turn() -> None:
    ran = talk("--input", str(CLIPS / "seven_times_eight.wav"), "--push-to-talk")
    assert ran.returncode == 0, ran
    assert "you    what is seven times eight" in ran.stdout
    assert "note   1 answer ·" in ran.stdout


def test_in_a_terminal_lines_are_answered_and_ctrl_d_ends_it() -> None:
    pty = pytest.importorskip("pty")
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(OPENAI_API_KEY="", TERM="xterm")
        os.execv(sys.executable, COMMAND)
    seen = b""
    while b"Ctrl-C ends" not in seen:
        seen += os.read(terminal, 4096)
    os.write(terminal, b"What is six times seven?\n")
    while b" tokens" not in seen:
        seen += os.read(terminal, 4096)
    os.write(terminal, b"\x04")
    try:
        while piece := os.read(terminal, 4096):
            seen += piece
    except OSError:
        pass  # Linux: the other end is closed
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, seen
    assert b"42" in seen
    assert b"1 answer " in seen


def test_ctrl_c_ends_it_with_a_sum_and_leaves_nothing_behind() -> None:
    process = subprocess.Popen(
        [*COMMAND, "--say", "hello"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("it "):
            break
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out.splitlines()[-1].startswith("note   1 answer ·")
    assert errors == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--upstream", "openai"], "OPENAI_API_KEY is not set"),
        (["--upstream", "ws://127.0.0.1:9"], "nothing listens there"),
        (["--input", "/no/such.wav"], "--input /no/such.wav cannot be used"),
        (["--input", str(CLIPS / "stop.wav"), "--record", "/no/such/both.wav"], "/no/such/both.wav cannot be written"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], says: str) -> None:
    ran = talk(*arguments, typed="")
    assert ran.returncode == 1, ran
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
