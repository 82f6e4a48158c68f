"""What the relay learns from the upstream's sessions on the way."""

from __future__ import annotations

from typing import Any

import pytest
from told import Call, policy, response

from duologue.relay.outbound import G711_BYTES_PER_MS, PCM_BYTES_PER_MS, Heard


@pytest.mark.parametrize(
    ("session", "bytes_per_ms"),
    [
        ({"audio": {"input": {"format": {"type": "audio/pcmu"}}}}, G711_BYTES_PER_MS),
        ({"audio": {"input": {"format": {"type": "audio/pcma"}}}}, G711_BYTES_PER_MS),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}}, PCM_BYTES_PER_MS),
        ({"audio": {"input": []}}, PCM_BYTES_PER_MS),
        (None, PCM_BYTES_PER_MS),
    ],
)
def test_the_format_in_force(session: Any, bytes_per_ms: float) -> None:
    heard = Heard("m")
    heard.session(session)
    assert (heard.bytes_per_ms, heard.model) == (bytes_per_ms, "m")


def test_the_models_in_force() -> None:
    heard = Heard("asked")
    heard.session({"model": "given", "audio": {"input": {"transcription": {"model": "whisper-1"}}}})
    assert (heard.model, heard.transcriber) == ("given", "whisper-1")
    heard.session({"model": "", "audio": {"input": {"transcription": None}}})
    assert (heard.model, heard.transcriber) == ("given", "")


@pytest.mark.parametrize("body", [None, [], {"id": 5}, {}])
def test_a_response_without_an_id_is_no_response(body: Any) -> None:
    assert Call(policy()) << {"type": "response.done", "response": body} == []


def test_a_response_of_an_unheard_of_status_is_shown_as_it_is() -> None:
    ((_, seen),) = Call(policy()) << response("done", status="paused")
    assert seen["response"]["status"] == "paused"
