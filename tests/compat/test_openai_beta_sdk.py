"""`openai` 1.109.1 speaks the beta dialect with `duologue serve`; the conversations are in `beta_story.py`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from peers import beta_python
from realserver import clip

STORY = Path(__file__).parent / "beta_story.py"
NOT_IN_THEIR_MODELS = {
    "session.object": "2.2: on the wire in every session of the beta",
    "session.expires_at": "2.2: on the wire, later than their models",
    "session.include": "2.2: on the wire, later than their models",
    "session.prompt": "2.1: the same field in both dialects, later than their models",
    "response.usage.input_token_details.cached_tokens_details": "6: which of the cached tokens were sound",
    "response.usage.input_token_details.image_tokens": "6: beside the others in GA; no beta client minds a count more",
    "name": "3.2: of the function in response.function_call_arguments.done, on the wire since 2026",
}
"""Fields that we send and their models lack, each with the section of the protocol sheet that it comes from."""


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips as raw PCM16 at 24 kHz."""
    folder = tmp_path_factory.mktemp("sounds")
    (folder / "seven_times_eight.pcm").write_bytes(clip("seven_times_eight"))
    return folder


def play(story: str, host: str, sounds: Path) -> dict[str, list[Any]]:
    """One conversation, to its end, with no event that their models refuse or do not know in full."""
    done = subprocess.run(
        [beta_python(), STORY, story, host, sounds], capture_output=True, text=True, timeout=60, check=False
    )
    told: dict[str, list[Any]] = {"invalid": [], "stranger": []}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        told.setdefault(message["kind"], []).append(message["value"])
    assert done.returncode == 0, done.stderr
    assert told["invalid"] == []
    assert set(told["stranger"]) - set(NOT_IN_THEIR_MODELS) == set()
    assert told["end"] == [story]
    return told


def test_text(host: str, sounds: Path) -> None:
    told = play("text", host, sounds)
    assert told["session"] == [[["text"], "Be brief.", "pcm16"]]
    assert told["said"] == told["deltas"] == ["7 times 8 is 56."]
    assert "conversation.created" not in told["type"]


def test_push_to_talk(host: str, sounds: Path) -> None:
    told = play("push_to_talk", host, sounds)
    [[kind, said]] = told["said"]
    assert (kind, said) == ("audio", "7 times 8 is 56.")
    assert "seven times eight" in told["heard"][0][0]
    assert told["sound"][0] > 48 * 300


def test_server_vad_with_barge_in_and_truncation(slow_host: str, sounds: Path) -> None:
    told = play("barge_in", slow_host, sounds)
    assert told["interrupts"] == [True]
    assert told["cancelled"] == [["cancelled", "turn_detected", "incomplete"]]
    assert told["truncated"] == [100]
    assert told["said"] == ["7 times 8 is 56."]


def test_function_call_and_its_output(host: str, sounds: Path) -> None:
    told = play("tool", host, sounds)
    assert told["call"] == [["get_weather", {"city": "Paris"}, True, "completed"]]
    assert "21.5" in told["said"][0]


def test_items(host: str, sounds: Path) -> None:
    told = play("items", host, sounds)
    assert told["metadata"] == [{"turn": "one"}]
    assert told["retrieved"] == [["audio", "Good morning", True]]
    assert told["deleted"] == [True]
    assert told["own words"] == [["text", "I said so."]]


def test_errors_name_their_cause_and_the_session_lives(host: str, sounds: Path) -> None:
    told = play("errors", host, sounds)
    assert told["error"] == [
        ["idle", "response_cancel_not_active", None],
        ["empty", "input_audio_buffer_commit_empty", None],
        ["odd", "invalid_type", "session.voice"],
    ]
    assert told["after"] == ["completed"]
