"""Opens a WebSocket or a call in the way of the place where this Python runs: by sockets, or by what JavaScript has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duologue.transports.base import EventTransport
from duologue.transports.call_address import IceServer
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


async def open_call(
    url: str,
    *,
    api_key: str,
    input_port: Any = None,
    output_port: Any = None,
    ice_servers: Sequence[IceServer] = (),
) -> Any:
    """A WebRTC call to a Realtime endpoint: a WebRtcTransport, in a page a PageCall. The ports are MediaPorts, in a page a
    MediaStream and an audio element.

    Raises MissingExtra, ConfigError, ConnectFailed. Cancelling it hangs up what was half open.
    """
    # Each imported where it can be used: one needs aiortc, the other a browser.
    if runtime() == "native":
        from duologue.transports import webrtc

        return await webrtc.connect(
            url, api_key=api_key, input_port=input_port, output_port=output_port, ice_servers=ice_servers
        )
    from duologue.transports import page_webrtc

    return await page_webrtc.connect(
        url, api_key=api_key, input_port=input_port, output_port=output_port, ice_servers=ice_servers
    )
