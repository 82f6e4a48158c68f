from __future__ import annotations

import pytest

from duologue.client.profile import Profile
from duologue.errors import ConfigError
from duologue.protocol.session import FunctionTool, RealtimeSession, TranscriptionSession

OWN = {"type": "function", "name": "own", "parameters": None}


def test_the_later_setting_wins_and_a_wrong_one_changes_nothing() -> None:
    profile = Profile()
    assert profile.turn_detection_type is None
    profile.change({"voice": "ash", "turn_detection": "semantic_vad"})
    profile.change({"voice": "verse"})
    with pytest.raises(ConfigError):
        profile.change({"voice": "coral", "colour": "red"})
    assert profile.fields["audio"]["output"] == {"voice": "verse"}
    assert profile.turn_detection_type == "semantic_vad"


def test_declared_tools_stand_beside_those_with_a_function() -> None:
    profile = Profile()
    profile.change({"tools": [{"name": "declared"}, {"name": "own"}]})
    session = profile.session({}, [OWN])
    assert isinstance(session, RealtimeSession)
    assert isinstance(session.tools, tuple)
    assert [tool.name for tool in session.tools if isinstance(tool, FunctionTool)] == ["declared", "own"]


def test_a_session_that_transcribes_has_its_own_shape() -> None:
    profile = Profile(transcription=True, model="ears")
    session = profile.session(profile.fields, [OWN])
    assert isinstance(session, TranscriptionSession)
    assert profile.fields["audio"]["input"]["transcription"] == {"model": "ears"}
    with pytest.raises(ConfigError, match="instructions"):
        profile.change({"instructions": "talk"})
