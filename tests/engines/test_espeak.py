from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.engines.base import VoiceSettings
from duologue.engines.espeak import VOICES, EspeakTts, language_of, pieces


async def _spoken(*texts: tuple[str, VoiceSettings]) -> list[bytes]:
    engine = EspeakTts()
    await engine.start()
    try:
        return [b"".join([chunk async for chunk in engine.speak(text, settings)]) for text, settings in texts]
    finally:
        await engine.close()


def spoken(*texts: tuple[str, VoiceSettings]) -> list[bytes]:
    return asyncio.run(_spoken(*texts))


def test_voices_differ() -> None:
    sounds = spoken(*(("Good morning.", VoiceSettings(voice=voice)) for voice in VOICES))
    assert len(set(sounds)) == len(VOICES) == 10


def test_faster_is_shorter() -> None:
    text = "This is a sentence of some length."
    slow, usual, fast = spoken(*((text, VoiceSettings(speed=speed)) for speed in (0.25, 1.0, 1.5)))
    assert len(slow) > 1.3 * len(usual) > 1.6 * len(fast)


def test_korean_is_spoken_unasked() -> None:
    text = "안녕하세요. 반갑습니다."
    by_letters, by_setting, as_english = spoken(
        (text, VoiceSettings()), (text, VoiceSettings(language="ko")), (text, VoiceSettings(language="en"))
    )
    # The worker starts each text where the last one left its random noise, so compare lengths.
    assert len(by_letters) == pytest.approx(len(by_setting), rel=0.005)
    assert abs(len(as_english) - len(by_letters)) > 0.02 * len(by_letters)


def test_unknown_names_still_speak() -> None:
    assert all(spoken(("Hello.", VoiceSettings(voice="nobody", language="xx")), ("Hi.\0\x01<b>", VoiceSettings())))


@pytest.mark.parametrize(
    ("text", "language", "code"),
    [
        ("hello", None, "en-us"),
        ("서울 weather", None, "ko"),
        ("こんにちは", None, "ja"),
        ("你好", None, "cmn"),
        ("hallo", "de-AT", "de"),
        ("hello", "en_GB", "en-us"),
    ],
)
def test_language(text: str, language: str | None, code: str) -> None:
    assert language_of(text, language) == code


@given(st.text(max_size=2_000))
def test_pieces_lose_no_word(text: str) -> None:
    cut = pieces(text)
    assert all(0 < len(piece) <= 300 for piece in cut)
    kept = "".join("".join(cut).split())
    spaced = "".join(" " if ord(letter) < 32 or ord(letter) == 127 else letter for letter in text)
    assert kept == "".join(spaced.encode("utf-8", "replace").decode().split())
