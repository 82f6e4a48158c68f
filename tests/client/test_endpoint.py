from __future__ import annotations

import pytest

from duologue.client.endpoint import ConnectionOptions, endpoint, is_azure, is_openai
from duologue.errors import ConfigError

NONE = ConnectionOptions()


@pytest.mark.parametrize(
    ("url", "model", "options", "whole"),
    [
        ("wss://api.openai.com/v1/realtime", None, NONE, "wss://api.openai.com/v1/realtime?model=gpt-realtime"),
        ("https://api.openai.com/v1", "m", NONE, "https://api.openai.com/v1/realtime?model=m"),
        ("ws://127.0.0.1:8000", None, NONE, "ws://127.0.0.1:8000/v1/realtime"),
        ("ws://h/custom?model=theirs&x=1", "mine", NONE, "ws://h/custom?model=theirs&x=1"),
        ("ws://h/v1/", "m", ConnectionOptions(call_id="rtc_1"), "ws://h/v1/realtime?call_id=rtc_1"),
        (
            "wss://api.openai.com/v1?model=x",
            None,
            ConnectionOptions(transcription=True),
            "wss://api.openai.com/v1/realtime?intent=transcription",
        ),
        (
            "https://me.openai.azure.com",
            "voice",
            NONE,
            "https://me.openai.azure.com/openai/v1/realtime?model=voice",
        ),
        (
            "https://me.openai.azure.com/",
            "voice",
            ConnectionOptions(azure_api_version="2025-04-01-preview"),
            "https://me.openai.azure.com/openai/realtime?api-version=2025-04-01-preview&deployment=voice",
        ),
        (
            "wss://me.openai.azure.com/openai/realtime?api-version=1&deployment=d",
            "voice",
            NONE,
            "wss://me.openai.azure.com/openai/realtime?api-version=1&deployment=d",
        ),
    ],
)
def test_addresses(url: str, model: str | None, options: ConnectionOptions, whole: str) -> None:
    found = endpoint(url, model, None, options)
    assert found.url == whole
    assert endpoint(found.url, model, None, options).url == whole


def test_the_key_travels_as_each_host_wants_it() -> None:
    plain = endpoint("wss://api.openai.com/v1/realtime", None, "sk-1", NONE)
    assert plain.headers == {"Authorization": "Bearer sk-1"}
    assert "sk-1" not in repr(plain)
    azure = endpoint("https://me.openai.azure.com", "d", "az-1", NONE)
    assert azure.headers == {"api-key": "az-1"}
    entra = ConnectionOptions(headers={"Authorization": "Bearer {api_key}", "X-Model": "{model}"})
    assert endpoint("https://me.openai.azure.com", "d", "az-1", entra).headers == {
        "Authorization": "Bearer az-1",
        "X-Model": "d",
    }
    offered = ConnectionOptions(subprotocols=("realtime", "openai-insecure-api-key.{api_key}"))
    found = endpoint("ws://h/v1", None, "k", offered)
    assert found.subprotocols == ("realtime", "openai-insecure-api-key.k")
    assert found.headers == {}
    assert endpoint("ws://h/v1", None, None, NONE).headers == {}
    with pytest.raises(ConfigError, match="pass api_key"):
        endpoint("ws://h/v1", None, None, entra)


def test_beta_is_said_in_a_header() -> None:
    beta = endpoint("ws://h/v1", "m", "k", ConnectionOptions(dialect="beta"))
    assert beta.dialect == "beta"
    assert beta.headers["OpenAI-Beta"] == "realtime=v1"
    preview = endpoint("https://me.openai.azure.com", "d", "k", ConnectionOptions(azure_api_version="v"))
    assert preview.dialect == "beta"
    assert preview.headers == {"api-key": "k"}


def test_hosts_are_compared_whole() -> None:
    assert is_openai("wss://api.openai.com/x")
    assert not is_openai("wss://evilopenai.com/x")
    assert not is_azure("wss://openai.azure.com.evil.org/x")
