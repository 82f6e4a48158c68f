"""Noise reduction on the way into the buffer (duologue.server.cleaning): one sound for all who listen, nothing lost."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert
from msgspec.structs import replace
from script import SILENCE, SPEECH, Script, pcm
from wire import calling, serving, simple_engines

from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav
from duologue.engines import registry
from duologue.engines.base import Field
from duologue.engines.webrtc_noise import installed
from duologue.errors import ProtocolError
from duologue.protocol.session import Audio, RealtimeSession
from duologue.server.config import default_session, updated
from duologue.server.rules import Rules
from duologue.server.runner import Engines, RealtimeServer

NOISE = b"\x02"
HELD_BYTES = 48 * 25
CLIPS = Path(__file__).parent.parent / "clips"


class Hush:
    """A filter: what is noise becomes silence, 25 ms later."""

    name = "hush"

    def __init__(self) -> None:
        self.opened: list[Field] = []

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def open(self, field: Field) -> HushFilter:
        self.opened.append(field)
        return HushFilter()


class HushFilter:
    def __init__(self) -> None:
        self._held = b""

    def feed(self, audio: bytes) -> bytes:
        sound = self._held + audio.replace(NOISE, SILENCE)
        ready = max(0, len(sound) - HELD_BYTES)
        self._held = sound[ready:]
        return sound[:ready]

    def flush(self) -> bytes:
        held, self._held = self._held, b""
        return held


def script(field: str | None = None, hush: Hush | None = None) -> Script:
    s = Script(rules=Rules(noise=hush or Hush()))
    if field:
        reduce(s, field)
    return s


def reduce(s: Script, field: str | None, **more: object) -> list[str]:
    wanted = {"type": field} if field else None
    return s.client(
        "session.update", session={"type": "realtime", "audio": {"input": {"noise_reduction": wanted, **more}}}
    )


def started(s: Script) -> list[object]:
    return [e["audio_start_ms"] for e in s.events() if e["type"] == "input_audio_buffer.speech_started"]


def test_the_detector_hears_the_filtered_sound() -> None:
    loud, hushed = script(), script("near_field")
    for s in (loud, hushed):
        s.hear(960, NOISE)
    assert started(loud)
    assert not started(hushed)


def test_speech_begins_where_it_began() -> None:
    s = script("near_field")
    s.hear(960, NOISE)
    s.hear(320, SPEECH)
    assert started(s) == [960 - 300]


@pytest.mark.parametrize("field", ["near_field", "far_field"])
def test_the_field_is_handed_on_and_shown(field: str) -> None:
    hush = Hush()
    s = script(field, hush)
    assert hush.opened == [field]
    assert s.events()[-1]["session"]["audio"]["input"]["noise_reduction"] == {"type": field}
    reduce(s, field, turn_detection=None)
    assert hush.opened == [field]


def test_an_item_is_what_was_heard_and_all_of_it() -> None:
    s = script("near_field", Hush())
    reduce(s, "near_field", turn_detection=None)
    s.hear(100, SPEECH)
    s.hear(100, NOISE)
    s.client("input_audio_buffer.commit")
    item = s.events()[-1]["item"]
    s.client("conversation.item.retrieve", item_id=item["id"])
    assert s.events()[-1]["item"]["content"][0]["audio"] == b64encode(pcm(100, SPEECH) + pcm(100)).decode()
    assert s.machine.audio_ledger().buffered_bytes == 0


def test_switching_in_the_middle_of_speech_loses_nothing() -> None:
    s = script("near_field")
    for field in (None, "far_field", "near_field"):
        s.hear(320, SPEECH)
        reduce(s, field)
    s.hear(320, SPEECH)
    s.hear(960, SILENCE)
    assert started(s) == [0]
    stopped = next(e for e in s.events() if e["type"] == "input_audio_buffer.speech_stopped")
    assert stopped["audio_end_ms"] == pytest.approx(4 * 320 + 200, abs=32)
    s.client("conversation.item.retrieve", item_id=stopped["item_id"])
    sound = s.events()[-1]["item"]["content"][0]["audio"]
    assert len(sound) == pytest.approx(stopped["audio_end_ms"] * 64, abs=32 * 64)


STEP = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 4_000), st.sampled_from([SPEECH, SILENCE, NOISE])),
    st.tuples(st.just("reduce"), st.sampled_from([None, "near_field", "far_field"])),
    st.tuples(st.just("manual"), st.booleans()),
    st.sampled_from([("input_audio_buffer.commit",), ("input_audio_buffer.clear",)]),
)


def play(steps: list[tuple[Any, ...]], cuts: list[int]) -> tuple[Script, int]:
    """One session of these steps; sound arrives in chunks of these sizes. Returns it and the bytes that it got."""
    s, sent = script(), 0
    for step in steps:
        match step:
            case ("append", size, sound):
                data, at = sound * (2 * size), 0
                for cut in [*cuts, len(data)]:
                    s.client("input_audio_buffer.append", audio=b64encode(data[at : at + cut]).decode())
                    at += cut
                sent += len(data)
            case ("reduce", field):
                reduce(s, field)
            case ("manual", manual):
                detection = None if manual else {"type": "server_vad"}
                s.client(
                    "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
                )
            case (kind,):
                s.client(kind)
    return s, sent


@given(st.lists(STEP, max_size=25), st.lists(st.integers(0, 3_000), max_size=3))
def test_every_byte_is_accounted_for_and_chunking_is_invisible(steps: list[tuple[Any, ...]], cuts: list[int]) -> None:
    (s, sent), (other, _) = play(steps, cuts), play(steps, [])
    assert s.events() == other.events()
    for each in (s, other):
        reduce(each, None)
        ledger = each.machine.audio_ledger()
        assert ledger.appended_bytes == sent
        assert sent == ledger.committed_bytes + ledger.cleared_bytes + ledger.buffered_bytes


def test_a_server_without_it_says_what_is_missing_and_lives_on() -> None:
    s = Script()
    assert reduce(s, "near_field") == ["error"]
    error = s.events()[-1]["error"]
    assert error["param"] == "session.audio.input.noise_reduction"
    assert error["code"] == "invalid_value"
    assert "pip install 'duologue[noise]'" in error["message"]
    assert reduce(s, None) == ["session.updated"]


def test_a_session_cannot_begin_with_what_is_missing() -> None:
    start = default_session(session_id="sess_1", model="m", now_s=0)
    listening = convert({"input": {"noise_reduction": {"type": "far_field"}}}, Audio)
    with pytest.raises(ProtocolError, match="noise"):
        Script(start=updated(start, RealtimeSession(audio=listening), has_spoken=False))


def test_without_the_engine_a_connection_survives_the_refusal() -> None:
    async def story() -> None:
        async with serving(RealtimeServer(simple_engines())) as url, calling(url) as caller:
            listening = {"input": {"noise_reduction": {"type": "near_field"}}}
            await caller.send("session.update", session={"type": "realtime", "audio": listening})
            error = (await caller.until("error"))[-1]["error"]
            assert error["param"] == "session.audio.input.noise_reduction"
            await caller.configure(instructions="Still here.")

    asyncio.run(story())


class Slow(Hush):
    """A reducer that writes down how much sound it was given at a time."""

    def __init__(self, log: list[int | str]) -> None:
        super().__init__()
        self._log = log

    def open(self, field: Field) -> HushFilter:
        log = self._log

        class Filter(HushFilter):
            def feed(self, audio: bytes) -> bytes:
                log.append(len(audio))
                return super().feed(audio)

        return Filter()


@pytest.mark.parametrize(("wire", "wire_bytes"), [("audio/pcm", 48_000), ("audio/pcmu", 8_000)])
def test_others_are_served_while_minutes_of_sound_are_filtered(wire: str, wire_bytes: int) -> None:
    async def story() -> None:
        log: list[int | str] = []
        over: list[bool] = []
        engines = replace(simple_engines(), noise=Slow(log))
        async with serving(RealtimeServer(engines)) as url, calling(url) as long, calling(url) as other:
            listening = {"noise_reduction": {"type": "near_field"}, "turn_detection": None, "format": {"type": wire}}
            if wire == "audio/pcm":
                listening["format"] = {"type": wire, "rate": 24_000}
            await long.configure(audio={"input": listening})

            async def chat() -> None:
                while not over:
                    await other.configure(instructions="Me too.")
                    log.append("served")

            chatting = asyncio.create_task(chat(), name="chat")
            await long.send("input_audio_buffer.append", audio=b64encode(bytes(300 * wire_bytes)).decode())
            await long.send("input_audio_buffer.commit")
            await long.until("conversation.item.done")
            over.append(True)
            await chatting
            fed = [entry for entry in log if isinstance(entry, int)]
            assert sum(fed) == 300 * 48_000
            assert max(fed) == 48_000
            at = [place for place, entry in enumerate(log) if isinstance(entry, int)]
            assert "served" in log[at[0] : at[-1]]

    asyncio.run(story())


def in_white_noise(name: str) -> bytes:
    """A sentence 25 dB above white noise that began 1.5 s before it, and silence of the same kind after it."""
    wav = parse_wav((CLIPS / f"{name}.wav").read_bytes())
    speech = numpy.frombuffer(resample(wav.mono(), wav.spec.rate_hz, 24_000), "<i2").astype(float)
    clean = numpy.concatenate([numpy.zeros(36_000), speech, numpy.zeros(24_000)])
    level = numpy.sqrt(numpy.mean(speech**2)) * 10 ** (-25 / 20)
    sound = clean + numpy.random.default_rng(7).normal(0, level, len(clean))
    return numpy.rint(sound).clip(-32_768, 32_767).astype("<i2").tobytes()


@pytest.mark.skipif(not installed(), reason="the extra `noise` has no build for this system")
def test_a_question_in_noise_is_understood_with_it_and_not_without() -> None:
    async def story() -> None:
        names = ("vad", "stt", "llm", "tts", "noise")
        engines = Engines(**{name: registry.create(name) for name in names})
        async with serving(RealtimeServer(engines)) as url:
            heard = []
            for field in (None, {"type": "far_field"}):
                async with calling(url) as caller:
                    vad = {"type": "server_vad", "silence_duration_ms": 500}
                    listening = {"turn_detection": vad, "transcription": {"model": "any"}, "noise_reduction": field}
                    await caller.configure(tools=[TOOL], audio={"input": listening})
                    sound = in_white_noise("weather_in_tokyo")
                    for at in range(0, len(sound), 4_800):
                        audio = b64encode(sound[at : at + 4_800]).decode()
                        await caller.send("input_audio_buffer.append", audio=audio)
                    events = await caller.until("conversation.item.input_audio_transcription.completed")
                    heard.append(events[-1]["transcript"])
            assert heard[0] != "what is the weather in tokyo"
            assert heard[1] == "what is the weather in tokyo"

    asyncio.run(story())


TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Retrieves the weather of a place.",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
