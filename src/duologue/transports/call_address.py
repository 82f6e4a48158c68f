"""Where a call over WebRTC is offered. Pure."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from msgspec import Struct


class IceServer(Struct, frozen=True, kw_only=True):
    """A STUN or TURN server, e.g. `stun:stun.example.org:3478` or `turn:turn.example.org?transport=tcp`."""

    url: str
    username: str | None = None
    credential: str | None = None


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
