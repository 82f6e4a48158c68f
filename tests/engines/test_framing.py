from __future__ import annotations

import os
import subprocess
import sys

import pytest

from duologue.engines.framing import DATA, END, HEAD, OPEN, READY, Frame, pack

WORKERS = ["duologue.engines.espeak_worker", "duologue.engines.pocketsphinx_worker"]


def frames(stream: bytes) -> list[Frame]:
    found = []
    while stream:
        size, call, kind = HEAD.unpack_from(stream)
        found.append(Frame(call, kind, stream[HEAD.size : HEAD.size + size]))
        stream = stream[HEAD.size + size :]
    return found


def test_a_frame_is_head_and_body() -> None:
    assert pack(Frame(0x0102, DATA, b"abc")) == b"\x03\0\0\0\x02\x01\0\0\x02abc"
    assert frames(pack(Frame(1, OPEN)) + pack(Frame(2, END, b"x"))) == [Frame(1, OPEN), Frame(2, END, b"x")]


@pytest.mark.parametrize("module", WORKERS)
def test_a_worker_says_ready_and_ends_with_its_input(module: str) -> None:
    worker = subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdin
    assert worker.stdout
    with worker.stdout:
        assert HEAD.unpack(worker.stdout.read(HEAD.size)) == (0, 0, READY)
        worker.stdin.close()
        assert worker.wait(10) == 0
        assert worker.stdout.read() == b""


@pytest.mark.parametrize("module", WORKERS)
def test_a_worker_survives_nonsense(module: str) -> None:
    worker = subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdin
    assert worker.stdout
    with worker.stdout, worker.stdin:
        assert HEAD.unpack(worker.stdout.read(HEAD.size)) == (0, 0, READY)
        worker.stdin.write(pack(Frame(5, OPEN, os.urandom(50))) + pack(Frame(9, DATA, b"?")) + pack(Frame(5, 77)))
        worker.stdin.flush()
        size, call, _ = HEAD.unpack(worker.stdout.read(HEAD.size))
        assert call == 5
        assert b"Error" in worker.stdout.read(size)
        assert worker.poll() is None
        worker.stdin.close()
        assert worker.wait(10) == 0
