"""Runs an ASGI app as a command: one line when ready, one line when the port is taken, a clean stop on Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from msgspec import Struct
from websockets import http11

from duologue.errors import ConfigError, DuologueError
from duologue.server.limits import MAX_FRAME_BYTES

HEADER_LINE_BYTES = 32 * 1024
"""A client secret is one header line, and carries a session's settings: `websockets` would stop at 8 KiB."""

UNSENT_BYTES = 16 * 1024
"""What the system may take of a connection before it can be sent. It would take megabytes: a minute of speech, which a
client on a slow line would have to hear out before it hears that it was understood to interrupt."""


STALLED_SECONDS = 2.0
"""How long a peer that does not read keeps a stop waiting; what still runs as long again is cancelled."""


class Address(Struct, frozen=True, kw_only=True):
    """Where to listen; with `certificate` and `key` (paths of PEM files) over TLS."""

    host: str
    port: int
    certificate: str | None = None
    key: str | None = None


def bind(address: Address) -> socket.socket:
    """A listening socket. Raises ConfigError that names the option to change."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    try:
        listener.bind((address.host, address.port))
        listener.listen(1024)
    except OverflowError:
        listener.close()
        raise ConfigError(f"--port {address.port} is no port: use 1 to 65535") from None
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {address.host}:{address.port} ({error.strerror}): choose another --port"
        ) from None
    return listener


def free_port(host: str) -> int:
    """A port that nobody listens on. Raises ConfigError where the host is not of this machine."""
    with bind(Address(host=host, port=0)) as listener:
        return int(listener.getsockname()[1])


def load(config: uvicorn.Config) -> None:
    """Read what the configuration names. Raises ConfigError for a certificate or key that cannot be used."""
    try:
        config.load()
    except OSError as error:  # what `ssl` raises is one too
        raise ConfigError(f"--tls-cert and --tls-key cannot be used: {error}") from None


Drain = Callable[[bool], Awaitable[None]]
"""Ends what runs: at leisure, or at once where its argument (hurry) is True."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], drain: Drain | None) -> None:
        super().__init__(config)
        self._ready = ready
        self._drain = drain
        self._drains: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say so."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM and return: a wanted stop is no failure."""
        loop = asyncio.get_running_loop()
        caught = (signal.SIGINT, signal.SIGTERM)
        try:
            for number in caught:
                loop.add_signal_handler(number, self._stop, number)
        except NotImplementedError:  # Windows has no signal handlers on the loop
            for number in caught:
                signal.signal(number, lambda number, _: loop.call_soon_threadsafe(self._stop, number))
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what is left. A page that was put to sleep reads no goodbye: its connection is cut, and that is no error."""
        loop = asyncio.get_running_loop()
        timers = (
            loop.call_later(STALLED_SECONDS, self._cut_connections),
            loop.call_later(2 * STALLED_SECONDS, self._cancel_requests),
        )
        try:
            await super().shutdown(sockets)
        finally:
            for timer in timers:
                timer.cancel()

    def _cut_connections(self) -> None:
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()

    def _cancel_requests(self) -> None:
        for task in tuple(self.server_state.tasks):
            task.cancel()

    def _stop(self, number: int) -> None:
        """SIGTERM drains; SIGINT, or a second signal of any kind, does not wait."""
        hurry = number == signal.SIGINT or bool(self._drains)
        self._drains.append(asyncio.get_running_loop().create_task(self._end(hurry), name=f"stop-{number}"))

    async def _end(self, hurry: bool) -> None:
        try:
            if self._drain:
                await self._drain(hurry)
        finally:
            self.should_exit = True


class _OneLine(logging.Filter):
    """What keeps the app from starting is said in words: the traceback of an error of ours helps nobody.

    Nor does that of a request that a stop has cancelled.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
            return False
        last = record.getMessage().strip().rpartition("\n")[2]
        if last.startswith("duologue.errors."):
            record.msg, record.args = last.partition(": ")[2], ()
        return True


def run_app(
    app: Any,
    address: Address,
    ready: Callable[[int], None],
    drain: Drain | None = None,
    *,
    ws: Any = "websockets-sansio",
) -> int:
    """Serve `app` until it is asked to stop; `ready` gets the port. Returns the exit code.

    `drain` is awaited before the connections are closed; until then the app still answers. `ws`: what WebSockets are
    handed to, as in uvicorn's settings.
    """
    http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, HEADER_LINE_BYTES)
    config = uvicorn.Config(
        app,
        ws=ws,
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=2 * HEADER_LINE_BYTES,
        lifespan="on",
        log_level="warning",
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
    )
    try:
        load(config)
        listener = bind(address)
    except ConfigError as error:
        print(f"duologue: {error}", file=sys.stderr)
        return 2
    port = int(listener.getsockname()[1])
    logging.getLogger("uvicorn.error").addFilter(_OneLine())
    server = _Server(config, lambda: ready(port), drain)
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve(sockets=[listener]))
    except KeyboardInterrupt:
        pass
    except DuologueError as error:
        print(f"duologue: {error}", file=sys.stderr)
        return 1
    finally:
        listener.close()
    return 0 if server.started else 1
