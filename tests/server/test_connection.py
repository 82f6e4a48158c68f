"""The bounds and the dialect of one connection, on real sockets (duologue.server.limits, duologue.server.runner)."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode

import pytest
import websockets
from wire import Caller, calling, serving, simple_engines

from duologue.clock import monotonic_ms
from duologue.errors import TransportClosed
from duologue.protocol import server_events as wire
from duologue.server.connection import Connection
from duologue.server.limits import Limits
from duologue.server.runner import RealtimeServer
from duologue.server.tally import Meter, SessionReport, Tally
from duologue.transports.memory import memory_pair

MANUAL = {"input": {"turn_detection": None}}


class Reports(Meter):
    def __init__(self) -> None:
        self.reports: asyncio.Queue[SessionReport] = asyncio.Queue()

    def ended(self, report: SessionReport) -> None:
        self.reports.put_nowait(report)


def test_one_append_too_large_is_refused_and_the_session_goes_on() -> None:
    async def story() -> None:
        server = RealtimeServer(simple_engines(), limits=Limits(append_bytes=48_000))
        async with serving(server) as url, calling(url) as caller:
            await caller.configure(audio=MANUAL)
            audio = b64encode(bytes(48_001)).decode()
            await caller.send("input_audio_buffer.append", audio=audio, event_id="big")
            error = (await caller.until("error"))[-1]["error"]
            assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "audio", "big")
            await caller.append(1000)
            await caller.send("input_audio_buffer.commit")
            assert (await caller.until("input_audio_buffer.committed"))[-1]["item_id"]

    asyncio.run(story())


def test_fifteen_mebibytes_are_one_append() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(simple_engines())) as url, calling(url) as caller:
            await caller.configure(audio=MANUAL)
            for size, answer in ((15 * 1024 * 1024, "input_audio_buffer.committed"), (15 * 1024 * 1024 + 2, "error")):
                await caller.send("input_audio_buffer.append", audio=b64encode(bytes(size)).decode())
                await caller.send("input_audio_buffer.commit")
                assert await caller.until(answer)

    asyncio.run(story())


def test_sound_that_is_never_committed_is_bounded() -> None:
    async def story() -> None:
        server = RealtimeServer(simple_engines(), limits=Limits(buffered_audio_bytes=96_000))
        async with serving(server) as url, calling(url) as caller:
            await caller.configure(audio=MANUAL)
            for _ in range(3):
                await caller.append(1000)
            assert (await caller.until("error"))[-1]["error"]["code"] == "input_audio_buffer_full"
            await caller.send("input_audio_buffer.clear")
            await caller.append(1000)
            await caller.send("input_audio_buffer.commit")
            assert await caller.until("input_audio_buffer.committed")

    asyncio.run(story())


def test_a_client_that_does_not_read_is_cut_off_with_the_reason() -> None:
    async def story() -> None:
        reports = Reports()
        limits = Limits(outbox_bytes=100_000, slow_reader_s=0.2)
        server = RealtimeServer(simple_engines(), limits=limits, meter=reports)
        async with serving(server) as url:
            options = {"max_size": None, "max_queue": 2, "compression": None, "close_timeout": 1}
            async with websockets.connect(f"{url}?model=x", **options) as raw:
                caller = Caller(raw)
                await caller.until("session.created")
                await caller.say("forever")
                await caller.send("response.create")  # and then never read again
                report = await asyncio.wait_for(reports.reports.get(), 60)
                assert report.ended == "server: 1008 the client reads too slowly"
                assert server.sessions == 0

    asyncio.run(story())


def test_a_frame_larger_than_the_outbox_still_gets_through() -> None:
    async def story() -> None:
        ours, theirs = memory_pair()
        tally = Tally("sess_1", "ga", Meter(), 0)
        connection = Connection(ours, "ga", Limits(outbox_bytes=10, slow_reader_s=0.05), tally, monotonic_ms)
        long = wire.Error(error=wire.ErrorDetails(type="x", message="y" * 1000))
        await connection.send(long)
        assert connection.waiting_bytes > 1000
        with pytest.raises(TransportClosed) as closed:
            await connection.send(long)
        assert (closed.value.code, closed.value.by) == (1008, "server")
        writing = asyncio.create_task(connection.write(), name="writer")
        assert json.loads(await anext(aiter(theirs)))["error"]["message"] == "y" * 1000
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(story())


def test_draining_waits_for_sessions_and_then_closes_them() -> None:
    async def story() -> None:
        server = RealtimeServer(simple_engines())
        async with serving(server) as url, calling(url) as caller:
            draining = asyncio.create_task(server.drain(60), name="drain")
            await caller.configure(output_modalities=["text"])
            assert not draining.done()
            await caller.socket.close()
            await asyncio.wait_for(draining, 20)
        server = RealtimeServer(simple_engines())
        async with serving(server) as url, calling(url) as caller:
            await asyncio.wait_for(server.drain(0), 20)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await caller.until("never")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    asyncio.run(story())


def test_a_client_that_sends_faster_than_it_is_served_waits_and_loses_nothing() -> None:
    async def story() -> None:
        server = RealtimeServer(simple_engines(), limits=Limits(inbox_bytes=100_000))
        async with serving(server) as url, calling(url) as caller:
            await caller.configure(audio=MANUAL)
            for _ in range(50):
                await caller.append(1000)
            await caller.send("input_audio_buffer.commit")
            await caller.until("input_audio_buffer.committed")
            item_id = caller.events[-1]["item_id"]
            await caller.send("conversation.item.retrieve", item_id=item_id)
            (part,) = (await caller.until("conversation.item.retrieved"))[-1]["item"]["content"]
            assert len(b64decode(part["audio"])) == 50 * 48_000
            assert server.waiting().inputs == 0

    asyncio.run(story())


def delta(response_id: str) -> wire.ResponseOutputAudioDelta:
    where = {"response_id": response_id, "item_id": "item_1", "output_index": 0, "content_index": 0}
    return wire.ResponseOutputAudioDelta(event_id="event_1", delta=b"12", **where)  # type: ignore[arg-type]


def test_what_waits_of_an_interrupted_answer_is_not_sent() -> None:
    async def story() -> None:
        ours, theirs = memory_pair()
        tally = Tally("sess_1", "ga", Meter(), 0)
        connection = Connection(ours, "ga", Limits(), tally, monotonic_ms)
        for name in ("one", "two", "one"):
            await connection.send(delta(name))
        connection.hush("one")
        await connection.send(wire.InputAudioBufferCleared(event_id="event_2"))
        writing = asyncio.create_task(connection.write(), name="writer")
        frames = aiter(theirs)
        events = [json.loads(await anext(frames)) for _ in range(2)]
        assert (events[0]["response_id"], events[1]["type"]) == ("two", "input_audio_buffer.cleared")
        assert connection.waiting_bytes == 0
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(story())


@pytest.mark.parametrize("ticks", range(12))
def test_who_waits_for_room_can_be_stopped_in_the_moment_there_is_some(ticks: int) -> None:
    async def story() -> None:
        ours, _ = memory_pair()
        connection = Connection(ours, "ga", Limits(outbox_bytes=400), Tally("sess_1", "ga", Meter(), 0), monotonic_ms)
        for _ in range(3):
            await connection.send(delta("one"))

        async def voice() -> None:
            await connection.room()
            await asyncio.Event().wait()

        speaking = asyncio.create_task(voice(), name="voice")
        await asyncio.sleep(0)
        writing = asyncio.create_task(connection.write(), name="writer")
        for _ in range(ticks):
            await asyncio.sleep(0)
        speaking.cancel()
        done, _ = await asyncio.wait([speaking], timeout=10)
        assert done
        assert speaking.cancelled()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(story())


class Behind(Meter):
    """Tells when half of the outbox is full."""

    def __init__(self) -> None:
        self.half = asyncio.Event()
        self.server: RealtimeServer | None = None

    def sent(self, kind: str) -> None:
        if self.server and self.server.waiting().outbox_bytes >= self.server.limits.outbox_bytes // 2:
            self.half.set()


def test_an_interruption_gets_through_to_a_client_that_is_far_behind() -> None:
    async def story() -> None:
        limits = Limits(outbox_bytes=200_000)
        engines = simple_engines()
        behind = Behind()
        behind.server = server = RealtimeServer(engines, limits=limits, meter=behind)
        async with serving(server) as url:
            options = {"max_size": None, "max_queue": 2, "compression": None, "close_timeout": 1}
            async with websockets.connect(f"{url}?model=x", **options) as raw:
                caller = Caller(raw)
                await caller.until("session.created")
                await caller.say("forever")
                await caller.send("response.create")
                await asyncio.wait_for(behind.half.wait(), 60)  # nobody reads
                await caller.append(1000, sound=1)
                await asyncio.wait_for(engines.llm.stopped.wait(), 20)  # type: ignore[attr-defined]
                events = await caller.until("response.done")
                assert events[-1]["response"]["status_details"]["reason"] == "turn_detected"
                started = [e["type"] for e in events].index("input_audio_buffer.speech_started")
                assert not [e for e in events[started:] if e["type"] == "response.output_audio.delta"]

    asyncio.run(story())
