"""Fields that callers may not set: where each lock sits in a session and in a response, and taking them out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec import UNSET, Struct
from msgspec.structs import replace

from duologue.errors import ProtocolError
from duologue.protocol.responses import ResponseCreateParams
from duologue.protocol.session import AnySession
from duologue.relay.settings import Lock

Path = tuple[str, ...]

_DEEP: dict[Lock, Path] = {
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "output_format": ("audio", "output", "format"),
    "input_format": ("audio", "input", "format"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "transcription": ("audio", "input", "transcription"),
    "noise_reduction": ("audio", "input", "noise_reduction"),
}
_SERVER_SET: tuple[Path, ...] = (("object",), ("id",), ("expires_at",))
"""Clients send back what they were shown; nobody can change these."""
_ECHOED: tuple[Lock, ...] = ("model",)
"""Both agents SDKs repeat the model in every update: no reason to refuse one."""
_MEANT: tuple[Lock, ...] = ("conversation", "input")
"""A response without these would be another one than was asked for: refused even where locks are ignored."""

S = TypeVar("S", bound=Struct)


def path_of(lock: Lock) -> Path:
    """Where the field stands in a session, and in a response if it has it."""
    return _DEEP.get(lock, (lock,))


def unlocked_session(session: AnySession, locked: Iterable[Lock], *, refuse: bool) -> AnySession:
    """What of `session.update` may pass. Raises ProtocolError where `refuse` and a locked field is set."""
    for path in _SERVER_SET:
        session = _without(session, path)[0]
    return _unlocked(session, locked, "session", refuse=refuse)


def unlocked_response(params: ResponseCreateParams, locked: Iterable[Lock], *, refuse: bool) -> ResponseCreateParams:
    """What of `response.create` may pass. Raises ProtocolError where `refuse` and a locked field is set."""
    return _unlocked(params, locked, "response", refuse=refuse)


def _unlocked(settings: S, locked: Iterable[Lock], root: str, *, refuse: bool) -> S:
    for lock in locked:
        path = path_of(lock)
        settings, found = _without(settings, path)
        if found and (lock in _MEANT or (refuse and lock not in _ECHOED)):
            name = ".".join((root, *path))
            raise ProtocolError(f"The field '{name}' is set by this service.", code="locked_field", param=name)
    return settings


def _without(settings: S, path: Path) -> tuple[S, bool]:
    """`settings` without the field at `path`, and whether it was set. Folders that become empty go too."""
    name, *rest = path
    value: Any = getattr(settings, name, UNSET)
    if value is UNSET:
        return settings, False
    if not rest:
        return replace(settings, **{name: UNSET}), True
    if value is None:
        # a null where a folder belongs would clear what is below it, locked or not
        return replace(settings, **{name: UNSET}), True
    inner, found = _without(value, tuple(rest))
    empty = found and all(getattr(inner, field) is UNSET for field in inner.__struct_fields__)
    return replace(settings, **{name: UNSET if empty else inner}), found
