"""Opens a WebSocket in the way of the place where this Python runs: a socket, a page's WebSocket, a Worker's `fetch`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from duologue.transports.base import EventTransport
from duologue.transports.runtime import runtime


async def open_websocket(
    url: str,
    *,
    headers: Mapping[str, str],
    subprotocols: Sequence[str] = (),
    proxy: str | None = None,
    timeout_s: float = 10.0,
) -> EventTransport:
    """A WebSocket to a Realtime endpoint; `proxy` matters only where there are sockets. Raises ConnectFailed, ConfigError.

    Cancelling it closes what was half open.
    """
    where = runtime()
    # Each imported where it can be used: `websockets` needs sockets, the others need JavaScript.
    if where == "native":
        from duologue.transports import websocket

        return await websocket.connect(
            url, headers=headers, subprotocols=subprotocols, proxy=proxy, timeout_s=timeout_s
        )
    if where == "workers":
        from duologue.transports import cloudflare

        return await cloudflare.connect(url, headers=headers, subprotocols=subprotocols, timeout_s=timeout_s)
    from duologue.transports import page

    return await page.connect(url, headers=headers, subprotocols=subprotocols, timeout_s=timeout_s)
