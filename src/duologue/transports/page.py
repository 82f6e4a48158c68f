"""Realtime events over the WebSocket of a browser's page, through Pyodide.

A page can set no headers: the key travels as a subprotocol. Only an ephemeral one (`ek_`) belongs there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from duologue.errors import ConfigError, ConnectFailed
from duologue.transports.js_socket import JsSocket
from duologue.transports.runtime import foreign, javascript

SUBPROTOCOL = "realtime"
KEY_SUBPROTOCOL = "openai-insecure-api-key."
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"


async def connect(
    url: str,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    timeout_s: float = 10.0,
) -> JsSocket:
    """Open a WebSocket from a page; `http(s)` addresses are taken as `ws(s)` by every browser since 2024.

    Of `headers`, those for the key and for the beta dialect become subprotocols. Raises ConfigError for any other, and
    ConnectFailed; a browser does not tell a script why a server refused. Cancelling it closes what was half open.
    """
    shown = url.partition("?")[0]
    offered = offers(api_key, headers or {}, subprotocols)
    try:
        socket = javascript().WebSocket.new(url, foreign().to_js(offered))
    except Exception as problem:
        raise ConnectFailed(shown, f"the address is not usable: {str(problem).partition(chr(10))[0]}") from None
    transport = JsSocket(socket)
    try:
        async with asyncio.timeout(timeout_s):
            await transport.opened.wait()
    except TimeoutError:
        await transport.close()
        raise ConnectFailed(shown, f"no answer within {timeout_s:g} s", retryable=True) from None
    except BaseException:
        socket.close()
        raise
    if transport.closed is not None:
        reason = "the browser could not open it, and does not say why: no server there, or it refused"
        raise ConnectFailed(shown, reason, retryable=True)
    return transport


def offers(api_key: str | None, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> list[str]:
    """The subprotocols that say what the headers would say. Raises ConfigError for a header that has no such form."""
    offered = [SUBPROTOCOL, *(name for name in subprotocols if name != SUBPROTOCOL)]
    for name, value in headers.items():
        if name.lower() == "authorization" and value.startswith("Bearer "):
            api_key = api_key or value.removeprefix("Bearer ")
        elif name.lower() == "openai-beta":
            offered.append(BETA_SUBPROTOCOL)
        else:
            raise ConfigError(f"a page cannot send the header {name!r}: browsers let scripts set none on a WebSocket")
    if api_key:
        offered.insert(1, KEY_SUBPROTOCOL + api_key)
    return offered
