"""Who gets in, in which dialect and how: from the handshake alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from duologue.access.secrets import seal
from duologue.protocol.session import RealtimeSession, TranscriptionSession
from duologue.server.admission import Admitted, Door, Handshake, Refused, admit, key_of, masked

SIGNING_KEY = b"k" * 32
OPEN = Door(signing_key=SIGNING_KEY, default_model="scripted")
LOCKED = Door(signing_key=SIGNING_KEY, api_keys=("sk-one", "sk-two"), models=("a", "b"), default_model="a")


def shake(
    model: str | None = "a", *subprotocols: str, query: dict[str, str] | None = None, **headers: str
) -> Handshake:
    asked = {} if model is None else {"model": model}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Handshake(headers=named, query={**asked, **(query or {})}, subprotocols=subprotocols)


def secret(session: Any, expires_at: int = 100, key: bytes = SIGNING_KEY) -> str:
    return seal(json.encode(session), key=key, nonce=bytes(16), expires_at=expires_at)


def refused(handshake: Handshake, door: Door, now_s: int = 0) -> tuple[int, str, str]:
    decision = admit(handshake, door, now_s)
    assert isinstance(decision, Refused), decision
    return decision.close_code, decision.close_reason, decision.error.message


@pytest.mark.parametrize(
    ("handshake", "dialect"),
    [
        (shake(), "ga"),
        (shake(openai_beta="realtime=v1"), "beta"),
        (shake(openai_beta="assistants=v2, realtime=v1"), "beta"),
        (shake(openai_beta="assistants=v2"), "ga"),
        (shake(openai_beta="realtime=v10"), "ga"),
        (shake("a", "realtime", "openai-insecure-api-key.x", "openai-beta.realtime-v1"), "beta"),
        (shake("a", "realtime", "openai-insecure-api-key.x", "openai-agents-sdk.0.20.0"), "ga"),
    ],
)
def test_the_value_names_the_dialect(handshake: Handshake, dialect: str) -> None:
    assert handshake.dialect == dialect


def test_the_subprotocol_is_chosen_where_it_is_offered() -> None:
    assert shake("a", "openai-insecure-api-key.x", "realtime").subprotocol == "realtime"
    assert shake("a", "other").subprotocol is None


@pytest.mark.parametrize(
    ("handshake", "key"),
    [
        (shake(), None),
        (shake(authorization="Bearer sk-one"), "sk-one"),
        (shake(authorization="bearer  sk-one "), "sk-one"),
        (shake(authorization="Bearer "), None),
        (shake(authorization="Basic abc"), None),
        (shake(api_key="sk-one"), "sk-one"),
        (shake("a", "realtime", "openai-insecure-api-key.sk-one"), "sk-one"),
        (shake("a", "openai-insecure-api-key."), None),
    ],
)
def test_where_a_key_is_shown(handshake: Handshake, key: str | None) -> None:
    assert key_of(handshake) == key


@pytest.mark.parametrize("key", [None, "sk-anything", "null", "ek_not_of_this_server"])
def test_without_keys_any_key_or_none_does(key: str | None) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    assert admit(shake("x", **headers), OPEN, 0) == Admitted(model="x", intent="conversation")


@pytest.mark.parametrize("key", LOCKED.api_keys)
def test_each_configured_key_opens(key: str) -> None:
    assert isinstance(admit(shake(authorization=f"Bearer {key}"), LOCKED, 0), Admitted)


def test_keys_that_do_not_open() -> None:
    assert refused(shake(), LOCKED) == (
        3000,
        "invalid_request_error",
        "Missing bearer or basic authentication in header",
    )
    for key in ("null", "sk-on", "sk-onee", "ключ", "ek_AAAA", secret({"type": "realtime"}, key=b"another")):
        code, reason, message = refused(shake(authorization=f"Bearer {key}"), LOCKED)
        assert (code, reason) == (3000, "invalid_request_error.invalid_api_key")
        assert message.startswith("Incorrect API key provided")


@pytest.mark.parametrize("door", [OPEN, LOCKED])
def test_a_client_secret_brings_its_settings_until_it_expires(door: Door) -> None:
    session = RealtimeSession(model="b", instructions="Be brief.")
    shown = shake("a", "realtime", f"openai-insecure-api-key.{secret(session)}")
    assert admit(shown, door, 99) == Admitted(model="b", intent="conversation", initial=session)
    assert refused(shown, door, 100)[:2] == (3000, "invalid_request_error.invalid_api_key")


def test_a_client_secret_without_a_model_takes_the_address_s_or_the_default() -> None:
    bearer = f"Bearer {secret(RealtimeSession())}"
    for model, expected in (("b", "b"), (None, "a")):
        decision = admit(shake(model, authorization=bearer), LOCKED, 0)
        assert isinstance(decision, Admitted)
        assert decision.model == expected


def test_a_transcription_needs_no_model() -> None:
    assert admit(shake(None, query={"intent": "transcription"}), OPEN, 0) == Admitted(model="", intent="transcription")
    session = TranscriptionSession()
    decision = admit(shake(None, authorization=f"Bearer {secret(session)}"), LOCKED, 0)
    assert decision == Admitted(model="", intent="transcription", initial=session)


@pytest.mark.parametrize(
    ("handshake", "reason"),
    [
        (shake(None), "missing_model"),
        (shake(""), "missing_model"),
        (shake("c"), "invalid_model"),
        (shake(None, query={"intent": "singing"}), "invalid_value"),
        (shake("gpt-realtime-translate"), "translation_not_supported"),
        (Handshake(headers={}, query={"model": "a"}, translates=True), "translation_not_supported"),
    ],
)
def test_what_cannot_be_had_is_named(handshake: Handshake, reason: str) -> None:
    door = Door(signing_key=SIGNING_KEY, models=("a", "b"))
    assert refused(handshake, door)[:2] == (4000, f"invalid_request_error.{reason}")


def test_models_are_free_unless_they_are_listed() -> None:
    assert isinstance(admit(shake("gpt-4o-realtime-preview-2024-10-01"), OPEN, 0), Admitted)
    assert refused(shake("x" * 1000), OPEN)[1].endswith("invalid_model")
    assert refused(shake("c", authorization="Bearer sk-one"), LOCKED)[2] == (
        'Model "c" is not supported in realtime mode.'
    )


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("http://localhost:5173", True),
        ("http://127.0.0.1", True),
        ("https://[::1]:3000", True),
        ("https://example.com", False),
        ("http://localhost.example.com", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_without_keys_only_pages_of_this_machine_get_in(origin: str, welcome: bool) -> None:
    assert isinstance(admit(shake(origin=origin), OPEN, 0), Admitted) is welcome
    assert isinstance(admit(shake(origin=origin, authorization="Bearer sk-one"), LOCKED, 0), Admitted)


def test_a_refusal_does_not_repeat_the_key() -> None:
    key = "sk-proj-0123456789abcdefghijWXYZ"
    assert masked(key) == "sk-***WXYZ"
    assert masked("secret") == "se***"
    assert masked("null") == "null"
    assert key not in refused(shake(authorization=f"Bearer {key}"), LOCKED)[2]


@given(
    st.dictionaries(st.sampled_from(["authorization", "api-key", "origin", "openai-beta"]), st.text()),
    st.dictionaries(st.sampled_from(["model", "intent", "call_id"]), st.text()),
    st.lists(st.one_of(st.text(), st.sampled_from(["realtime", "openai-insecure-api-key.sk-one"]))),
    st.sampled_from([OPEN, LOCKED]),
)
def test_any_handshake_is_answered(
    headers: dict[str, str], query: dict[str, str], subprotocols: list[str], door: Door
) -> None:
    handshake = Handshake(headers=headers, query=query, subprotocols=tuple(subprotocols))
    decision = admit(handshake, door, 0)
    assert handshake.dialect in ("ga", "beta")
    if isinstance(decision, Refused):
        assert decision.close_code in (3000, 4000)
        assert len(decision.close_reason.encode()) <= 123
        assert len(decision.error.message) < 1000
    else:
        assert not door.api_keys or "sk-one" in "".join([*headers.values(), *subprotocols])
