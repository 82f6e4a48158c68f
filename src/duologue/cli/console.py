"""`duologue console`: the console in the browser, with a server of its own inside."""

from __future__ import annotations

import argparse
import getpass
import os
import secrets
import sys
import threading
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from duologue.access.origins import Gate, is_loopback
from duologue.cli.engines import add_engine_arguments, make_engines
from duologue.cli.serving import Address, free_port, run_app
from duologue.console.app import create_app
from duologue.console.call import Call
from duologue.console.config import CallConfig
from duologue.console.embedded import Embedded
from duologue.console.hub import Hub
from duologue.console.tools import WEATHER_URL
from duologue.console.upstream import environment, parse_upstream, write_key
from duologue.errors import ConfigError
from duologue.server.runner import RealtimeServer

KEY_NAME = "OPENAI_API_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=3000, help="port of the page (default: %(default)s)")
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate for https; needed beyond this machine")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key")
    parser.add_argument(
        "--upstream",
        metavar="WHO",
        help="who answers: embedded (the default), openai, or an address; also DUOLOGUE_UPSTREAM, here or in .env",
    )
    parser.add_argument("--model", default="", help="the model to ask for")
    parser.add_argument(
        "--sessions", metavar="DIR", type=Path, help="where session files go (default: your state folder)"
    )
    parser.add_argument("--weather-url", metavar="URL", help=f"weather service of get_weather (default: {WEATHER_URL})")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    add_engine_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Serve the page until asked to stop."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigError("--tls-cert and --tls-key belong together")
    if not is_loopback(options.host) and not options.tls_cert:
        raise ConfigError(
            f"--host {options.host} is open to others, and browsers give no microphone to plain http there: "
            "add --tls-cert and --tls-key"
        )
    settings = environment(Path.cwd())
    wanted = options.upstream if options.upstream is not None else settings.get("DUOLOGUE_UPSTREAM", "")
    upstream = parse_upstream(wanted, model=options.model)
    keys = {KEY_NAME: settings.get(KEY_NAME, "")}
    if upstream.kind == "openai" and not keys[KEY_NAME]:
        keys[KEY_NAME] = ask_for_key(Path.cwd() / ".env")
    # The page's address is part of its protection: a port that the system chooses must be known before.
    port = options.port or free_port(options.host)
    gate = Gate(bind=options.host, port=port, secret=secrets.token_urlsafe(24), tls=bool(options.tls_cert))
    hub = Hub()
    config = CallConfig(
        upstream=upstream,
        sessions=options.sessions or default_sessions(os.environ),
        weather_url=options.weather_url or settings.get("DUOLOGUE_WEATHER_URL") or WEATHER_URL,
        key=lambda: keys[KEY_NAME] or environment(Path.cwd()).get(KEY_NAME) or None,
    )
    call = Call(config, hub, Embedded(RealtimeServer(make_engines(options))))

    def ready(port: int) -> None:
        url = start_address(gate)
        print(f"duologue console: open {url}", flush=True)
        if not options.no_browser and has_display():
            # Some browsers keep their caller for seconds, in which the page could not be served.
            threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()

    address = Address(host=options.host, port=port, certificate=options.tls_cert, key=options.tls_key)
    return run_app(create_app(call, hub, gate), address, ready)


def start_address(gate: Gate) -> str:
    """What to type into the browser; beyond loopback with the token that lets it in."""
    if is_loopback(gate.bind):
        return f"{gate.scheme}://localhost:{gate.port}"
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(gate.bind, gate.bind)
    return f"{gate.scheme}://{f'[{host}]' if ':' in host else host}:{gate.port}/?token={gate.secret}"


def ask_for_key(path: Path) -> str:
    """The OpenAI key from the terminal, unseen; offers to keep it in `.env`. Raises ConfigError without a terminal."""
    missing = f"--upstream openai needs a key: set {KEY_NAME} in the environment or in {path}"
    if not sys.stdin.isatty():
        raise ConfigError(missing)
    try:
        key = getpass.getpass("OpenAI API key (not shown): ").strip()
        if not key:
            raise ConfigError(missing)
        if input(f"Keep it in {path}, readable only by you? [y/N] ").strip().lower() in ("y", "yes"):
            write_key(path, key)
    except EOFError:
        raise ConfigError(missing) from None
    return key


def default_sessions(environ: Mapping[str, str]) -> Path:
    """The user's state folder, by the customs of the system."""
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home()) / "Duologue" / "sessions"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Duologue" / "sessions"
    return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "duologue" / "sessions"


def has_display() -> bool:
    """True where a browser window can open."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
