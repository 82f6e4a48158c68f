from __future__ import annotations

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from duologue.access.redaction import HIDDEN, loggable, redacted


def test_sound_is_told_by_its_size() -> None:
    audio = base64.b64encode(bytes(4800)).decode()
    line = loggable(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
    assert line == '{"type":"input_audio_buffer.append","audio":"[4800 bytes of sound]"}'
    assert (
        json.loads(loggable(json.dumps({"type": "response.output_text.delta", "delta": "hello"})))["delta"] == "hello"
    )


def test_keys_do_not_show() -> None:
    event = {
        "type": "session.update",
        "session": {
            "instructions": "the key is sk-proj-abcdef123456, Bearer abcdef123456",
            "tools": [{"type": "mcp", "authorization": "hunter2", "headers": {"X-Key": "hunter3"}}],
        },
        "client_secret": {"value": "ek_abcdef123456"},
    }
    line = loggable(json.dumps(event))
    for secret in ("abcdef", "hunter"):
        assert secret not in line
    assert "sk-" in line
    assert json.loads(line)["session"]["tools"][0]["authorization"] == HIDDEN
    assert redacted("openai-insecure-api-key.topsecret, realtime") == f"openai-insecure-api-key.{HIDDEN}, realtime"


def test_long_frames_are_cut() -> None:
    assert loggable(json.dumps({"type": "x", "text": "ü" * 100}), 50).endswith("[122 characters]")


@given(st.binary() | st.text())
def test_anything_can_be_logged(frame: bytes | str) -> None:
    assert isinstance(loggable(frame), str)
