"""Our own ports keep what a port must keep; and a port that breaks a rule is told so by its check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fake_twilio import dialled, hosted

from duologue.audio.pcm16 import Buffer
from duologue.audio.port import Heard, MediaPort
from duologue.audio.wav_port import SplitPort, WavPort
from duologue.testing.conformance import name_of
from duologue.testing.ports import (
    CHECKS,
    PortCheck,
    clearing_tells_what_was_heard,
    closing_is_final,
    part_of_a_sample_is_refused,
    what_was_written_is_played,
)
from duologue.transports.carriers.twilio import Twilio
from duologue.transports.phone import PhonePort, phone_app

Opens = AsyncIterator[MediaPort]


@asynccontextmanager
async def read(port: MediaPort) -> Opens:
    """The port, with a reader that lets its time pass."""

    async def listen() -> None:
        while await port.read():
            pass

    reader = asyncio.create_task(listen(), name="reader")
    try:
        yield port
    finally:
        await port.close()
        await reader


@asynccontextmanager
async def file() -> Opens:
    async with read(WavPort(None, pace=4.0)) as port:
        yield port


@asynccontextmanager
async def halves() -> Opens:
    async with read(SplitPort(WavPort(None), WavPort(None))) as port:
        yield port


@asynccontextmanager
async def telephone() -> Opens:
    """The application's side of a call whose carrier is on a real socket, its marks 40 ms late."""
    met: asyncio.Future[PhonePort] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def answer(call: PhonePort) -> None:
        met.set_result(call)
        await over.wait()

    async with hosted(phone_app(Twilio(), answer)) as url, dialled(url, back_ms=40):
        try:
            yield await met
        finally:
            over.set()


@asynccontextmanager
async def call() -> Opens:
    """One end of a WebRTC call over real UDP."""
    pytest.importorskip("aiortc")
    from duologue.transports.rtc_peer import Peer

    near, far = Peer(loopback=True), Peer(loopback=True)
    try:
        await near.accept(await far.answer(await near.offer()))
        await near.connected()
        yield near.port
    finally:
        await asyncio.gather(near.close(), far.close())


PORTS = {"file": file, "halves": halves, "telephone": telephone, "call": call}


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("port", PORTS)
def test_every_port_keeps_the_rules(port: str, check: PortCheck) -> None:
    asyncio.run(asyncio.wait_for(check(PORTS[port]), 90))


class Forgetful(WavPort):
    """Plays late sound of what it has cleared."""

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        super().write(pcm, track_id)
        return True


class Boastful(WavPort):
    """Says that all it got was played."""

    def played_ms(self, track_id: str) -> int:
        return super().played_ms(track_id) and 1_000_000


class Silent(WavPort):
    """Clears, and does not say what."""

    def clear(self) -> list[Heard]:
        super().clear()
        return []


class Lax(WavPort):
    """Takes halves of samples."""

    def write(self, pcm: Buffer, track_id: str = "default") -> bool:
        return super().write(bytes(pcm)[: len(pcm) & ~1], track_id)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Boastful, what_was_written_is_played),
        (Silent, clearing_tells_what_was_heard),
        (Forgetful, clearing_tells_what_was_heard),
        (Lax, part_of_a_sample_is_refused),
        (Forgetful, closing_is_final),
    ],
)
def test_a_broken_port_is_found(broken: type[WavPort], check: PortCheck) -> None:
    @asynccontextmanager
    async def opened() -> Opens:
        async with read(broken(None)) as port:
            yield port

    async def story() -> None:
        with pytest.raises(AssertionError):
            await check(opened)

    asyncio.run(story())
