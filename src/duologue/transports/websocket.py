"""Realtime events over a WebSocket, client side."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.typing import Subprotocol

from duologue.errors import ConnectFailed, MissingExtra, TransportClosed
from duologue.transports.base import EventTransport

_log = logging.getLogger("duologue.websocket")
# On its debug level `websockets` writes down the headers, and with them the key; `duologue.wire` shows what may be seen.
_log.setLevel(logging.INFO)
_PING_S = 20
_PROXIES = ("ws", "wss", "socks", "https", "http")
_BODY_SHOWN = 2000


class _Connect(open_websocket):
    """Follows no redirect: it would carry the key, or a header like `api-key`, to another host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class WebSocketTransport:
    """An open WebSocket as an EventTransport. It is made by `connect`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._closed: TransportClosed | None = None

    @property
    def closed(self) -> TransportClosed | None:
        return self._closed

    async def send(self, frame: bytes) -> None:
        try:
            await self._socket.send(frame, text=True)
        except ConnectionClosed as end:
            raise self._ended(end).again() from None

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        while True:
            try:
                # Bytes as they came from the wire: decoding to str would copy every audio frame once more.
                frame = await self._socket.recv(decode=False)
            except ConnectionClosed as end:
                self._ended(end)
                return
            yield frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed is None:
            self._closed = TransportClosed(code, reason, by="us")
        # A close frame carries at most 123 bytes of reason (RFC 6455, 5.5.1).
        await self._socket.close(code, reason.encode()[:123].decode(errors="ignore"))

    def _ended(self, end: ConnectionClosed) -> TransportClosed:
        if self._closed is None:
            received = end.rcvd
            by = "us" if end.rcvd_then_sent is False else "peer"
            self._closed = TransportClosed(
                received.code if received else 1006, received.reason if received else "", by=by
            )
        return self._closed


async def connect(
    url: str,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    proxy: str | None = None,
    timeout_s: float = 10.0,
) -> EventTransport:
    """Open a WebSocket to a Realtime endpoint; `http(s)` addresses are taken as `ws(s)`.

    Where `picows` is installed and no proxy is in the way, it carries the frames: half the cost of each.

    The key travels as `Authorization: Bearer` and is kept nowhere. `proxy` is the address of one, or "" for none; by default
    the environment names it, and this machine is reached without. Raises ConnectFailed with the HTTP status and body
    where the server refused. Cancelling it closes what was half open.
    """
    address = websocket_url(url)
    sent = dict(headers or {})
    if api_key:
        sent["Authorization"] = f"Bearer {api_key}"
    shown = address.partition("?")[0]
    try:
        return await _open(address, sent, subprotocols, proxy, timeout_s)
    except InvalidStatus as refusal:
        status = refusal.response.status_code
        body = bytes(refusal.response.body or b"")[:_BODY_SHOWN].decode(errors="replace")
        retryable = status in (408, 425, 429) or status >= 500
        raise ConnectFailed(
            shown, "the server refused the connection", status=status, body=body, retryable=retryable
        ) from None
    except (InvalidURI, ValueError) as problem:
        raise ConnectFailed(shown, f"the address is not usable: {problem}") from None
    except TimeoutError:
        raise ConnectFailed(shown, f"no answer within {timeout_s:g} s", retryable=True) from None
    except InvalidProxyStatus as refusal:
        status = refusal.response.status_code
        raise ConnectFailed(shown, "the proxy refused the connection", status=status, retryable=status >= 500) from None
    except ProxyError as problem:
        raise ConnectFailed(shown, f"the proxy cannot be used: {problem}", retryable=True) from None
    except InvalidProxy as problem:
        # Without the address, in which a password may stand.
        raise ConnectFailed(shown, f"the proxy cannot be used: {problem.msg}") from None
    except ImportError:
        remedy = "Run: pip install 'python-socks[asyncio]'"
        raise ConnectFailed(shown, f"a SOCKS proxy needs one package more. {remedy}") from None
    except InvalidMessage as problem:
        if not isinstance(problem.__cause__, EOFError | OSError):
            raise ConnectFailed(shown, f"the server does not speak WebSocket properly: {problem}") from None
        reason = "the server closed the connection before it answered: it may be starting or stopping"
        raise ConnectFailed(shown, reason, retryable=True) from None
    except InvalidHandshake as problem:
        raise ConnectFailed(shown, f"the server does not speak WebSocket properly: {problem}") from None
    except (OSError, EOFError, asyncio.IncompleteReadError) as problem:
        raise ConnectFailed(shown, _in_words(problem), retryable=True) from None


async def _open(
    address: str, headers: Mapping[str, str], subprotocols: Sequence[str], proxy: str | None, timeout_s: float
) -> EventTransport:
    """Raises the exceptions of `websockets`, OSError, TimeoutError."""
    through: str | Literal[True] | None = proxy or None if proxy is not None or _is_loopback(address) else True
    if not through or (through is True and not any(kind in getproxies() for kind in _PROXIES)):
        # Optional, and imported when it is needed.
        with suppress(MissingExtra):
            from duologue.transports.fast_websocket import open_fast

            return await open_fast(address, headers=headers, subprotocols=subprotocols, timeout_s=timeout_s, log=_log)
    socket = await _Connect(
        address,
        additional_headers=headers,
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        proxy=through,
        compression=None,
        max_size=None,
        open_timeout=timeout_s,
        ping_interval=_PING_S,
        ping_timeout=_PING_S,
        close_timeout=2,
        logger=_log,
    )
    return WebSocketTransport(socket)


def websocket_url(url: str) -> str:
    """The address with `http` turned into `ws` and `https` into `wss`; anything else is left as it is."""
    scheme, colon, rest = url.strip().partition(":")
    return f"{ {'http': 'ws', 'https': 'wss'}.get(scheme.lower(), scheme) }{colon}{rest}"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_words(problem: Exception) -> str:
    if isinstance(problem, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    return f"{type(problem).__name__}: {problem}"
