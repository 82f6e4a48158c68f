"""A worker process: an engine that would block the event loop, or must stay apart, runs in a child over pipes.

The child is started by `start()` and again by the first call after it has died. Its death is noticed when its output
ends, and every call in progress then raises EngineError(code="engine_crashed", retryable=True).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator

from duologue.engines.framing import ABORT, END, FAILED, HEAD, OPEN, READY, Frame, pack
from duologue.errors import EngineError

_START_SECONDS = 30
_CLOSE_SECONDS = 1
_LINGER_SECONDS = 0.5
_MAX_UNSENT_BYTES = 8 * 1024 * 1024
_MAX_ANSWERS = 4_096
_PIECE_BYTES = 65_536
_KEPT_BYTES = 2_000
_ENDED = "its process ended in the middle of the work"
_AGAIN = "It is started again by itself: try once more."


class Call:
    """One piece of work of a worker: `send`, then iterate over the answers. Whoever leaves early calls `abort`."""

    def __init__(self, worker: Worker, number: int) -> None:
        self._worker = worker
        self.number = number
        self.answers: asyncio.Queue[Frame | EngineError] = asyncio.Queue(_MAX_ANSWERS)
        self.over = False

    def send(self, kind: int, body: bytes = b"") -> None:
        """Never blocks; fails the call where the worker takes nothing any more (8 MiB unsent)."""
        if not self.over:
            self._worker.write(self, kind, body)

    def fail(self, error: EngineError) -> None:
        self.over = True
        while self.answers.full():
            self.answers.get_nowait()
        self.answers.put_nowait(error)

    async def data(self) -> AsyncGenerator[bytes, None]:
        """Bodies of the answers until the end. Raises EngineError; cancelling or closing it aborts the call."""
        try:
            while True:
                answer = await self.answers.get()
                if isinstance(answer, EngineError):
                    raise answer
                if answer.kind == FAILED:
                    raise EngineError(self._worker.name, answer.body.decode(errors="replace"), code="engine_failed")
                if answer.kind == END:
                    return
                yield answer.body
        finally:
            self.abort()

    def abort(self) -> None:
        """Tell the worker to stop; a call that is over stays as it is."""
        if not self.over:
            self.over = True
            self._worker.forget(self)


class Worker:
    """A child process running `python -m module`. One event loop owns it.

    `start` and `call` raise EngineError where the child does not come up, with the last line that it printed.
    """

    def __init__(self, name: str, module: str, *args: str) -> None:
        self.name = name
        self._command = (sys.executable, "-m", module, *args)
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._complaints: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._calls: dict[int, Call] = {}
        self._last_number = 0
        self._last_words = ""
        self._ready = False
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._process.pid if self._process and self._alive() else None

    @property
    def load(self) -> int:
        """Calls in progress."""
        return len(self._calls)

    async def start(self) -> None:
        """Have a child that is ready, after `close` too. Raises EngineError."""
        self._closed = False
        await self._have_child()

    async def _have_child(self) -> None:
        async with self._starting:
            if self._closed:
                raise EngineError(self.name, "the engine is closed", code="engine_closed")
            if not self._alive():
                await self._reap()
                await self._spawn()

    async def call(self, body: bytes) -> Call:
        """Begin a piece of work. Raises EngineError."""
        await self._have_child()
        call = self.begin(body)
        if call is None:
            raise EngineError(self.name, f"{_ENDED}.", code="engine_crashed", remedy=_AGAIN, retryable=True)
        return call

    def begin(self, body: bytes) -> Call | None:
        """Begin a piece of work without waiting; None while the child is not there."""
        if not self._ready or not self._alive():
            return None
        self._last_number = self._last_number % 0xFFFFFFFF + 1
        call = Call(self, self._last_number)
        self._calls[call.number] = call
        call.send(OPEN, body)
        return call

    def tell(self, kind: int, body: bytes) -> None:
        """Say something that belongs to no call and has no answer; nobody hears it while the child is not there."""
        if self._ready and self._process and self._process.stdin and self._alive():
            self._process.stdin.write(pack(Frame(0, kind, body)))

    async def close(self) -> None:
        """End the child: kindly at first, for certain after a second. Calls in progress raise EngineError."""
        self._closed = True
        async with self._starting:
            await self._reap()

    def write(self, call: Call, kind: int, body: bytes) -> None:
        pipe = self._process.stdin if self._process else None
        if pipe is None or not self._alive():
            return  # The reader is about to fail the call.
        if pipe.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self._calls.pop(call.number, None)
            call.fail(EngineError(self.name, "the worker cannot keep up", code="engine_overloaded", retryable=True))
            return
        pipe.write(pack(Frame(call.number, kind, body)))

    def forget(self, call: Call) -> None:
        if self._calls.pop(call.number, None) is not None:
            self.write(call, ABORT, b"")

    def _alive(self) -> bool:
        return bool(self._reader and not self._reader.done() and self._process and self._process.returncode is None)

    async def _spawn(self) -> None:
        self._last_words = ""
        self._ready = False
        # A session of its own keeps the terminal's Ctrl-C from the child: the parent decides what ends.
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._complaints = asyncio.create_task(self._listen(self._process), name=f"{self.name}-complaints")
        self._reader = asyncio.create_task(self._read(self._process, ready), name=f"{self.name}-reader")
        try:
            async with asyncio.timeout(_START_SECONDS):
                await ready
            self._ready = True
        except TimeoutError:
            await self._reap()
            raise EngineError(self.name, f"the worker was not ready in {_START_SECONDS} s", retryable=True) from None
        except BaseException:
            await self._reap()
            raise

    async def _read(self, process: Process, ready: asyncio.Future[None]) -> None:
        assert process.stdout
        try:
            while True:
                size, number, kind = HEAD.unpack(await process.stdout.readexactly(HEAD.size))
                body = await process.stdout.readexactly(size)
                if kind == READY and not ready.done():
                    ready.set_result(None)
                elif kind == FAILED and number == 0 and not ready.done():
                    ready.set_exception(EngineError(self.name, body.decode(errors="replace"), code="engine_missing"))
                else:
                    self._deliver(Frame(number, kind, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            await self._tell_all(await _ended(process), ready)

    def _deliver(self, frame: Frame) -> None:
        call = self._calls.get(frame.call)
        if call is None:
            return  # Aborted meanwhile.
        if frame.kind in (END, FAILED):
            call.over = True
            del self._calls[frame.call]
        if call.answers.full():
            self.forget(call)
            call.fail(EngineError(self.name, "nobody takes the answers", code="engine_overloaded"))
            return
        call.answers.put_nowait(frame)

    async def _tell_all(self, status: int, ready: asyncio.Future[None]) -> None:
        if self._complaints:
            await asyncio.wait([self._complaints], timeout=0.2)
        words = f": {self._last_words}" if self._last_words else ""
        reason = "the engine was closed." if self._closed else f"{_ENDED} ({_how(status)}{words})."
        remedy = "" if self._closed else _AGAIN
        error = EngineError(self.name, reason, code="engine_crashed", remedy=remedy, retryable=not self._closed)
        if not ready.done():
            ready.set_exception(error)
        calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            call.fail(error)

    async def _listen(self, process: Process) -> None:
        """Keep the last line that the child complained with."""
        assert process.stderr
        rest = b""
        # In pieces, not lines: a line of any length must not end the reading, or the child would block on a full pipe.
        while piece := await process.stderr.read(_PIECE_BYTES):
            *lines, rest = (rest + piece).split(b"\n")
            rest = rest[:_KEPT_BYTES]
            for line in (*lines, rest):
                self._last_words = line.decode(errors="replace").strip()[:300] or self._last_words

    async def _reap(self) -> None:
        """End the child if there is one, and the tasks around it."""
        process, reader, complaints = self._process, self._reader, self._complaints
        if process is None or reader is None or complaints is None:
            return
        if process.stdin and not process.stdin.is_closing():
            process.stdin.close()
        done, _ = await asyncio.wait([reader], timeout=_CLOSE_SECONDS)
        if not done:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.wait([reader])
        complaints.cancel()
        await asyncio.wait([complaints])
        self._process = self._reader = self._complaints = None


async def _ended(process: Process) -> int:
    """The exit status of a child that talks no more; it is killed where it lingers."""
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            # Not killed at once: Popen looks for the status before it sends a signal, and so takes it from asyncio, which
            # then reports 255 for any end, with a warning.
            return await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return await process.wait()


def _how(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
