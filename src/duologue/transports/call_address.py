"""Where a call over WebRTC is offered, and who helps its two sides to find each other. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from duologue.errors import ConfigError

TURN_ACCOUNT = "DUOLOGUE_TURN_ACCOUNT"
_ICE_SERVER = re.compile(r"(stun|turns?):[^?:/@\s]+(:[0-9]{1,5})?(\?transport=(udp|tcp))?")


class IceServer(Struct, frozen=True, kw_only=True):
    """A STUN or TURN server, e.g. `stun:stun.example.org:3478` or `turn:turn.example.org?transport=tcp`."""

    url: str
    username: str | None = None
    credential: str | None = None


def ice_servers(urls: Iterable[str], environ: Mapping[str, str]) -> tuple[IceServer, ...]:
    """Servers by their addresses, one of a kind, because no more are used; TURN has its account from the environment.

    Raises ConfigError.
    """
    # The last colon: short-lived names are `expiry:user`, and their passwords are base64.
    user, _, password = environ.get(TURN_ACCOUNT, "").rpartition(":")
    servers: dict[str, IceServer] = {}
    for url in urls:
        found = _ICE_SERVER.fullmatch(url)
        if found is None:
            raise ConfigError(
                f"{url!r} is no ICE server: write stun:HOST:PORT, turn:HOST:PORT or turns:HOST:PORT?transport=tcp"
            )
        kind = "TURN" if found[1].startswith("turn") else "STUN"
        if kind in servers:
            raise ConfigError(f"{url} is a second {kind} server beside {servers[kind].url}, and one is used")
        if kind == "STUN":
            servers[kind] = IceServer(url=url)
        elif user and password:
            servers[kind] = IceServer(url=url, username=user, credential=password)
        else:
            raise ConfigError(f"{url} needs an account: {TURN_ACCOUNT}=user:password in the environment")
    return tuple(servers.values())


def calls_url(url: str) -> tuple[str, str]:
    """Where to offer a call for an address of any kind, and the model that the address names, or nothing."""
    parts = urlsplit(url.strip())
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    path = path if path.endswith("/calls") else f"{path}/calls"
    query = parse_qs(parts.query)
    model = query.pop("model", [""])[0]
    return urlunsplit((scheme, parts.netloc, path, urlencode(query, doseq=True), "")), model


def call_id_of(location: str) -> str | None:
    """The id of a call by the `Location` that its answer came with."""
    try:
        place = urlsplit(location).path
    except ValueError:
        place = location
    return place.rstrip("/").rpartition("/")[2] or None


def hangup_url(calls: str, call_id: str) -> str:
    """Where to end a call that was offered at `calls`."""
    parts = urlsplit(calls)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path}/{call_id}/hangup", parts.query, ""))
