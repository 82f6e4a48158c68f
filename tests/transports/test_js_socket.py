"""What neither a browser nor workerd does on demand; the rest is run in both (tests/edge, tests/page)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from javascript import BRIDGE, Buffer, Target

from duologue.errors import TransportClosed
from duologue.transports import js_socket
from duologue.transports.base import BinaryFrame
from duologue.transports.js_socket import UNREAD_BYTES, UNSENT_BYTES, JsSocket

Story = Callable[[Target, JsSocket], Awaitable[None]]


@pytest.fixture
def with_socket(monkeypatch: pytest.MonkeyPatch) -> Callable[[Story], None]:
    monkeypatch.setattr(js_socket, "foreign", lambda: BRIDGE)

    def run(story: Story) -> None:
        async def whole() -> None:
            target = Target()
            await story(target, JsSocket(target))

        asyncio.run(asyncio.wait_for(whole(), 20))

    return run


def test_a_peer_that_sends_faster_than_we_read_is_cut_off(with_socket: Any) -> None:
    async def story(target: Target, socket: JsSocket) -> None:
        for _ in range(UNREAD_BYTES // 1_000_000 + 2):
            target.tell("message", data="x" * 1_000_000)
        assert socket.closed is not None
        assert (socket.closed.code, socket.closed.by) == (1009, "us")
        assert target.closes == [(4009, "too fast")]
        assert len([frame async for frame in socket]) == UNREAD_BYTES // 1_000_000

    with_socket(story)


def test_codes_that_a_script_may_not_use_become_ones_of_ours(with_socket: Any) -> None:
    async def story(target: Target, socket: JsSocket) -> None:
        closing = asyncio.create_task(socket.close(1011, "é" * 100), name="close")
        await asyncio.sleep(0)
        assert [code for code, _ in target.closes] == [4011]
        assert len(target.closes[0][1].encode()) <= 123
        target.tell("close", code=4011, reason="")
        await closing
        assert socket.closed is not None
        assert (socket.closed.code, socket.closed.by) == (1011, "us")
        assert target.listeners == []
        assert all(proxy.destroyed for proxy in target.proxies)
        await socket.close()

    with_socket(story)


def test_a_sender_waits_while_the_browser_holds_too_much(with_socket: Any) -> None:
    async def story(target: Target, socket: JsSocket) -> None:
        target.bufferedAmount = UNSENT_BYTES
        sending = asyncio.create_task(socket.send(b"{}"), name="send")
        await asyncio.sleep(0.05)
        assert not sending.done()
        assert target.sent == []
        target.bufferedAmount = 0
        await sending
        assert target.sent == ["{}"]
        target.bufferedAmount = UNSENT_BYTES
        sending = asyncio.create_task(socket.send(b"{}"), name="send")
        await asyncio.sleep(0)
        target.tell("close", code=4000, reason="over")
        with pytest.raises(TransportClosed):
            await sending

    with_socket(story)


def test_binary_frames_are_told_apart_and_a_failure_is_1006(with_socket: Any) -> None:
    async def story(target: Target, socket: JsSocket) -> None:
        target.tell("message", data=Buffer(b"\0"))
        target.tell("message", data="{}")
        target.tell("error")
        frames = [frame async for frame in socket]
        assert isinstance(frames[0], BinaryFrame)
        assert frames == [b"\0", "{}"]
        assert socket.closed is not None
        assert socket.closed.code == 1006

    with_socket(story)


def test_a_socket_that_refuses_a_frame_has_ended(with_socket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(target: Target, socket: JsSocket) -> None:
        def refuse(_: str) -> None:
            raise RuntimeError("InvalidStateError")

        monkeypatch.setattr(target, "send", refuse)
        with pytest.raises(TransportClosed):
            await socket.send(b"{}")
        assert socket.closed is not None
        with pytest.raises(UnicodeDecodeError):
            await JsSocket(Target()).send(b"\xff")

    with_socket(story)
