"""Where this Python runs: a process of an operating system, a browser's page, or a worker at a network's edge."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Literal

from duologue.errors import ConfigError

Runtime = Literal["native", "page", "workers"]
"""`page`: Pyodide in a browser, where whatever the program knows is known to its visitor. `workers`: Python Workers."""

_EPHEMERAL = "ek_"


def runtime() -> Runtime:
    """Where this is. Pyodide anywhere but in Cloudflare's runtime counts as a page."""
    if sys.platform != "emscripten":
        return "native"
    agent = getattr(getattr(javascript(), "navigator", None), "userAgent", "")
    return "workers" if "Cloudflare-Workers" in agent else "page"


def javascript() -> Any:
    """JavaScript's global scope, as Pyodide shows it."""
    return import_module("js")


def foreign() -> Any:
    """Pyodide's bridge: `create_proxy`, `to_js`."""
    return import_module("pyodide.ffi")


def default_transport(where: Runtime | None = None) -> Literal["websocket", "webrtc"]:
    """What a session travels by if nobody says otherwise: WebRTC in a page, a WebSocket elsewhere."""
    return "webrtc" if (where or runtime()) == "page" else "websocket"


def check_key(api_key: str | None, *, dangerously_allow: bool = False, where: Runtime | None = None) -> None:
    """Refuse a lasting key in a page, where every visitor can read it. Raises ConfigError, which does not hold the key."""
    if not api_key or api_key.startswith(_EPHEMERAL) or dangerously_allow or (where or runtime()) != "page":
        return
    raise ConfigError(
        "this api_key would be readable by every visitor of the page: have your server make an ephemeral one (ek_…, from "
        "/v1/realtime/client_secrets), or pass dangerously_allow_api_key_in_browser=True"
    )
