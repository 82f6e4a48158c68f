"""What of a call goes into its recording. Pure.

Keys are never recorded, nor what a caller sends in place of instructions and tools that the policy has locked. What else
is hidden or left out is the operator's to say, by kinds of content or by the path of a field.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from duologue.access.redaction import HIDDEN, redacted
from duologue.relay.settings import Lock, Recordings
from duologue.relay.shapes import canonical
from duologue.transports.tap import Direction, Sink

_SECRET_NAMES = frozenset(("authorization", "headers", "api_key", "client_secret", "access_token", "password"))
_KINDS = {
    "image_url": "images",
    "text": "text", "transcript": "text", "refusal": "text", "logprobs": "text",
    "instructions": "instructions", "prompt": "instructions",
    "tools": "tools",
    "arguments": "arguments",
}  # fmt: skip
_PIECES = ("audio", "delta")
"""Fields of an event that is there for nothing else: a piece of sound, of text, of arguments."""
_LOCKED: dict[Lock, str] = {"instructions": "instructions", "prompt": "instructions", "tools": "tools"}


class Recording(Sink, Protocol):
    """Where a call is recorded."""

    def close(self) -> None:
        """Nothing more comes."""


class Redaction:
    """The rules for the recordings of one policy. `secrets`: strings that are taken out wherever they stand."""

    def __init__(self, recordings: Recordings, locked: Iterable[Lock], secrets: Iterable[str]) -> None:
        hide, drop = frozenset(recordings.hide), frozenset(recordings.drop)
        self._dropped = drop
        self._hidden = hide | drop | {_LOCKED[lock] for lock in locked if lock in _LOCKED}
        self._hidden_paths = _paths(hide)
        self._dropped_paths = _paths(drop)
        self._secrets = tuple(filter(None, secrets))
        self._shows_all = not hide and not drop

    def frame(self, frame: bytes) -> bytes | None:
        """The frame as it is recorded, encoded anew; None: not at all."""
        try:
            event = msgspec.json.decode(frame)
            if not isinstance(event, dict):
                return canonical(self._cleaned(event, "", ()))
            kind = str(event.get("type"))
            if any(name in event and self._kind(name, event[name], kind) in self._dropped for name in _PIECES):
                return None
            return canonical(self._cleaned(event, kind, ()))
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
            # what cannot be read cannot be known to hold nothing that is to be hidden
            text = self._words(frame.decode(errors="replace")) if self._shows_all else ""
            return msgspec.json.encode(text or f"[{len(frame)} bytes that are no event]")

    def _cleaned(self, value: Any, event: str, path: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {
                self._words(name): self._field(name, child, event, (*path, name))
                for name, child in value.items()
                if not _at((*path, name), self._dropped_paths)
            }
        if isinstance(value, list):
            return [self._cleaned(child, event, path) for child in value]
        return self._words(value) if isinstance(value, str) else value

    def _field(self, name: str, value: Any, event: str, path: tuple[str, ...]) -> Any:
        kind = self._kind(name, value, event)
        if kind in self._hidden or _at(path, self._hidden_paths) or name.lower() in _SECRET_NAMES:
            return _blank(value, kind)
        if kind == "audio":
            return value
        return self._cleaned(value, event, path)

    @staticmethod
    def _kind(name: str, value: Any, event: str) -> str | None:
        """What a field holds, in the words of the settings."""
        if name == "delta":
            if event.endswith("audio.delta"):
                return "audio"
            return "arguments" if "arguments" in event else "text"
        if name in ("audio", "output"):  # a session's audio settings and a response's items have these names too
            return {"audio": "audio", "output": "outputs"}[name] if isinstance(value, str) else None
        return _KINDS.get(name)

    def _words(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return redacted(text)


class Redacted:
    """A recording that gets what may be recorded."""

    def __init__(self, recording: Recording, redaction: Redaction) -> None:
        self._recording = recording
        self._redaction = redaction

    def record(self, direction: Direction, frame: bytes | str, now_ms: int) -> None:
        """As in `Sink`."""
        kept = self._redaction.frame(frame.encode() if isinstance(frame, str) else frame)
        if kept is not None:
            self._recording.record(direction, kept, now_ms)

    def close(self) -> None:
        """As in `Recording`."""
        self._recording.close()


def _blank(value: Any, kind: str | None) -> Any:
    """Something of the same type that says nothing, so that readers of the protocol still understand the event."""
    if kind == "audio" and isinstance(value, str):
        return "A" * (len(value) // 4 * 4)  # as long as it was, and silent
    if isinstance(value, str):
        return HIDDEN if value else value
    return [] if isinstance(value, list) else None


def _paths(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(name.split(".")[1:]) for name in names if name.startswith("$."))


def _at(path: tuple[str, ...], patterns: tuple[tuple[str, ...], ...]) -> bool:
    return any(
        len(pattern) == len(path) and all(step in ("*", name) for step, name in zip(pattern, path, strict=True))
        for pattern in patterns
    )
