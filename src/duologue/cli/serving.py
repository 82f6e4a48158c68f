"""Runs an ASGI app as a command: one line when ready, one line when the port is taken, a clean stop on Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from msgspec import Struct

from duologue.errors import ConfigError, DuologueError
from duologue.server.limits import MAX_FRAME_BYTES


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
    try:
        listener.bind((address.host, address.port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {address.host}:{address.port} ({error.strerror}): choose another --port"
        ) from None
    return listener


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

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
                loop.add_signal_handler(number, self.handle_exit, number, None)
        except NotImplementedError:  # Windows has no signal handlers on the loop
            for number in caught:
                signal.signal(number, self.handle_exit)
        yield


def run_app(app: Any, address: Address, ready: Callable[[int], None]) -> int:
    """Serve `app` until it is asked to stop; `ready` gets the port. Returns the exit code."""
    try:
        listener = bind(address)
    except ConfigError as error:
        print(f"duologue: {error}", file=sys.stderr)
        return 2
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        lifespan="on",
        log_level="warning",
        timeout_graceful_shutdown=3,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
    )
    port = int(listener.getsockname()[1])
    server = _Server(config, lambda: ready(port))
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
