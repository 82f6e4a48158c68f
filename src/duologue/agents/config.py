"""The settings of a session with an agent, and what of them changes when another takes over. Pure.

Only what differs travels: a phone's format, the turn detection and all else that agents do not decide stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from duologue.agents.agent import Handoff, RealtimeAgent
from duologue.agents.guardrails import InputGuardrail, OutputGuardrail
from duologue.agents.tools import AgentTool
from duologue.client.settings import ga_fields, merged, session_of
from duologue.errors import ConfigError
from duologue.protocol.session import FunctionTool, McpServerTool

DEFAULTS: dict[str, Any] = {
    "output_modalities": ["audio"],
    "audio": {
        "input": {"transcription": {"model": "gpt-4o-mini-transcribe"}, "turn_detection": {"type": "semantic_vad"}}
    },
}
"""What a session has where nothing else is said."""
_FORMATS = {"pcm16", "g711_ulaw", "g711_alaw"}
_NOT_SESSION = ("model_name", "provider_data")


class Cast(Struct, frozen=True, kw_only=True):
    """An agent made ready to speak: its instructions as text, its tools and ways out by name, as they are now."""

    agent: RealtimeAgent
    instructions: str = ""
    prompt: Mapping[str, Any] | None = None
    tools: dict[str, AgentTool] = {}
    ways: dict[str, Handoff] = {}
    remote: tuple[McpServerTool, ...] = ()
    output_guardrails: tuple[OutputGuardrail, ...] = ()
    input_guardrails: tuple[InputGuardrail, ...] = ()

    def definitions(self) -> list[dict[str, Any]]:
        """All tools as they go over the wire."""
        tools: list[FunctionTool | McpServerTool] = [tool.definition for tool in self.tools.values()]
        tools += [way.definition for way in self.ways.values()]
        return [msgspec.to_builtins(tool) for tool in (*tools, *self.remote)]


def base_fields(config: Mapping[str, Any], defaults: Mapping[str, Any] = DEFAULTS) -> dict[str, Any]:
    """An application's settings over the defaults, in GA's names. None stays None: it turns things off. Raises ConfigError
    on a name or value that no session has."""
    known = {name: value for name, value in config.items() if name not in _NOT_SESSION}
    given = ga_fields({**known, **(config.get("provider_data") or {})})
    audio = given.get("audio")
    if isinstance(audio, Mapping):
        given["audio"] = {side: _nested(values) for side, values in audio.items()}
    session_of(given)
    return merged(defaults, given)


def _nested(values: Any) -> Any:
    """Short names inside `audio`, as the agents SDKs have them."""
    if not isinstance(values, Mapping):
        return values
    result = dict(values)
    if isinstance(result.get("format"), str):
        if result["format"] not in _FORMATS:
            raise ConfigError(f"there is no format {result['format']!r}; known: {', '.join(sorted(_FORMATS))}")
        result["format"] = ga_fields({"input_audio_format": result["format"]})["audio"]["input"]["format"]
    if isinstance(result.get("turn_detection"), str):
        result["turn_detection"] = {"type": result["turn_detection"]}
    return result


def fields_of(base: Mapping[str, Any], cast: Cast, *, gate: bool) -> dict[str, Any]:
    """All settings of a session in which this agent speaks. `gate`: what the user says is checked before it is answered,
    so that the server must not answer by itself. Raises ConfigError where it could not be checked."""
    fields = merged(base, {"instructions": cast.instructions, "tools": cast.definitions()})
    if cast.agent.voice is not None:
        fields = merged(fields, {"audio": {"output": {"voice": cast.agent.voice}}})
    if cast.prompt is not None:
        fields["prompt"] = dict(cast.prompt)
    if not gate:
        return fields
    listening = fields.get("audio", {}).get("input", {})
    if listening.get("transcription") is None:
        raise ConfigError("input guardrails read what the user says: set input_audio_transcription")
    if detection := listening.get("turn_detection"):
        gated = {**detection, "create_response": False}
        fields = merged(fields, {"audio": {"input": {"turn_detection": gated}}})
    return fields


def changes(old: Mapping[str, Any], new: Mapping[str, Any], *, sounded: bool) -> dict[str, Any]:
    """What has to be sent to get from one to the other. A voice cannot change once anything `sounded`."""
    found: dict[str, Any] = {}
    for key, value in new.items():
        if key in ("audio", "input", "output") and isinstance(value, Mapping):
            deeper = changes(old.get(key) or {}, value, sounded=sounded)
            if deeper:
                found[key] = deeper
        elif (key not in old or old[key] != value) and not (key == "voice" and sounded):
            found[key] = value
    if old.get("prompt") is not None and "prompt" not in new:
        found["prompt"] = None
    return found


def voice_of(fields: Mapping[str, Any]) -> Any:
    """The voice that the settings name, None where they name none."""
    return ((fields.get("audio") or {}).get("output") or {}).get("voice")
