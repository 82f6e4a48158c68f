"""The handshake piece by piece; over a real socket it is met in test_fast_websocket."""

from __future__ import annotations

import asyncio

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.uri import parse_uri

from duologue.transports.upgrade import Answer


def answered(*pieces: bytes, hung_up: bool = False) -> BaseException | None:
    async def story() -> BaseException | None:
        answer = Answer(ClientProtocol(parse_uri("ws://a")))
        for piece in pieces:
            answer.data_received(piece)
        if hung_up:
            answer.connection_lost(None)
        return answer.done.exception() if answer.done.done() else None

    return asyncio.run(story())


@pytest.mark.parametrize("line", [b"X-More: yes\r\n", b"x" * 1000])
def test_an_answer_without_an_end_is_given_up(line: bytes) -> None:
    assert answered(b"HTTP/1.1 101 Fine\r\n", line * 10) is None
    assert isinstance(answered(b"HTTP/1.1 101 Fine\r\n", *[line] * 7000), InvalidMessage)


def test_a_refusal_is_known_once_its_body_is_whole() -> None:
    pieces = [b"HTTP/1.1 401 No\r", b"\nContent-Length: 4\r\n\r\nno", b"pe"]
    assert answered(*pieces[:2]) is None
    refused = answered(*pieces)
    assert isinstance(refused, InvalidStatus)
    assert refused.response.body == b"nope"
    assert isinstance(answered(*pieces[:2], hung_up=True), InvalidMessage)
    assert isinstance(answered(hung_up=True), InvalidMessage)
