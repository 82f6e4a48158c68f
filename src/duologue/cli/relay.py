"""`duologue relay`: lets users talk to a Realtime API without giving them the key, the prompt or the budget."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from duologue.access.origins import is_loopback
from duologue.cli.serving import Address, run_app
from duologue.console.upstream import environment
from duologue.errors import ConfigError, DuologueError
from duologue.inspector.trace import Trace
from duologue.relay.app import app_around
from duologue.relay.commands import Caller
from duologue.relay.server import Relay, call_log
from duologue.relay.settings import Settings, load, located
from duologue.relay.setup import Setup, prepare
from duologue.relay.sockets import upgrader

_log = logging.getLogger("duologue.relay")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings (default: relay.toml, if there is one)")
    parser.add_argument("--upstream", metavar="URL", help="WebSocket address of the Realtime API behind the relay")
    parser.add_argument("--model", metavar="NAME", help="the model that calls get")
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8081)")
    parser.add_argument("--record", metavar="DIR", type=Path, help="record every call, as its caller sees it, in DIR")
    parser.add_argument(
        "--drain-seconds", metavar="N", type=float, default=30.0,
        help="on SIGTERM, how long calls may go on (default: %(default)g)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Relay until asked to stop."""
    setup = _setup(options)
    listen = setup.settings.listen
    if not is_loopback(listen.host) and not _guarded(setup.settings):
        raise ConfigError(
            f"{listen.host} is open to others, and no caller could be let in: "
            "name [callers] tokens, secret_env or jwt in relay.toml, or listen on 127.0.0.1"
        )
    _log_calls()
    _take_files()
    if setup.upstream_key is None and not is_loopback(urlsplit(setup.settings.upstream.url).hostname or ""):
        print(
            f"duologue relay: {setup.settings.upstream.key_env} is not set: {setup.settings.upstream.url} gets no key",
            file=sys.stderr, flush=True,
        )  # fmt: skip

    def record(call_id: str, caller: Caller) -> Trace | None:
        folder = options.record or relay.setup.recordings
        return None if folder is None else _trace(folder, call_id, caller)

    folder = options.record or setup.recordings
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        relay = Relay(setup, recorder=record)
    except OSError as problem:
        raise ConfigError(f"calls cannot be recorded in {folder}: {problem.strerror}: choose another folder") from None
    except ConfigError as problem:
        raise located(problem, _path(options)) from None

    def ready(port: int) -> None:
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        gc.freeze()  # what starting has made stays: it need not be looked through for garbage while calls run
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, relay, options)
        print(f"duologue relay: listening on ws://{host}:{port}/v1/realtime", flush=True)

    async def drain(hurry: bool) -> None:
        grace_s = 0 if hurry else options.drain_seconds
        if relay.calls and grace_s:
            print(f"duologue relay: {relay.calls} calls have {grace_s:g} s to end", file=sys.stderr, flush=True)
        await relay.drain(grace_s)

    app = app_around(relay, websockets=False)
    address = Address(host=listen.host, port=listen.port)
    return run_app(app, address, ready, drain, ws=upgrader(relay.gate, lambda: relay.most_bytes))


def _path(options: argparse.Namespace) -> Path:
    path: Path = options.config or Path("relay.toml")
    return path


def _setup(options: argparse.Namespace) -> Setup:
    path = _path(options)
    try:
        return _prepared(options, load(path) if options.config or path.exists() else Settings(), path.parent)
    except ConfigError as problem:
        raise located(problem, path) from None


def _prepared(options: argparse.Namespace, settings: Settings, folder: Path) -> Setup:
    changes = {"url": options.upstream, "model": options.model}
    upstream = replace(settings.upstream, **{key: value for key, value in changes.items() if value is not None})
    changes = {"host": options.host, "port": options.port}
    listen = replace(settings.listen, **{key: value for key, value in changes.items() if value is not None})
    known = replace(settings, upstream=upstream, listen=listen)
    return prepare(known, env=environment(Path.cwd()), folder=folder)


def _guarded(settings: Settings) -> bool:
    callers = settings.callers
    return bool(callers.tokens or callers.secret_env or callers.jwt)


def _reload(relay: Relay, options: argparse.Namespace) -> None:
    """SIGHUP: read the settings anew. A mistake in them changes nothing."""
    try:
        relay.reload(_setup(options))
    except DuologueError as problem:
        print(f"duologue relay: nothing changed: {problem}", file=sys.stderr, flush=True)
    else:
        print("duologue relay: new calls begin with the new settings", file=sys.stderr, flush=True)


def _trace(folder: Path, call_id: str, caller: Caller) -> Trace | None:
    about = {"call": call_id, "user": caller.user}
    try:
        return Trace(folder / f"{call_id}.jsonl", about, started_unix_ms=time.time_ns() // 1_000_000)
    except OSError as problem:
        _log.error("call %s is not recorded: %s", call_id, problem)
        return None


def _take_files() -> None:
    """As many open files as the system lets this process have: a call is two, and the usual 1024 are 500 calls."""
    try:
        import resource
    except ImportError:  # Windows knows no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _log_calls() -> None:
    """One line of JSON for each call, on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    call_log.addHandler(handler)
    call_log.setLevel(logging.INFO)
    call_log.propagate = False
