"""What a raw peer does to a WebSocket, byte by byte; the same for the quick socket and for `websockets`."""

from __future__ import annotations

import asyncio
import gc
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sockets import BOTH, without_picows
from websockets.asyncio.server import ServerConnection, serve

from duologue.errors import ConnectFailed, TransportClosed
from duologue.testing.conformance import data
from duologue.transports import fast_websocket
from duologue.transports.base import BinaryFrame, DirectTransport, EventTransport
from duologue.transports.fast_websocket import FastWebSocketTransport
from duologue.transports.websocket import connect

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x81, 0x82, 0x80, 0x88, 0x89, 0x8A


def frame(head: int, payload: bytes = b"") -> bytes:
    """As a server sends it; `head` with the bits for the end and for extensions."""
    size = len(payload)
    return bytes([head]) + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2)) + payload


def closing(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, code.to_bytes(2) + reason.encode())


async def agree(reader: Reader, writer: Writer, early: bytes = b"", *extra: str) -> None:
    """The server's half of the handshake; `early` goes out together with it."""
    asked = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    key = next(line.partition(": ")[2] for line in asked if line.lower().startswith("sec-websocket-key:"))
    accept = b64encode(sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    lines = ["HTTP/1.1 101 Fine", "Connection: keep-alive, Upgrade", "upgrade: WebSocket"]
    writer.write("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", *extra, "", ""]).encode() + early)


async def heard(reader: Reader) -> tuple[int, bytes]:
    """The next frame of the client, unmasked."""
    head, size = await reader.readexactly(2)
    assert size & 0x80
    length = size & 0x7F
    assert length < 126
    mask = await reader.readexactly(4)
    body = await reader.readexactly(length)
    return head, bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))


def against(peer: Callable[[Reader, Writer], Awaitable[None]], story: Callable[[str], Awaitable[None]]) -> None:
    """Also holds that nothing is left: no task, and no exception that nobody looked at."""
    unseen: list[BaseException] = []
    peers: set[asyncio.Task[None]] = set()

    async def serve(reader: Reader, writer: Writer) -> None:
        peers.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await peer(reader, writer)
        finally:
            writer.close()

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context["exception"]))
        async with asyncio.timeout(20), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            await story(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
            await asyncio.gather(*peers)
        gc.collect()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert unseen == []


async def all_of(transport: EventTransport) -> list[bytes]:
    return [data(got) async for got in transport]


@pytest.fixture(params=BOTH, autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "websockets":
        without_picows(monkeypatch)
    return str(request.param)


def test_the_quick_socket_is_taken_where_it_can_be(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def peer(reader: Reader, writer: Writer) -> None:
        await agree(reader, writer, closing(1000))
        await heard(reader)

    async def story(url: str) -> None:
        transport = await connect(url)
        assert isinstance(transport, FastWebSocketTransport) is (kind == "picows")
        assert await all_of(transport) == []

    against(peer, story)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    against(peer, story)  # this machine is reached without
    with pytest.raises(ConnectFailed):
        asyncio.run(connect("ws://192.0.2.1/", timeout_s=5))  # the proxy, which nobody runs


def test_pieces_are_put_together_and_pings_answered_between_them() -> None:
    pings: list[tuple[int, bytes]] = []

    async def peer(reader: Reader, writer: Writer) -> None:
        early = frame(0x01, b'{"a":') + frame(PING, b"now") + frame(0x00) + frame(CONTINUATION, b"1}") + frame(TEXT)
        await agree(reader, writer, early)
        pings.append(await heard(reader))
        whole = frame(TEXT, b"x" * 60_000)
        for at in range(0, len(whole), 7_001):
            writer.write(whole[at : at + 7_001])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(closing(1001, "é" * 61))
        assert await heard(reader) == (CLOSE, (1001).to_bytes(2) + ("é" * 61).encode())

    async def story(url: str) -> None:
        transport = await connect(url)
        assert await all_of(transport) == [b'{"a":1}', b"", b"x" * 60_000]
        assert transport.closed is not None
        assert (transport.closed.code, transport.closed.reason, transport.closed.by) == (1001, "é" * 61, "peer")
        assert pings == [(PONG, b"now")]

    against(peer, story)


@pytest.mark.parametrize(
    ("offence", "codes"),
    [
        (frame(0x80, b"of nothing"), {1002}),
        (frame(0x01, b"a") + frame(TEXT, b"b"), {1002}),
        (frame(0xC1, b"reserved"), {1002}),
        (frame(0x83, b"no such kind"), {1002}),
        (frame(0x09, b"half a ping"), {1002}),
        (frame(CLOSE, b"\x03"), {1002}),
        (closing(1005), {1002}),
        (frame(CLOSE, b"\x03\xe8\xff"), {1002, 1007}),
        (b"\x81\x81\0\0\0\0x", {1002}),
    ],
)
def test_who_breaks_the_rules_is_told_and_left(offence: bytes, codes: set[int]) -> None:
    said: list[int] = []

    async def peer(reader: Reader, writer: Writer) -> None:
        await agree(reader, writer, frame(TEXT, b"{}"))
        await asyncio.sleep(0)
        writer.write(offence)
        head, body = await heard(reader)
        assert head == CLOSE
        said.append(int.from_bytes(body[:2]))

    async def story(url: str) -> None:
        transport = await connect(url)
        assert b"".join(await all_of(transport)) in (b"{}", b"")
        assert transport.closed is not None
        assert transport.closed.code == 1006
        assert transport.closed.retryable
        with pytest.raises(TransportClosed):
            await transport.send(b"{}")
        await transport.close()

    against(peer, story)
    assert set(said) <= codes
    assert said


@pytest.mark.parametrize("end", [b"\x81\x7e\x10\x00half", b"\x81", b""])
def test_half_a_frame_is_a_vanished_peer(end: bytes) -> None:
    async def peer(reader: Reader, writer: Writer) -> None:
        await agree(reader, writer, frame(TEXT, b"{}") + end)

    async def story(url: str) -> None:
        transport = await connect(url)
        assert await all_of(transport) == [b"{}"]
        assert transport.closed is not None
        assert (transport.closed.code, transport.closed.by) == (1006, "peer")

    against(peer, story)


def test_a_close_without_a_code_is_1005() -> None:
    async def peer(reader: Reader, writer: Writer) -> None:
        await agree(reader, writer, frame(CLOSE))
        assert await heard(reader) == (CLOSE, b"")

    async def story(url: str) -> None:
        transport = await connect(url)
        assert await all_of(transport) == []
        assert transport.closed is not None
        assert transport.closed.code == 1005

    against(peer, story)


def test_a_peer_that_never_answers_a_close_is_cut_off() -> None:
    async def peer(reader: Reader, writer: Writer) -> None:
        await agree(reader, writer)
        assert (await heard(reader))[0] == CLOSE
        await reader.read()

    async def story(url: str) -> None:
        transport = await connect(url)
        closing = asyncio.create_task(transport.close(1000, "x" * 200), name="close")
        await asyncio.sleep(0)
        closing.cancel()  # whoever stops waiting leaves the end under way
        await transport.close()
        assert await all_of(transport) == []
        assert transport.closed is not None
        assert (transport.closed.code, transport.closed.by) == (1000, "us")

    against(peer, story)


def test_binary_frames_are_told_apart(kind: str) -> None:
    async def peer(reader: Reader, writer: Writer) -> None:
        await agree(reader, writer, frame(BINARY, b"\xff") + frame(0x02, b"a") + frame(CONTINUATION, b"b"))
        writer.write(frame(TEXT, b"\xff") + closing(1000))
        await heard(reader)

    async def story(url: str) -> None:
        got = [message async for message in await connect(url)]
        assert [data(message) for message in got] == [b"\xff", b"ab", b"\xff"]
        if kind == "picows":
            assert [isinstance(message, BinaryFrame) for message in got] == [True, True, False]

    against(peer, story)


def test_a_silent_peer_is_asked_and_left(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind != "picows":
        pytest.skip("the other package asks by itself")
    monkeypatch.setattr(fast_websocket, "PING_S", 0.05)
    heads: list[int] = []

    async def peer(reader: Reader, writer: Writer) -> None:
        await agree(reader, writer)
        for answer in (True, True, False):
            head, body = await heard(reader)
            heads.append(head)
            if answer:
                writer.write(frame(PONG, body))
        heads.append((await heard(reader))[0])

    async def story(url: str) -> None:
        transport = await connect(url)
        assert await all_of(transport) == []
        assert transport.closed is not None
        assert transport.closed.code == 1006
        assert heads == [PING, PING, PING, CLOSE]

    against(peer, story)


def test_little_waits_for_a_reader_who_is_slow(kind: str) -> None:
    """The socket is not read while frames wait: what the peer can write is bounded."""
    written = 0
    stopped = asyncio.Event()
    piece = frame(TEXT, b"x" * 60_000)

    async def peer(reader: Reader, writer: Writer) -> None:
        nonlocal written
        await agree(reader, writer)
        try:
            while written < 2_000:
                writer.write(piece)
                written += 1
                async with asyncio.timeout(0.5):
                    await writer.drain()
        except TimeoutError:
            stopped.set()
        writer.write(closing(1000))
        await heard(reader)

    async def story(url: str) -> None:
        transport = await connect(url)
        await stopped.wait()
        assert written < 1_000
        assert len(await all_of(transport)) == written

    against(peer, story)


def test_frames_are_handed_over_in_order_and_the_rest_is_read_by_another_loop(kind: str) -> None:
    if kind != "picows":
        pytest.skip("the other package hands out what it has queued")

    async def peer(reader: Reader, writer: Writer) -> None:
        await agree(reader, writer, frame(TEXT, b"0") + frame(TEXT, b"1"))
        await heard(reader)
        writer.write(
            frame(TEXT, b"2") + frame(PING) + frame(0x01, b"3") + frame(CONTINUATION, b"!") + frame(BINARY, b"4")
        )
        await heard(reader)
        await heard(reader)
        writer.write(frame(TEXT, b"5") + frame(TEXT, b"6") + closing(1000))
        await heard(reader)

    async def story(url: str) -> None:
        transport = await connect(url)
        assert isinstance(transport, DirectTransport)
        got: list[bytes] = []
        came = asyncio.Event()

        def take(frame: bytes | str) -> None:
            got.append(data(frame))
            came.set()

        first = asyncio.create_task(transport.deliver(take), name="first")
        for count, answer in ((2, b"go"), (5, b"on")):
            while len(got) < count:
                came.clear()
                await came.wait()
            assert not first.done()
            if answer == b"on":
                first.cancel()
                await asyncio.wait([first])
            await transport.send(answer)
        assert [data(message) async for message in transport] == [b"5", b"6"]
        await transport.deliver(take)  # nothing is left
        assert got == [b"0", b"1", b"2", b"3!", b"4"]

    against(peer, story)


def test_all_that_came_before_the_end_is_handed_over(kind: str) -> None:
    if kind != "picows":
        pytest.skip("the other package hands out what it has queued")

    async def peer(reader: Reader, writer: Writer) -> None:
        await agree(reader, writer, b"".join(frame(TEXT, b"%d" % n) for n in range(300)) + closing(1000))
        await heard(reader)

    async def story(url: str) -> None:
        transport = await connect(url)
        assert isinstance(transport, DirectTransport)
        got: list[bytes | str] = []
        await transport.deliver(got.append)
        assert got == [b"%d" % n for n in range(300)]
        assert transport.closed is not None
        assert transport.closed.code == 1000

    against(peer, story)


@pytest.mark.parametrize(
    ("answer", "status", "body", "retryable"),
    [
        (b"HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\n|not |you!!", 401, "not you!!", False),
        (b"HTTP/1.1 503 Later\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n|0\r\n\r\n", 503, "busy", True),
        (b"HTTP/1.1 500 Oh\r\n\r\nuntil |the end", 500, "until the end", True),
        (b"HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", None, "", False),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", None, "", False),
        (b"HTTP/1.1 20", None, "", True),
    ],
)
def test_a_refusal_is_read_whole(answer: bytes, status: int | None, body: str, retryable: bool) -> None:
    async def peer(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in answer.split(b"|"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)

    async def story(url: str) -> None:
        with pytest.raises(ConnectFailed) as failed:
            await connect(url)
        assert (failed.value.status, failed.value.body) == (status, body)
        assert failed.value.retryable is retryable

    against(peer, story)


def test_only_a_subprotocol_that_was_offered_is_taken() -> None:
    async def peer(reader: Reader, writer: Writer) -> None:
        await agree(reader, writer, closing(1000), "Sec-WebSocket-Protocol: realtime")
        with suppress(asyncio.IncompleteReadError):
            await heard(reader)

    async def story(url: str) -> None:
        assert await all_of(await connect(url, subprotocols=("other", "realtime"))) == []
        for offered in ((), ("other",)):
            with pytest.raises(ConnectFailed) as failed:
                await connect(url, subprotocols=offered)
            assert not failed.value.retryable

    against(peer, story)


def test_waiting_for_an_answer_ends_in_time_and_can_be_cancelled() -> None:
    asked, left = asyncio.Event(), asyncio.Event()
    calls = 0

    async def peer(reader: Reader, writer: Writer) -> None:
        nonlocal calls
        calls += 1
        await reader.readuntil(b"\r\n\r\n")
        if calls == 2:
            asked.set()
        with suppress(ConnectionError):
            assert await reader.read() == b""
        if calls == 2:
            left.set()

    async def story(url: str) -> None:
        with pytest.raises(ConnectFailed) as failed:
            await connect(url, timeout_s=0.1)
        assert failed.value.retryable
        opening = asyncio.create_task(connect(url), name="opening")
        await asked.wait()
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        await left.wait()

    against(peer, story)


def test_the_same_over_tls_with_certificates_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 MiB there and back: more than any buffer on the way holds."""
    own, chain = certificate(tmp_path)
    large = b'{"audio":"' + b"QUJD" * 1_048_576 + b'"}'

    async def peer(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async def story() -> None:
        async with asyncio.timeout(30), serve(peer, "127.0.0.1", 0, ssl=own, max_size=None) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(ConnectFailed, match="certificate"):
                await connect(url)
            monkeypatch.setenv("SSL_CERT_FILE", str(chain))
            transport = await connect(url)
            frames = transport.__aiter__()
            for said in (b"{}", large, b'{"after":1}'):
                await transport.send(said)
                assert data(await anext(frames)) == said
            await transport.close()

    asyncio.run(story())


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret.write_bytes(key.private_bytes(*private))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    return context, chain
