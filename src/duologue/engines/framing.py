"""Frames on the pipe between an engine and its worker process, and the worker's side of the pipe.

A frame is 9 bytes of head, little-endian (u32 length of the body, u32 number of the call, u8 kind), then the body.
"""

from __future__ import annotations

import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO

from msgspec import Struct

HEAD = struct.Struct("<IIB")

OPEN = 1
"""To the worker: begin a call; the body says what is wanted."""
DATA = 2
"""Either way: sound, or part of the answer."""
END = 3
"""Either way: nothing more comes in this call."""
ABORT = 4
"""To the worker: forget the call."""
FAILED = 5
"""From the worker: the call failed; the body is the reason in words. The worker lives on."""
READY = 6
"""From the worker, call 0: it has loaded what it needs."""
ASK = 7
"""To the worker: what has been understood so far? Answered with DATA."""
EXPECT = 8
"""To the worker, call 0: calls with that body may follow."""
NARROW = 9
"""To the worker: the call's sound came over a telephone line."""

_INBOX_FRAMES = 1_024


class Frame(Struct, frozen=True):
    """One frame as it travels."""

    call: int
    kind: int
    body: bytes = b""


def pack(frame: Frame) -> bytes:
    return HEAD.pack(len(frame.body), frame.call, frame.kind) + frame.body


class Inbox:
    """The worker's standard input and output as frames.

    A thread reads, so that an ABORT is seen while the worker computes; it holds at most 1,024 unread frames and then
    lets the pipe fill. When the parent closes the pipe, or dies, the process ends at once: no orphan stays.
    """

    def __init__(self) -> None:
        # Ctrl-C in the terminal goes to the whole group of processes; the parent decides what ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._input, self._output = _take_standard_streams()
        self._frames: queue.Queue[Frame] = queue.Queue(_INBOX_FRAMES)
        self._aborted: set[int] = set()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def next(self, *, wait: bool = True) -> Frame | None:
        """The next frame; None if there is none and `wait` is false."""
        try:
            frame = self._frames.get(block=wait)
        except queue.Empty:
            return None
        if frame.kind == ABORT:
            self._aborted.discard(frame.call)
        return frame

    def aborted(self, call: int) -> bool:
        """Whether the parent has given the call up, even if its ABORT is still waiting in line."""
        return call in self._aborted

    def send(self, call: int, kind: int, body: bytes = b"") -> None:
        self._output.write(pack(Frame(call, kind, body)))
        self._output.flush()

    def guard(self, call: int, work: Callable[[], None]) -> None:
        """Do `work`; what it raises fails this call only."""
        try:
            work()
        except BrokenPipeError:
            os._exit(0)
        except Exception as error:
            self.send(call, FAILED, f"{type(error).__name__}: {error}".encode())

    def _read(self) -> None:
        while len(head := self._input.read(HEAD.size)) == HEAD.size:
            size, call, kind = HEAD.unpack(head)
            body = self._input.read(size)
            if kind == ABORT:
                self._aborted.add(call)
            self._frames.put(Frame(call, kind, body))
        os._exit(0)


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipe to the parent; whatever a library prints goes to standard error instead."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return incoming, outgoing
