"""`@openai/agents-realtime` in Node holds conversations with `duologue serve` over WebSocket.

`node/scenario.mjs` plays one conversation per process and tells it in JSON lines; the judging is done here.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from peers import node_command, node_modules
from realserver import clip
from strict import check_events

SCENARIO = Path(__file__).parent / "node" / "scenario.mjs"


class Told(dict[str, list[Any]]):
    """What a conversation told, by kind; a kind that never came is an empty list."""

    def __missing__(self, kind: str) -> list[Any]:
        return []


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips as raw PCM16 at 24 kHz."""
    folder = tmp_path_factory.mktemp("sounds")
    for name in ("weather_in_paris", "seven_times_eight"):
        (folder / f"{name}.pcm").write_bytes(clip(name))
    return folder


def play(scenario: str, host: str, sounds: Path, *more: str) -> Told:
    """One conversation, to its end: nothing crashed, no error came, the client understood every event."""
    node_modules()
    command = [node_command(), SCENARIO, scenario, f"ws://{host}/v1/realtime?model=gpt-realtime", sounds, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = Told()
    for line in done.stdout.splitlines():
        message = json.loads(line)
        told.setdefault(message["kind"], []).append(message["value"])
    assert (done.returncode, told["crash"], told["error"], told["dropped"]) == (0, [], [], []), done.stderr
    assert told["end"] == [scenario]
    check_events(told["wire"])
    return told


def test_text(host: str, sounds: Path) -> None:
    [history] = play("text", host, sounds)["history"]
    assert history == [["user", "what is seven times eight"], ["assistant", "7 times 8 is 56."]]


def test_with_a_client_secret_as_in_a_browser(host: str, sounds: Path) -> None:
    told = play("browser", host, sounds)
    assert told["protocol"] == ["realtime"]
    assert told["history"] == [[["user", "what is seven times eight"], ["assistant", "7 times 8 is 56."]]]


def test_tool(host: str, sounds: Path) -> None:
    told = play("tool", host, sounds)
    assert told["tool"] == [{"city": "Paris"}]
    assert told["history"] == [
        [
            ["user", "what is the weather in paris"],
            ["function_call", "get_weather"],
            ["assistant", "It is 21.5 degrees in Paris."],
        ]
    ]


@pytest.mark.parametrize("scenario", ["voice", "defaults"])
def test_a_spoken_question_runs_a_tool_and_is_answered(host: str, sounds: Path, scenario: str) -> None:
    told = play(scenario, host, sounds)
    assert told["tool"] == [{"city": "Paris"}]
    [history] = told["history"]
    assert [who for who, _ in history] == ["user", "function_call", "assistant"]
    assert history[0][1] == "what is the weather in paris"
    assert "21.5" in history[2][1]


def test_barge_in(slow_host: str, sounds: Path) -> None:
    told = play("bargeIn", slow_host, sounds)
    assert told["cancelled"] == [{"type": "cancelled", "reason": "turn_detected"}]
    [history] = told["history"]
    assert [who for who, _ in history] == ["user", "assistant", "user", "assistant"]
    assert "seven times eight" in history[2][1]
    assert [event["type"] for event in told["wire"]].count("conversation.item.truncated") == 1


def test_interrupt(slow_host: str, sounds: Path) -> None:
    told = play("interrupt", slow_host, sounds)
    assert told["cancelled"] == [{"type": "cancelled", "reason": "client_cancelled"}]
    [history] = told["history"]
    assert history[2:] == [["user", "say good morning"], ["assistant", "Good morning"]]


def test_handoff(host: str, sounds: Path) -> None:
    told = play("handoff", host, sounds)
    assert told["handoff"] == [["Front", "Billing"]]
    [history] = told["history"]
    assert history[1] == ["function_call", "transfer_to_Billing"]
    assert history[-1] == ["assistant", "Good morning The invoice."]
    assert [event["session"]["tools"] for event in told["wire"] if event["type"] == "session.updated"][-1] == []


def test_output_guardrail(slow_host: str, sounds: Path) -> None:
    told = play("guardrail", slow_host, sounds)
    assert told["cancelled"] == [{"type": "cancelled", "reason": "client_cancelled"}]
    assert told["after"] == ["completed"]


def test_a_remote_tool_is_listed_called_and_spoken_of(host: str, sounds: Path, mcp_url: str) -> None:
    told = play("remote", host, sounds, mcp_url)
    assert told["listed"] == [["get_weather"]]
    assert told["called"] == [{"name": "get_weather", "output": "It is 21.5 degrees in Paris.", "status": "completed"}]
    [history] = told["history"]
    assert history[0] == ["user", "what is the weather in paris"]
    assert history[-1] == ["assistant", "It is 21.5 degrees in Paris."]


def test_a_remote_tool_is_called_once_it_is_approved(host: str, sounds: Path, mcp_url: str) -> None:
    told = play("remoteApproved", host, sounds, mcp_url)
    assert told["asked"] == ["get_weather"]
    assert told["called"][0]["output"] == "It is 21.5 degrees in Paris."
    [history] = told["history"]
    assert history[-1] == ["assistant", "It is 21.5 degrees in Paris."]
    kinds = [event["item"]["type"] for event in told["wire"] if event["type"] == "conversation.item.done"]
    assert kinds.index("mcp_approval_request") < kinds.index("mcp_approval_response") < kinds.index("mcp_call")
