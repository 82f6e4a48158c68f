from __future__ import annotations

import math

import pytest

from duologue.audio.g711 import alaw_encode, ulaw_encode
from duologue.audio.pcm16 import pack, rms
from duologue.audio.wav import parse_wav
from duologue.client.items import ConversationItem
from duologue.protocol.items import FunctionCallOutput, InputAudio, Message, OutputAudio, OutputText
from duologue.protocol.session import AudioFormat, PcmaFormat, PcmFormat, PcmuFormat

TONE = pack(round(8000 * math.sin(n / 5)) for n in range(800))


def test_a_newer_version_never_wipes_what_came_before() -> None:
    item = ConversationItem("u")
    item.part(0).transcript.append("heard early")
    item.take(Message(id="u", role="user", status="completed", content=(InputAudio(transcript=None),)))
    assert (item.role, item.status, item.formatted.transcript) == ("user", "completed", "heard early")
    assert item.spoken


def test_parts_are_joined_in_their_order() -> None:
    item = ConversationItem("a")
    item.take(Message(id="a", role="assistant", content=(OutputText(text="one "), OutputAudio(transcript="three"))))
    item.part(2).text.append("two")
    item.part(1).add_audio(b"\1\0")
    item.part(1).add_audio(b"\2\0")
    assert (item.formatted.text, item.formatted.transcript) == ("one two", "three")
    assert item.formatted.audio == b"\1\0\2\0"


def test_outputs_have_no_tool_and_no_file() -> None:
    item = ConversationItem("o")
    item.take(FunctionCallOutput(id="o", call_id="c", output="42"))
    assert (item.type, item.call_id, item.formatted.output) == ("function_call_output", "c", "42")
    assert item.formatted.tool is None
    assert item.formatted.file is None
    assert "42" in repr(item)


@pytest.mark.parametrize(
    ("sound", "codes", "rate_hz"),
    [(PcmuFormat(), ulaw_encode(TONE), 8000), (PcmaFormat(), alaw_encode(TONE), 8000), (PcmFormat(), TONE, 24_000)],
)
def test_the_file_is_pcm16_whatever_the_session_speaks(sound: AudioFormat, codes: bytes, rate_hz: int) -> None:
    item = ConversationItem("a", sound)
    item.part(0).add_audio(codes)
    wav = parse_wav(item.formatted.file or b"")
    assert wav.spec.rate_hz == rate_hz
    assert len(wav.data) == len(TONE)
    assert rms(wav.data) == pytest.approx(rms(TONE), rel=0.02)
