"""`duologue serve`: the Realtime server on this machine."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping

from duologue.access.origins import is_loopback
from duologue.access.webhooks import sign
from duologue.cli.engines import add_engine_arguments, make_engines
from duologue.cli.serving import Address, run_app
from duologue.errors import ConfigError
from duologue.server.admission import Door
from duologue.server.http import SIGNING_KEY_BYTES, create_app
from duologue.server.limits import Limits
from duologue.server.metrics import Metrics, session_log
from duologue.server.reach import Reach, is_prefix
from duologue.server.runner import RealtimeServer
from duologue.server.sip import Webhook
from duologue.transports.call_address import TURN_ACCOUNT, ice_servers

KEYS = "DUOLOGUE_API_KEYS"
SIGNING_KEY = "DUOLOGUE_SIGNING_KEY"
SHORTEST_SIGNING_KEY = 16
WEBHOOK_SECRET = "DUOLOGUE_WEBHOOK_SECRET"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate for https and wss")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key")
    access = parser.add_argument_group("access", "without keys, any key or none does, and only on this machine")
    access.add_argument(
        "--api-key", metavar="KEY", action="append", default=[], help=f"a key that opens; repeatable (also: {KEYS})"
    )
    access.add_argument(
        "--model", metavar="NAME", action="append", default=[], help="a model that may be asked for; repeatable"
    )
    access.add_argument(
        "--mcp-server",
        metavar="URL",
        action="append",
        default=[],
        help="with keys: sessions may connect remote MCP tools whose address begins so, beside public https; repeatable",
    )
    access.add_argument(
        "--sip-webhook",
        metavar="URL",
        help=f"play the provider of telephone calls, and announce them there (secret: {WEBHOOK_SECRET})",
    )
    parser.add_argument(
        "--ice-server",
        metavar="URL",
        action="append",
        default=[],
        help=f"for WebRTC callers from outside: stun:HOST:PORT, turn:HOST:PORT ({TURN_ACCOUNT}=user:password); repeatable",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-sessions", metavar="N", type=_count, default=100, help="sessions at a time (default: %(default)s)"
    )
    limits.add_argument(
        "--session-minutes", metavar="N", type=_minutes, default=60.0, help="length of a session (default: 60)"
    )
    limits.add_argument(
        "--drain-seconds",
        metavar="N",
        type=_seconds,
        default=8.0,
        help="on SIGTERM, how long sessions may go on (default: %(default)g)",
    )
    parser.add_argument("--log-speech", action="store_true", help="log what is said, too")
    add_engine_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until asked to stop."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigError("--tls-cert and --tls-key belong together")
    door = make_door(options, os.environ)
    if not door.api_keys and not is_loopback(options.host):
        raise ConfigError(
            f"--host {options.host} is open to others, and this server checks no keys: "
            f"add --api-key (or {KEYS} in the environment), or use 127.0.0.1"
        )
    reach = make_reach(options, door)
    seconds = round(options.session_minutes * 60)
    limits = Limits(max_sessions=options.max_sessions, session_seconds=seconds, reach=reach)
    server = RealtimeServer(make_engines(options), limits=limits, meter=Metrics(log_speech=options.log_speech))
    log_sessions()

    def ready(port: int) -> None:
        scheme = "wss" if options.tls_cert else "ws"
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"duologue serve: listening on {scheme}://{host}:{port}/v1/realtime", flush=True)

    async def drain(hurry: bool) -> None:
        grace_s = 0 if hurry else options.drain_seconds
        if server.sessions and grace_s:
            print(f"duologue serve: {server.sessions} sessions have {grace_s:g} s to end", file=sys.stderr, flush=True)
        await server.drain(grace_s)

    address = Address(host=options.host, port=options.port, certificate=options.tls_cert, key=options.tls_key)
    helpers = ice_servers(options.ice_server, os.environ)
    app = create_app(server, door, sip=make_webhook(options, os.environ), ice_servers=helpers)
    return run_app(app, address, ready, drain)


def make_webhook(options: argparse.Namespace, environ: Mapping[str, str]) -> Webhook | None:
    """Where telephone calls are announced; None where nobody wants them. Raises ConfigError."""
    if not options.sip_webhook:
        return None
    secret = environ.get(WEBHOOK_SECRET, "")
    try:
        sign(b"", secret=secret or "-", webhook_id="", now_s=0)
    except ValueError as problem:
        raise ConfigError(f"{WEBHOOK_SECRET}: {problem}") from None
    if not secret:
        raise ConfigError(
            f"--sip-webhook needs {WEBHOOK_SECRET} in the environment: the secret that announcements are signed with"
        )
    return Webhook(url=options.sip_webhook, secret=secret)


def make_door(options: argparse.Namespace, environ: Mapping[str, str]) -> Door:
    """Whom to let in, by options and environment. Raises ConfigError."""
    keys = (*options.api_key, *environ.get(KEYS, "").replace(",", " ").split())
    if any(not key.strip() or key != key.strip() for key in keys):
        raise ConfigError("--api-key needs a key without spaces around it")
    signing_key = environ.get(SIGNING_KEY, "").encode()
    if signing_key and len(signing_key) < SHORTEST_SIGNING_KEY:
        raise ConfigError(f"{SIGNING_KEY} needs {SHORTEST_SIGNING_KEY} characters at least")
    return Door(
        signing_key=signing_key or os.urandom(SIGNING_KEY_BYTES),
        api_keys=tuple(dict.fromkeys(keys)),
        models=tuple(dict.fromkeys(options.model)),
    )


def make_reach(options: argparse.Namespace, door: Door) -> Reach:
    """Which remote MCP servers sessions may name: any, unless keys are on and callers may be strangers.

    Raises ConfigError.
    """
    wrong = [prefix for prefix in options.mcp_server if not is_prefix(prefix)]
    if wrong:
        raise ConfigError(f"--mcp-server {wrong[0]}: an address is needed, such as https://tools.example/mcp")
    return Reach(anywhere=not door.api_keys, prefixes=tuple(options.mcp_server))


def log_sessions() -> None:
    """One line of JSON a session, on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    session_log.addHandler(handler)
    session_log.setLevel(logging.INFO)
    session_log.propagate = False


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value <= 24 * 60:
        raise argparse.ArgumentTypeError("more than 0, and a day at most")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError("0 to 3600")
    return value
