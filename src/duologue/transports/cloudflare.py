"""Realtime events from a Worker at Cloudflare: a `fetch` that asks for an upgrade. No sockets, no libraries of its own.

In a Python Worker `connect` is what `RealtimeClient` and `RealtimeAPI` use by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from duologue.errors import ConnectFailed
from duologue.transports.js_socket import JsSocket
from duologue.transports.runtime import foreign, javascript

_BODY_SHOWN = 2000


async def connect(
    url: str,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    timeout_s: float = 10.0,
) -> JsSocket:
    """Open a WebSocket to a Realtime endpoint; `ws(s)` addresses are taken as `http(s)`, which is what `fetch` wants.

    The key travels as `Authorization: Bearer` and is kept nowhere. A redirect is not followed: it would carry the key to
    another host. Raises ConnectFailed with the HTTP status and body where the server refused. Cancelling it aborts the
    request.
    """
    address = http_url(url)
    shown = address.partition("?")[0]
    sent = {**(headers or {}), "Upgrade": "websocket"}
    if api_key:
        sent["Authorization"] = f"Bearer {api_key}"
    if subprotocols:
        sent["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
    js = javascript()
    abort = js.AbortController.new()
    request = foreign().to_js(
        {"headers": sent, "redirect": "manual", "signal": abort.signal}, dict_converter=js.Object.fromEntries
    )
    try:
        async with asyncio.timeout(timeout_s):
            response = await js.fetch(address, request)
            if getattr(response.webSocket, "accept", None) is None:
                raise await _refused(shown, response)
    except TimeoutError:
        abort.abort()
        raise ConnectFailed(shown, f"no answer within {timeout_s:g} s", retryable=True) from None
    except ConnectFailed:
        raise
    except Exception as problem:
        reason = f"the request failed: {str(problem).partition(chr(10))[0]}"
        raise ConnectFailed(shown, reason, retryable=True) from None
    except BaseException:
        abort.abort()
        raise
    transport = JsSocket(response.webSocket)
    response.webSocket.accept()
    return transport


def http_url(url: str) -> str:
    """The address with `ws` turned into `http` and `wss` into `https`; anything else is left as it is."""
    scheme, colon, rest = url.strip().partition(":")
    return f"{ {'ws': 'http', 'wss': 'https'}.get(scheme.lower(), scheme) }{colon}{rest}"


async def _refused(shown: str, response: Any) -> ConnectFailed:
    status = int(response.status)
    body = str(await response.text())[:_BODY_SHOWN]
    retryable = status in (408, 425, 429) or status >= 500
    return ConnectFailed(shown, "the server refused the connection", status=status, body=body, retryable=retryable)
