from __future__ import annotations

from array import array

import pytest

from duologue.client.payloads import content_part, pcm_bytes
from duologue.errors import ConfigError
from duologue.protocol.items import InputAudio, InputImage, InputText


def test_parts_by_their_names_of_today_and_of_2024() -> None:
    assert content_part({"type": "text", "text": "a"}) == InputText(text="a")
    assert content_part({"type": "input_audio", "audio": "AQA="}) == InputAudio(audio=b"\1\0")
    assert content_part({"type": "audio", "audio": array("h", [1])}) == InputAudio(audio=b"\1\0")
    assert content_part({"type": "input_image", "image_url": "data:x"}) == InputImage(image_url="data:x")
    with pytest.raises(ConfigError, match="video"):
        content_part({"type": "video"})


def test_sound_in_any_shape() -> None:
    numpy = pytest.importorskip("numpy")
    assert pcm_bytes(numpy.array([1, 2], dtype="int16")[::-1]) == b"\2\0\1\0"
    assert pcm_bytes(memoryview(b"ab")) == b"ab"
    with pytest.raises(TypeError):
        pcm_bytes(numpy.zeros(2, dtype="float32"))
