"""G.711 at the edge (duologue.server.formats): exact lengths, invisible chunks, sound that stays what it was."""

from __future__ import annotations

import tracemalloc
from base64 import b64decode
from math import pi, sin

import pytest
from script import Script, pcm

from duologue.audio.g711 import alaw_encode, ulaw_encode
from duologue.audio.pcm16 import pack, rms
from duologue.protocol.session import AudioFormat, PcmaFormat, PcmFormat, PcmuFormat
from duologue.server import inputs
from duologue.server.formats import Decoder, Encoder, decoded, encoded

ULAW, ALAW, PCM = PcmuFormat(), PcmaFormat(), PcmFormat()


def tone(hz: int, ms: int = 500, rate: int = 24_000) -> bytes:
    return pack(round(10_000 * sin(2 * pi * hz * n / rate)) for n in range(ms * rate // 1000))


@pytest.mark.parametrize("audio_format", [ULAW, ALAW])
def test_a_millisecond_is_a_millisecond_both_ways(audio_format: AudioFormat) -> None:
    assert len(encoded(pcm(137), audio_format)) == 137 * 8
    assert len(decoded(bytes(137 * 8), audio_format)) == 137 * 48


@pytest.mark.parametrize("audio_format", [ULAW, ALAW, PCM])
@pytest.mark.parametrize("size", [1, 2, 7, 160, 1001])
def test_chunking_is_invisible(audio_format: AudioFormat, size: int) -> None:
    sound = tone(700, 120)
    wire = encoded(sound, audio_format)
    decoder, encoder = Decoder(audio_format), Encoder(audio_format)
    parts = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert b"".join(map(decoder.feed, parts)) == decoded(wire, audio_format)
    even = 2 * size
    parts = [sound[start : start + even] for start in range(0, len(sound), even)]
    assert b"".join(map(encoder.feed, parts)) == wire


@pytest.mark.parametrize("hz", [300, 1000, 2500])
def test_speech_passes(hz: int) -> None:
    there_and_back = decoded(encoded(tone(hz), ULAW), ULAW)
    assert rms(there_and_back) == pytest.approx(rms(tone(hz)), rel=0.1)


def test_what_eight_kilohertz_cannot_hold_is_filtered_out() -> None:
    assert rms(decoded(encoded(tone(6000), ULAW), ULAW)) < 0.02 * rms(tone(6000))
    assert rms(decoded(encoded(pack([8000] * 4800), ALAW), ALAW)) == pytest.approx(8000 / 32768, rel=0.03)


def test_a_long_clip_takes_little_more_than_its_own_size() -> None:
    tracemalloc.start()
    sound = decoded(bytes(1_000_000), ULAW)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(sound) == 6_000_000
    assert peak < 3 * len(sound)


FORMATS = {"audio/pcmu": ulaw_encode, "audio/pcma": alaw_encode}


def phone(kind: str) -> Script:
    both = {"format": {"type": kind}}
    return Script(audio={"input": {**both, "turn_detection": None}, "output": both})


@pytest.mark.parametrize("kind", FORMATS)
def test_a_phone_call_in_its_own_format(kind: str) -> None:
    s = phone(kind)
    for _ in range(25):
        s.client("input_audio_buffer.append", audio=bytes(160))
    assert s.machine.audio_ledger().appended_bytes == len(pcm(500))
    s.client("input_audio_buffer.commit")
    s.client("conversation.item.retrieve", item_id="item_1")
    assert len(b64decode(s.events()[-1]["item"]["content"][0]["audio"])) == 500 * 8
    s.give(inputs.TranscriptReady(item_id="item_1", text="hello"))
    s.client("response.create")
    assert s.events()[-1]["response"]["audio"]["output"]["format"] == {"type": kind}
    for _ in range(5):
        s.give(inputs.VoiceAudio(response_id="resp_1", audio=pcm(250)))
    s.give(inputs.VoiceMark(response_id="resp_1", characters=0))
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))
    deltas = [b64decode(e["delta"]) for e in s.events() if e["type"] == "response.output_audio.delta"]
    assert sum(map(len, deltas)) == 1250 * 8
    assert max(map(len, deltas)) == 200 * 8
    item_id = s.events()[-2]["response"]["output"][0]["id"]
    assert s.client("conversation.item.truncate", item_id=item_id, audio_end_ms=1251) == ["error"]
    s.client("conversation.item.truncate", item_id=item_id, audio_end_ms=100)
    s.client("conversation.item.retrieve", item_id=item_id)
    assert len(b64decode(s.events()[-1]["item"]["content"][0]["audio"])) == 100 * 8


def test_a_clip_of_the_client_s_is_in_the_session_s_format() -> None:
    s = phone("audio/pcmu")
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": bytes(800)}]}
    s.client("conversation.item.create", item=item)
    sound = s.machine.conversation.sound("item_1")
    assert sound is not None
    assert len(sound.audio) == len(pcm(100))


def test_the_format_may_change_in_the_middle_and_one_response_may_have_its_own() -> None:
    s = phone("audio/pcmu")
    s.client("input_audio_buffer.append", audio=bytes(800))
    update = {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}}
    s.client("session.update", session=update)
    s.client("input_audio_buffer.append", audio=pcm(100))
    assert s.machine.audio_ledger().buffered_bytes == len(pcm(200))
    own = {"conversation": "none", "input": [], "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}}}}
    s.client("response.create", response=own)
    s.give(inputs.VoiceAudio(response_id="resp_1", audio=pcm(100)))
    assert len(b64decode(s.events()[-1]["delta"])) == len(pcm(100))
