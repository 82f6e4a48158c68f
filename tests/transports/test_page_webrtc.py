"""Pages that cannot call. A real call of a real page is in tests/page/test_pyodide.py."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from duologue.errors import ConfigError
from duologue.transports import page_webrtc


def place(monkeypatch: pytest.MonkeyPatch, **names: object) -> None:
    javascript = SimpleNamespace(JSON=SimpleNamespace(parse=json.loads), **names)
    monkeypatch.setattr(page_webrtc, "javascript", lambda: javascript)


def test_a_web_worker_has_no_webrtc(monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch)
    with pytest.raises(ConfigError, match="web worker"):
        asyncio.run(page_webrtc.connect("https://h/v1/realtime", api_key="ek_1"))


def test_a_page_over_plain_http_has_no_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, RTCPeerConnection=object(), navigator=SimpleNamespace())
    with pytest.raises(ConfigError, match="https"):
        asyncio.run(page_webrtc.connect("https://h/v1/realtime", api_key="ek_1"))


def test_a_visitor_who_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(wish: dict[str, bool]) -> None:
        assert wish == {"audio": True}
        raise RuntimeError("NotAllowedError: Permission denied\n    at somewhere")

    devices = SimpleNamespace(getUserMedia=refuse)
    place(monkeypatch, RTCPeerConnection=object(), navigator=SimpleNamespace(mediaDevices=devices))
    with pytest.raises(ConfigError) as refused:
        asyncio.run(page_webrtc.connect("https://h/v1/realtime", api_key="ek_1"))
    assert "Permission denied; pass a stream" in str(refused.value)
