"""Session settings by the names of 2024 or by those of GA, as one GA session. Pure."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from duologue.errors import ConfigError
from duologue.protocol.responses import ResponseCreateParams
from duologue.protocol.session import RealtimeSession, TranscriptionSession

_log = logging.getLogger(__name__)

_NESTED = {
    "voice": ("output", "voice"),
    "speed": ("output", "speed"),
    "output_audio_format": ("output", "format"),
    "input_audio_format": ("input", "format"),
    "input_audio_transcription": ("input", "transcription"),
    "input_audio_noise_reduction": ("input", "noise_reduction"),
    "turn_detection": ("input", "turn_detection"),
}
_RENAMED = {"modalities": "output_modalities", "max_response_output_tokens": "max_output_tokens"}
_FORMATS = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
_OFF = (None, "none", "disabled", "")


def ga_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """GA's nested names for flat ones; GA names pass. Structs become plain dicts. Raises ConfigError on a wrong value."""
    plain: dict[str, Any] = {}
    for name, given in fields.items():
        value = msgspec.to_builtins(given) if isinstance(given, msgspec.Struct) else given
        if name == "temperature":
            _log.warning("temperature is not sent: the protocol has no such setting any more")
        elif name in _NESTED:
            side, key = _NESTED[name]
            plain = merged(plain, {"audio": {side: {key: _value(name, value)}}})
        elif name == "audio":
            plain = merged(plain, {"audio": value})
        else:
            plain[_RENAMED.get(name, name)] = _value(name, value)
    return plain


def _value(name: str, value: Any) -> Any:
    if name == "turn_detection":
        if isinstance(value, Mapping):
            return None if value.get("type") in _OFF else dict(value)
        return None if value in _OFF else {"type": value}
    if name in ("input_audio_format", "output_audio_format"):
        return _FORMATS.get(value, value) if isinstance(value, str) else value
    if name == "modalities":
        return ["audio"] if "audio" in value else ["text"]
    if name == "input_audio_transcription" and isinstance(value, str):
        return {"model": value}
    if name == "tools":
        return [
            {"type": "function", **tool} if isinstance(tool, Mapping) else msgspec.to_builtins(tool) for tool in value
        ]
    return value


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`new` over `old`, deep where the session is (under `audio`), whole values elsewhere."""
    result = dict(old)
    for key, value in new.items():
        if key in ("audio", "input", "output") and isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def session_of(fields: Mapping[str, Any]) -> RealtimeSession:
    """The GA session to send. Raises ConfigError where a name or a value does not belong there."""
    return _converted({**fields, "type": "realtime"}, RealtimeSession)


def transcription_of(fields: Mapping[str, Any]) -> TranscriptionSession:
    """The same for a session that only transcribes. Raises ConfigError."""
    return _converted({**fields, "type": "transcription"}, TranscriptionSession)


def response_of(fields: Mapping[str, Any]) -> ResponseCreateParams:
    """The overrides of one response, by either family of names. Raises ConfigError."""
    return _converted(ga_fields(fields), ResponseCreateParams)


_Kind = TypeVar("_Kind", bound=msgspec.Struct)


def _converted(fields: dict[str, Any], kind: type[_Kind]) -> _Kind:
    strangers = sorted(set(fields) - set(kind.__struct_fields__) - {"type"})
    if strangers:
        raise ConfigError(
            f"there is no setting named {', '.join(strangers)}; known: {', '.join(kind.__struct_fields__)}"
        )
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as problem:
        raise ConfigError(f"a setting does not fit: {problem}") from None
