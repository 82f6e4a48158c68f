"""Client secrets: what a request must say, and what it is answered with."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec import UNSET, json
from openai.types.realtime import ClientSecretCreateResponse

from duologue.access.secrets import Secret, unseal
from duologue.errors import ProtocolError
from duologue.protocol.session import (
    AnySession,
    Audio,
    AudioInput,
    AudioOutput,
    RealtimeSession,
    ServerVad,
    TranscriptionSession,
)
from duologue.server.config import default_session
from duologue.server.offers import Order, answer, beta_answer, make_key, read_beta_order, read_order

KEY = b"k" * 32


def body(**fields: Any) -> bytes:
    return json.encode(fields)


def test_nothing_asked_is_a_conversation_for_ten_minutes() -> None:
    for nothing in (b"", b"{}", body(session=None, expires_after=None)):
        assert read_order(nothing) == Order(session=RealtimeSession(), seconds=600)


def test_settings_and_time_are_as_asked() -> None:
    asked = {"type": "realtime", "model": "m", "audio": {"output": {"voice": "marin"}}}
    order = read_order(body(session=asked, expires_after={"anchor": "created_at", "seconds": 7200}))
    assert order == Order(
        session=RealtimeSession(model="m", audio=Audio(output=AudioOutput(voice="marin"))), seconds=7200
    )
    assert read_order(body(session={"type": "transcription"})).session == TranscriptionSession()


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (body(sesion={}), "unknown_parameter", "sesion"),
        (body(session={"model": "m"}), "missing_required_parameter", "session.type"),
        (body(session={"type": "singing"}), "invalid_value", "session.type"),
        (body(session={"type": "realtime", "voice": "x"}), "unknown_parameter", "session.voice"),
        (body(session={"type": "realtime", "instructions": 5}), "invalid_type", "session.instructions"),
        (body(session=5), "invalid_type", "session"),
        (body(expires_after=5), "invalid_type", "expires_after"),
        (body(expires_after={"seconds": 9}), "integer_below_min_value", "expires_after.seconds"),
        (body(expires_after={"seconds": 7201}), "integer_above_max_value", "expires_after.seconds"),
        (body(expires_after={"seconds": "60"}), "invalid_type", "expires_after.seconds"),
        (body(expires_after={"seconds": True}), "invalid_type", "expires_after.seconds"),
        (body(expires_after={"anchor": "now"}), "invalid_value", "expires_after.anchor"),
        (body(expires_after={"minutes": 1}), "unknown_parameter", "expires_after.minutes"),
    ],
)
def test_what_is_wrong_is_named(asked: bytes, code: str, param: str | None) -> None:
    with pytest.raises(ProtocolError) as error:
        read_order(asked)
    assert (error.value.code, error.value.param) == (code, param)


def test_the_beta_s_settings_are_the_body() -> None:
    asked = {"model": "m", "voice": "ash", "modalities": ["text"], "turn_detection": None, "temperature": 0.7}
    wish = {"expires_after": {"anchor": "created_at", "seconds": 30}}
    order = read_beta_order(body(**asked, client_secret=wish), transcribes=False)
    audio = Audio(input=AudioInput(turn_detection=None), output=AudioOutput(voice="ash"))
    assert order == Order(
        session=RealtimeSession(model="m", output_modalities=("text",), audio=audio), seconds=30, temperature=0.7
    )
    heard = read_beta_order(body(turn_detection={"type": "server_vad"}), transcribes=True)
    assert heard.session == TranscriptionSession(audio=Audio(input=AudioInput(turn_detection=ServerVad())))
    assert heard.seconds == 60


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        (body(output_modalities=["audio"]), "unknown_parameter", "output_modalities"),
        (body(turn_detection={"type": "psychic"}), "invalid_value", "turn_detection.type"),
        (body(input_audio_format="mp3"), "invalid_value", "input_audio_format"),
        (body(temperature=1.3), "decimal_above_max_value", "temperature"),
        (body(temperature=0.5), "decimal_below_min_value", "temperature"),
        (body(temperature="warm"), "invalid_type", "temperature"),
        (body(client_secret=5), "invalid_type", "client_secret"),
        (body(client_secret={"expires_after": {"seconds": 1}}), "integer_below_min_value",
         "client_secret.expires_after.seconds"),
    ],
)  # fmt: skip
def test_the_beta_s_mistakes_are_named_in_beta(asked: bytes, code: str, param: str) -> None:
    with pytest.raises(ProtocolError) as error:
        read_beta_order(asked, transcribes=False)
    assert (error.value.code, error.value.param) == (code, param)
    assert "session" not in error.value.message


def test_a_key_carries_what_was_asked_and_no_more() -> None:
    asked: AnySession = RealtimeSession(instructions="Speak like a pirate.")
    key = make_key(Order(session=asked, seconds=60), signing_key=KEY, nonce=bytes(16), now_s=1000)
    opened = unseal(key.value, key=KEY, now_s=1059)
    assert isinstance(opened, Secret)
    assert (key.expires_at, opened.expires_at) == (1060, 1060)
    assert json.decode(opened.payload, type=AnySession) == asked
    assert asked.tools is UNSET


def test_settings_too_long_for_a_header_are_refused() -> None:
    text = random.Random(0).randbytes(20_000).hex()
    order = Order(session=RealtimeSession(instructions=text), seconds=60)
    with pytest.raises(ProtocolError) as error:
        make_key(order, signing_key=KEY, nonce=bytes(range(16)), now_s=0)
    assert error.value.code == "session_too_large"


def test_the_answer_is_what_the_sdk_reads() -> None:
    key = make_key(Order(session=RealtimeSession(), seconds=60), signing_key=KEY, nonce=bytes(16), now_s=0)
    session = default_session(session_id="sess_1", model="m", now_s=0)
    read = ClientSecretCreateResponse.model_validate_json(answer(key, session), strict=True)
    assert (read.value, read.expires_at, read.session.type) == (key.value, 60, "realtime")


def test_the_beta_s_answer_is_flat_with_the_secret_inside() -> None:
    key = make_key(Order(session=RealtimeSession(), seconds=60), signing_key=KEY, nonce=bytes(16), now_s=0)
    session = default_session(session_id="sess_1", model="m", now_s=0)
    said = json.decode(beta_answer(key, session))
    assert said["temperature"] == 0.8
    assert json.decode(beta_answer(key, session, 1)) == {**said, "temperature": 1}
    assert said["client_secret"] == {"value": key.value, "expires_at": 60}
    assert (said["modalities"], said["voice"], said["input_audio_format"]) == (["text", "audio"], "alloy", "pcm16")
    assert "audio" not in said
    assert "type" not in said
