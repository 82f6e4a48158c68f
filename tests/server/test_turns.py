"""When the user may interrupt (duologue.server.turns): a word does, a click or a breath does not."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import pytest
from script import SILENCE, SPEECH, Script, pcm

from duologue.audio.resample import resample
from duologue.engines.silero import SileroVad
from duologue.server import inputs
from duologue.server.rules import Rules
from duologue.server.turn import BARGE_IN_MS

CLIPS = Path(__file__).parent.parent / "clips"
STARTED = "input_audio_buffer.speech_started"


def start_talking(s: Script, audio_ms: int = 1000) -> None:
    s.client("response.create")
    s.give(inputs.ModelText(response_id="resp_1", text="Hello there."))
    s.give(inputs.VoiceAudio(response_id="resp_1", audio=pcm(audio_ms)))


def done_talking(s: Script) -> None:
    s.give(inputs.ModelDone(response_id="resp_1", reason="stop"))


def test_a_short_sound_starts_a_turn_in_quiet_but_does_not_interrupt() -> None:
    assert STARTED in Script().hear(96, SPEECH)
    s = Script()
    start_talking(s)
    assert STARTED not in s.hear(96, SPEECH) + s.hear(320, SILENCE)
    out = s.hear(320, SPEECH)
    assert out.index(STARTED) < out.index("response.done")
    assert s.events()[-2]["response"]["status_details"]["reason"] == "turn_detected"


def test_speech_over_the_assistant_still_begins_where_it_began() -> None:
    s = Script()
    start_talking(s)
    s.hear(960, SILENCE)
    s.hear(320, SPEECH)
    started = next(e for e in s.events() if e["type"] == STARTED)
    assert started["audio_start_ms"] == 960 - 300


def test_a_consonant_is_no_pause() -> None:
    s = Script()
    start_talking(s)
    out = s.hear(128, SPEECH) + s.hear(64, SILENCE) + s.hear(64, SPEECH)
    assert STARTED in out


def test_the_assistant_is_heard_as_long_as_its_sound_is_played() -> None:
    s = Script()
    start_talking(s, audio_ms=2000)
    done_talking(s)
    s.now_ms = 1999
    assert STARTED not in s.hear(96, SPEECH) + s.hear(320, SILENCE)
    s.now_ms = 2000
    assert STARTED in s.hear(96, SPEECH)


def test_a_client_that_cuts_the_sound_off_has_gone_quiet() -> None:
    s = Script()
    start_talking(s, audio_ms=2000)
    done_talking(s)
    s.client("conversation.item.truncate", item_id="item_1", audio_end_ms=100)
    assert STARTED in s.hear(96, SPEECH)


class RealCall:
    """A session whose sound is judged by the embedded detector."""

    def __init__(self) -> None:
        vad = SileroVad()
        asyncio.run(vad.start())
        self.script = Script(rules=Rules(frame_ms=vad.frame_ms))
        self._stream = vad.open()

    def hear(self, clip: str) -> list[str]:
        with wave.open(str(CLIPS / f"{clip}.wav")) as file:
            sound = resample(file.readframes(file.getnframes()), file.getframerate(), 24_000)
        happened = inputs.SpeechFrames(probabilities=tuple(self._stream.feed(sound)))
        self.script.machine.handle(inputs.Tick(), 0)
        # The buffer must hold the sound that is judged; the script's own detector hears silence in it.
        self.script.client("input_audio_buffer.append", audio=bytes(len(sound)))
        return self.script.give(happened)


@pytest.mark.parametrize("clip", ["click", "breath", "noise"])
def test_clicks_and_breaths_do_not_interrupt(clip: str) -> None:
    call = RealCall()
    start_talking(call.script)
    assert STARTED not in call.hear(clip)
    assert call.script.machine.active_response_id == "resp_1"


@pytest.mark.parametrize("clip", ["hello", "stop", "weather_in_paris"])
def test_a_word_interrupts(clip: str) -> None:
    call = RealCall()
    start_talking(call.script)
    call.hear(clip)
    done = next(e for e in call.script.events() if e["type"] == "response.done")
    assert done["response"]["status_details"]["reason"] == "turn_detected"
    assert BARGE_IN_MS <= 200
