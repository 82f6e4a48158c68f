from __future__ import annotations

from array import array

import pytest

from duologue.client.payloads import content_part
from duologue.errors import ConfigError
from duologue.protocol.items import InputAudio, InputImage, InputText


def test_parts_by_their_names_of_today_and_of_2024() -> None:
    assert content_part({"type": "text", "text": "a"}) == InputText(text="a")
    assert content_part({"type": "input_audio", "audio": "AQA="}) == InputAudio(audio=b"\1\0")
    assert content_part({"type": "audio", "audio": array("h", [1])}) == InputAudio(audio=b"\1\0")
    assert content_part({"type": "input_image", "image_url": "data:x"}) == InputImage(image_url="data:x")
    with pytest.raises(TypeError):
        content_part({"type": "input_audio", "audio": array("f", [1.0])})
    with pytest.raises(ConfigError, match="video"):
        content_part({"type": "video"})
