from __future__ import annotations

import json

import msgspec
import pytest

from duologue.console.settings import DEFAULTS, change, changed, from_session, mode_of, to_session
from duologue.console.views import Settings
from duologue.protocol.session import RealtimeSession


def wire(session: RealtimeSession) -> dict[str, object]:
    return json.loads(msgspec.json.encode(session))


def test_the_first_update_says_everything() -> None:
    vad = change(DEFAULTS, {"detection": "server_vad"})
    sent = wire(to_session(vad))
    assert sent["type"] == "realtime"
    assert sent["output_modalities"] == ["audio"]
    assert sent["audio"] == {
        "input": {
            "transcription": {"model": "gpt-4o-mini-transcribe", "language": None},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 500,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"voice": "alloy"},
    }


def test_a_later_update_says_only_what_changed() -> None:
    after = change(DEFAULTS, {"voice": "sage"})
    assert wire(to_session(after, only=changed(DEFAULTS, after))) == {
        "type": "realtime",
        "audio": {"output": {"voice": "sage"}},
    }
    after = change(DEFAULTS, {"instructions": ""})
    assert wire(to_session(after, only=changed(DEFAULTS, after))) == {"type": "realtime", "instructions": ""}


def test_manual_is_null_on_the_wire() -> None:
    sent = wire(to_session(DEFAULTS, only=frozenset(["detection"])))
    assert sent["audio"] == {"input": {"turn_detection": None}}


@pytest.mark.parametrize(
    "changes",
    [{}, {"detection": "server_vad"}, {"detection": "semantic_vad", "eagerness": "low"}, {"language": "ko"}],
)
def test_there_and_back_keeps_what_the_wire_can_say(changes: dict[str, object]) -> None:
    wanted = change(DEFAULTS, changes)
    seen = from_session(to_session(wanted))
    for name in ("instructions", "voice", "modality", "detection", "transcription_model", "language"):
        assert getattr(seen, name) == getattr(wanted, name), name
    if wanted.detection == "server_vad":
        assert seen.silence_duration_ms == 500
    if wanted.detection == "semantic_vad":
        assert seen.eagerness == "low"


def test_what_the_server_did_not_say_is_unknown() -> None:
    assert from_session(RealtimeSession()) == Settings()


@pytest.mark.parametrize(
    "changes", [{"colour": "red"}, {"threshold": "loud"}, {"detection": "telepathy"}, {"modality": 3}]
)
def test_nonsense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        change(DEFAULTS, changes)


def test_mode() -> None:
    assert mode_of(DEFAULTS) == "manual"
    assert mode_of(change(DEFAULTS, {"detection": "semantic_vad"})) == "vad"
