"""What a client asks of every session that it opens: its settings, which outlive connections. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from duologue.client.settings import ga_fields, merged, session_of, transcription_of
from duologue.protocol.session import AnySession


class Profile:
    """Turn detection is off at first, as it was in 2024. `transcription`: a session that only transcribes, with `model`."""

    def __init__(self, transcription: bool = False, model: str | None = None) -> None:
        self._transcription = transcription
        first: dict[str, Any] = {"turn_detection": None}
        if transcription and model is not None:
            first["input_audio_transcription"] = {"model": model}
        self.fields = ga_fields(first)

    def change(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Take over settings by either family of names; returns them as GA's. Raises ConfigError, and changes nothing."""
        change = ga_fields(fields)
        self._typed(change)
        self.fields = merged(self.fields, change)
        return change

    def session(self, change: Mapping[str, Any], tools: Sequence[Mapping[str, Any]] | None) -> AnySession:
        """The session to send: `change`, and where `tools` is given (those with a function behind them), all tools."""
        fields = dict(change)
        if tools is not None and not self._transcription:
            names = {tool["name"] for tool in tools}
            fields["tools"] = [tool for tool in self.declared if tool.get("name") not in names] + list(tools)
        return self._typed(fields)

    @property
    def declared(self) -> list[dict[str, Any]]:
        """Tools that are known by `update_session` only."""
        return self.fields.get("tools") or []

    @property
    def turn_detection_type(self) -> str | None:
        """`server_vad`, `semantic_vad`, or None: the client says when a turn ends."""
        detection = self.fields.get("audio", {}).get("input", {}).get("turn_detection")
        return detection.get("type") if isinstance(detection, Mapping) else None

    def _typed(self, fields: Mapping[str, Any]) -> AnySession:
        return transcription_of(fields) if self._transcription else session_of(fields)
