"""Both ways to open a WebSocket, for the tests that hold them to the same behaviour."""

from __future__ import annotations

import sys

import pytest

from duologue import transports

BOTH = ("picows", "websockets")


def without_picows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it was not installed."""
    monkeypatch.setitem(sys.modules, "picows", None)
    monkeypatch.delitem(sys.modules, "duologue.transports.fast_websocket", raising=False)
    monkeypatch.delattr(transports, "fast_websocket", raising=False)
