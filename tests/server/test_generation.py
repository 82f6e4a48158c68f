"""Model and voice side by side, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from wire import CharacterTts, EchoLlm

from duologue.engines.base import LlmDone, LlmEvent, LlmRequest, TextDelta, ToolCallDelta, VoiceSettings
from duologue.errors import EngineError
from duologue.protocol.items import InputText, Message
from duologue.server import inputs
from duologue.server.generation import generate

REQUEST = LlmRequest(items=(Message(role="user", content=(InputText(text="hello"),)),))


class Replay(EchoLlm):
    def __init__(self, events: list[LlmEvent]) -> None:
        super().__init__()
        self.events = events

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        for event in self.events:
            yield event


class MuteTts(CharacterTts):
    async def speak(self, text: str, settings: VoiceSettings) -> AsyncIterator[bytes]:
        raise EngineError("mute", "lost its voice", code="engine_crashed")
        yield b""


def produced(llm: EchoLlm, tts: CharacterTts, voice: VoiceSettings | None) -> list[inputs.ModelOutput]:
    out: list[inputs.ModelOutput] = []

    async def post(output: inputs.ModelOutput) -> None:
        out.append(output)

    async def run() -> None:
        await asyncio.wait_for(generate("r", REQUEST, voice, llm=llm, tts=tts, post=post), 10)

    asyncio.run(run())
    return out


def test_everything_said_is_marked_and_spoken() -> None:
    out = produced(EchoLlm(), CharacterTts(), VoiceSettings())
    text = "".join(o.text for o in out if isinstance(o, inputs.ModelText))
    assert text == "You said hello."
    assert sum(o.characters for o in out if isinstance(o, inputs.VoiceMark)) == len(text)
    assert sum(len(o.audio) for o in out if isinstance(o, inputs.VoiceAudio)) == 480 * len(text)
    assert isinstance(out[-1], inputs.ModelDone)


def test_a_silent_response_has_no_sound() -> None:
    assert not any(isinstance(o, inputs.VoiceAudio) for o in produced(EchoLlm(), CharacterTts(), None))


def test_what_was_said_before_a_call_is_spoken_before_it() -> None:
    llm = Replay([TextDelta(text="let me see"), ToolCallDelta(index=0, name="look"), LlmDone()])
    kinds = [type(o).__name__ for o in produced(llm, CharacterTts(), VoiceSettings())]
    assert kinds == ["ModelText", "VoiceAudio", "VoiceMark", "ModelToolCall", "ModelDone"]


def test_a_voice_that_fails_fails_the_response() -> None:
    out = produced(EchoLlm(), MuteTts(), VoiceSettings())
    assert isinstance(out[-1], inputs.ModelFailed)
    assert out[-1].code == "engine_crashed"


class StuckLlm(EchoLlm):
    """Writes a word, then nothing."""

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        yield TextDelta(text="well")
        await asyncio.Event().wait()


class StuckTts(CharacterTts):
    """Begins to speak, then is silent."""

    async def speak(self, text: str, settings: VoiceSettings) -> AsyncIterator[bytes]:
        yield bytes(480)
        await asyncio.Event().wait()


@pytest.mark.parametrize(("llm", "tts"), [(StuckLlm(), CharacterTts()), (EchoLlm(), StuckTts())])
def test_an_engine_that_falls_silent_fails_the_response(llm: EchoLlm, tts: CharacterTts) -> None:
    out: list[inputs.ModelOutput] = []

    async def post(output: inputs.ModelOutput) -> None:
        out.append(output)

    async def run() -> None:
        await generate("r", REQUEST, VoiceSettings(), llm=llm, tts=tts, post=post, silence_s=0.05)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())
    assert isinstance(out[-1], inputs.ModelFailed)
    assert out[-1].code == "engine_timeout"
