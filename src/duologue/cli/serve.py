"""`duologue serve`: the Realtime server on this machine."""

from __future__ import annotations

import argparse

from duologue.access.origins import is_loopback
from duologue.cli.engines import add_engine_arguments, make_engines
from duologue.cli.serving import Address, run_app
from duologue.errors import ConfigError
from duologue.server.http import create_app
from duologue.server.runner import RealtimeServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    add_engine_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until asked to stop."""
    if not is_loopback(options.host):
        raise ConfigError(f"--host {options.host} is open to others, and this server checks no keys yet: use 127.0.0.1")
    app = create_app(RealtimeServer(make_engines(options)))

    def ready(port: int) -> None:
        print(f"duologue serve: listening on ws://{options.host}:{port}/v1/realtime", flush=True)

    return run_app(app, Address(host=options.host, port=options.port), ready)
