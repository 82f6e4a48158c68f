"""A telephone call as a port, with a carrier on a real socket."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from fake_twilio import Phone, dialled, hosted
from phone_ear import RATE
from websockets.asyncio.client import connect

from duologue.audio.spec import ULAW_8K
from duologue.errors import TransportClosed
from duologue.transports.carriers.twilio import Twilio
from duologue.transports.carriers.vonage import Vonage
from duologue.transports.phone import PhonePort, phone_app

MS = RATE // 1000


def tone(duration_ms: int, value: int = 0x55) -> bytes:
    return bytes([value]) * (duration_ms * MS)


def test_what_the_caller_says_is_read_and_what_is_written_is_heard() -> None:
    told = asyncio.Event()

    async def answer(call: PhonePort) -> None:
        assert call.spec == ULAW_8K
        assert call.call.call_id == "CA1"
        assert call.call.parameters == {"desk": "2"}
        said = b""
        while tone(200, 7) not in said:
            said += await call.read()
        assert call.write(tone(300), "item_1")
        await call.drained()
        assert call.played_ms("item_1") == 300
        assert call.clear() == []
        told.set()

    async def story(url: str) -> None:
        async with dialled(url) as twilio:
            twilio.say(tone(200, 7))
            await twilio.until(lambda: bytes(twilio.ear.heard) == tone(300))
            await told.wait()

    Phone(answer).run(story)


@pytest.mark.parametrize("back_ms", [0, 40, 110])
def test_clearing_silences_the_call_and_tells_what_was_heard(back_ms: int) -> None:
    told: list[int] = []
    cut = asyncio.Event()

    async def answer(call: PhonePort) -> None:
        call.write(tone(3_000, 1), "item_1")
        call.write(tone(1_000, 2), "item_2")
        while await call.read() != tone(20, 7):
            pass
        heard = call.clear()
        assert [(each.track_id, each.received_ms) for each in heard] == [("item_1", 3_000), ("item_2", 1_000)]
        assert heard[1].played_ms == 0
        told.append(heard[0].played_ms)
        assert call.played_ms("item_1") == heard[0].played_ms
        assert not call.write(tone(100, 1), "item_1"), "late sound of what was cleared is not played"
        assert call.write(tone(200, 3), "item_3")
        cut.set()
        await call.drained()

    async def story(url: str) -> None:
        async with dialled(url, back_ms=back_ms) as twilio:
            await twilio.until(lambda: len(twilio.ear.heard) > 800 * MS)
            twilio.say(tone(20, 7))
            await cut.wait()
            await twilio.until(lambda: tone(200, 3) in bytes(twilio.ear.heard))
            truth_ms = twilio.ear.heard.count(1) / MS
            assert abs(told[0] - truth_ms) <= 60 + 2 * twilio.late_ms
            assert bytes(twilio.ear.heard) == tone(0) + bytes([1]) * twilio.ear.heard.count(1) + tone(200, 3)

    Phone(answer).run(story)


def test_keys_arrive_and_a_call_that_ends_is_over_for_everybody() -> None:
    seen: list[str] = []
    pressed, over = asyncio.Event(), asyncio.Event()

    async def answer(call: PhonePort) -> None:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_read_all(call), name="reading")
            seen.append(await call.digit())
            pressed.set()
            seen.append(await call.digit())
        assert reading.result() >= 0
        assert not call.write(tone(20), "late")
        seen.append(call.ended)
        over.set()

    async def story(url: str) -> None:
        async with dialled(url) as twilio:
            await twilio.started.wait()
            await twilio.send({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "5"}})
            await pressed.wait()
        await over.wait()
        assert seen == ["5", "", "the caller hung up"]

    Phone(answer).run(story)


async def _read_all(call: PhonePort) -> int:
    total = 0
    while sound := await call.read():
        total += len(sound)
    return total


def test_a_stream_that_never_starts_is_closed_and_its_handler_is_not_called(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(_: PhonePort) -> None:
        raise AssertionError("nobody called")

    async def story() -> None:
        async with hosted(phone_app(Vonage(), answer)) as url:
            async with connect(url) as wire:
                await wire.send('{"event":"websocket:connected","content-type":"audio/opus"}')
                with pytest.raises(Exception, match="1000"):
                    await wire.recv()
            page = await httpx.AsyncClient().get(url.replace("ws:", "http:"))
            assert (page.status_code, "vonage" in page.text) == (426, True)

    with caplog.at_level(logging.INFO):
        asyncio.run(story())
    assert "ask Vonage for audio/l16;rate=16000" in caplog.text


def test_a_handler_that_fails_ends_its_call_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    async def answer(call: PhonePort) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("a bug of the application")
        call.write(tone(60), "item_1")
        await call.drained()

    async def story() -> None:
        async with hosted(phone_app(Twilio(), answer)) as url:
            async with dialled(url) as first:
                await first.until(lambda: bool(calls))
            async with dialled(url) as second:
                await second.until(lambda: bytes(second.ear.heard) == tone(60))

    asyncio.run(story())
    assert "a bug of the application" in caplog.text


def test_half_a_sample_is_refused_and_the_end_of_the_wire_is_told() -> None:
    class Gone:
        async def receive(self) -> None:
            return None

        async def send(self, frame: object) -> None:
            raise TransportClosed(1006, "gone")

        async def close(self) -> None:
            pass

    async def story() -> None:
        with pytest.raises(TransportClosed, match="ended"):
            async with PhonePort(Twilio(), Gone()):
                pass

    asyncio.run(story())
