"""Frames that RFC 6455 forbids end the call with the code that it names, and nothing of them goes on."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from pathlib import Path

import pytest
from raw import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, frame, raw
from running import CREATED, relaying
from websockets.asyncio.server import ServerConnection

from duologue.relay.lines import NO_STATUS, Line, Sender, never
from duologue.relay.settings import Limits, Settings
from duologue.relay.sockets import connect

CLEAR = b'{"type":"input_audio_buffer.clear"}'
APPEND = b'{"type":"input_audio_buffer.append","audio":"' + b"AAAA" * 20 + b'"}'


def sent(tmp_path: Path, *frames: bytes, limits: Limits | None = None) -> tuple[int, str]:
    """How the call ends after these frames. Whatever they are, the upstream hears nothing of them."""
    heard: list[str] = []

    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        async for each in ws:
            heard.append(str(each))

    async def story() -> tuple[int, str]:
        async with relaying(tmp_path, upstream, Settings(limits=limits or Limits())) as (host, relay):
            async with raw(host) as line:
                line.writer.write(b"".join(frames))
                closed = await line.closed()
            async with asyncio.timeout(5):
                while relay.calls or relay.lines:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        return closed

    closed = asyncio.run(story())
    assert heard == []
    return closed


class Listener:
    """Cares for nothing."""

    def __init__(self, line: Line) -> None:
        self.passes = never
        self.onto: Sender = line
        self.passed = 0

    def heard(self, frame: bytes) -> None: ...
    def heard_binary(self) -> None: ...
    def full(self) -> None: ...
    def room(self) -> None: ...
    def ended(self, code: int, reason: str) -> None: ...


@pytest.mark.parametrize("code", [1000, NO_STATUS])
def test_nothing_follows_a_close_whatever_is_sent(code: int) -> None:
    heard: list[bytes] = []
    over = asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        heard.append(await reader.readexactly(6 if code == NO_STATUS else 8))
        writer.write(bytes([FIN | CLOSE, 0]))
        heard.append(await reader.read())
        writer.close()
        over.set()

    async def story() -> None:
        async with await asyncio.start_server(peer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            line = await connect(f"ws://127.0.0.1:{port}/", {}, Listener, most_bytes=1000)
            line.close(code)
            line.send(b"too late")
            async with asyncio.timeout(5):
                await over.wait()

    asyncio.run(story())
    close, rest = heard
    assert close[0] == FIN | CLOSE
    assert rest == b""


@pytest.mark.parametrize("kind", [TEXT, BINARY, PING, CONTINUATION])
@pytest.mark.parametrize("bit", [0x40, 0x20, 0x10])
def test_reserved_bits(tmp_path: Path, kind: int, bit: int) -> None:
    assert sent(tmp_path, frame(FIN | bit | kind, APPEND if kind != PING else b""))[0] == 1002


def test_frames_without_a_mask(tmp_path: Path) -> None:
    assert sent(tmp_path, frame(FIN | TEXT, APPEND, masked=False))[0] == 1002


def test_opcodes_that_nobody_knows(tmp_path: Path) -> None:
    assert sent(tmp_path, frame(FIN | 3, APPEND))[0] == 1002
    assert sent(tmp_path, frame(FIN | 11, b""))[0] == 1002


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"])
def test_invalid_utf8(tmp_path: Path, bad: bytes) -> None:
    assert sent(tmp_path, frame(FIN | TEXT, CLEAR[:-1] + b',"event_id":"' + bad + b'"}'))[0] == 1007
    pieces = (frame(TEXT, APPEND[:-2] + bad), frame(FIN | CONTINUATION, b'"}'))
    assert sent(tmp_path, *pieces)[0] == 1007


def test_a_continuation_of_nothing(tmp_path: Path) -> None:
    assert sent(tmp_path, frame(FIN | CONTINUATION, CLEAR))[0] == 1002
    assert sent(tmp_path, frame(CONTINUATION, CLEAR))[0] == 1002


def test_a_message_within_another_one(tmp_path: Path) -> None:
    assert sent(tmp_path, frame(TEXT, CLEAR[:5]), frame(FIN | TEXT, CLEAR))[0] == 1002


def test_control_frames_that_are_long_or_in_pieces(tmp_path: Path) -> None:
    assert sent(tmp_path, frame(FIN | PING, bytes(126)))[0] == 1002
    assert sent(tmp_path, frame(PING, b""))[0] == 1002


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_close_codes_that_may_not_travel(tmp_path: Path, code: int) -> None:
    assert sent(tmp_path, frame(FIN | CLOSE, code.to_bytes(2)))[0] == 1002


def test_a_close_frame_of_one_byte(tmp_path: Path) -> None:
    assert sent(tmp_path, frame(FIN | CLOSE, b"\x03"))[0] == 1002


@pytest.mark.parametrize("length", [10_001, 2**31, 2**62])
def test_a_frame_that_claims_to_be_huge(tmp_path: Path, length: int) -> None:
    limits = Limits(event_bytes=10_000)
    assert sent(tmp_path, frame(FIN | TEXT, b"", length=length), limits=limits)[0] == 1009


def test_a_message_that_never_ends(tmp_path: Path) -> None:
    pieces = [frame(TEXT, b"x" * 1000), *(frame(CONTINUATION, b"x" * 1000) for _ in range(10))]
    assert sent(tmp_path, *pieces, limits=Limits(event_bytes=10_000))[0] == 1009


def test_a_binary_message_in_pieces(tmp_path: Path) -> None:
    assert sent(tmp_path, frame(BINARY, b"x"))[0] == 1003


def test_pings_are_answered_between_the_pieces_of_a_message(tmp_path: Path) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def upstream(ws: ServerConnection) -> None:
        await ws.send(CREATED)
        async for each in ws:
            heard.put_nowait(str(each))

    async def story() -> None:
        async with relaying(tmp_path, upstream) as (host, _), raw(host) as line:
            line.writer.write(frame(TEXT, APPEND[:30]) + frame(FIN | PING, b"there?"))
            assert await line.receive() == (PONG, b"there?")
            line.writer.write(frame(CONTINUATION, APPEND[30:]) + frame(FIN | CONTINUATION, b""))
            assert await heard.get() == APPEND.decode()

    asyncio.run(story())


@pytest.mark.parametrize(("head", "payload"), [(FIN | PING, b"x" * 125), (FIN | PONG, b""), (CONTINUATION, b"")])
def test_frames_that_carry_nothing_come_to_an_end(tmp_path: Path, head: int, payload: bytes) -> None:
    begun = [frame(TEXT, b"{")] if head == CONTINUATION else []
    bound = [*begun, *[frame(head, payload)] * 1000]
    assert sent(tmp_path, *bound, frame(FIN | CLOSE, (1000).to_bytes(2)))[0] == 1000
    assert sent(tmp_path, *bound, frame(head, payload))[0] == 1008
