"""As much of JavaScript as a transport sees of it through Pyodide, for what the real runtimes cannot be made to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class Proxy:
    """A Python function that JavaScript may call until it is destroyed."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.destroyed = False

    def destroy(self) -> None:
        assert not self.destroyed
        self.destroyed = True


class Target:
    """A WebSocket or anything else that tells events."""

    def __init__(self) -> None:
        self.listeners: list[tuple[str, Proxy]] = []
        self.proxies: list[Proxy] = []
        self.sent: list[str] = []
        self.closes: list[tuple[int, str]] = []
        self.bufferedAmount = 0

    def addEventListener(self, event: str, proxy: Proxy) -> None:
        self.listeners.append((event, proxy))
        self.proxies.append(proxy)

    def removeEventListener(self, event: str, proxy: Proxy) -> None:
        self.listeners.remove((event, proxy))

    def tell(self, event: str, **fields: Any) -> None:
        for name, proxy in list(self.listeners):
            if name == event:
                proxy.function(SimpleNamespace(**fields))

    def send(self, text: str) -> None:
        self.sent.append(text)

    def close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))


class Buffer(bytes):
    """An ArrayBuffer."""

    def to_bytes(self) -> bytes:  # type: ignore[override]
        return bytes(self)


BRIDGE = SimpleNamespace(create_proxy=Proxy)
