from __future__ import annotations

import pytest

from duologue.engines.openai_http import Endpoint, error_message


@pytest.mark.parametrize(
    "url", ["http://host/v1", "http://host/v1/", " http://host/v1/audio/speech", "http://host/v1/audio/speech/"]
)
def test_base_or_full_address(url: str) -> None:
    assert Endpoint("e", url, "/audio/speech", option="--tts-url").url == "http://host/v1/audio/speech"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": {"message": "no such model.", "code": 5}}', "no such model"),
        ('{"error": "broken"}', "broken"),
        ('{"detail": "not\\n allowed"}', "not allowed"),
        ('{"detail": [{"msg": "x"}]}', '{"detail": [{"msg": "x"}]}'),
        ("{}", "{}"),
        ("", "no reason given"),
        ("x" * 1_000, "x" * 300),
    ],
)
def test_what_the_server_says(body: str, said: str) -> None:
    assert error_message(body) == said
