"""The typed models of the `openai` package, and what they find strange in an event of ours."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import pydantic
from openai.types import realtime as theirs

NOT_IN_THEIR_MODELS = {
    "session.id": "2.1: set by the server, on the wire in every session.created; their models are of the request",
    "session.object": "2.1: set by the server",
    "session.expires_at": "2.1: set by the server",
    "obfuscation": "3.2: padding of text, transcript and transcription deltas, in no model but MCP's",
}
"""Fields that the wire has and their models lack, each with the section of the protocol sheet that shows it."""


def members(kind: Any) -> list[Any]:
    """The classes of a union, annotations aside."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return members(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for part in typing.get_args(kind) for member in members(part)]
    return [kind]


def tag(model: type[pydantic.BaseModel]) -> str:
    """The event type that a model is of."""
    [name] = typing.get_args(model.model_fields["type"].annotation)
    return str(name)


THEIR_SERVER_EVENTS = {tag(model): model for model in members(theirs.RealtimeServerEvent)}
THEIR_CLIENT_EVENTS = {tag(model): model for model in members(theirs.RealtimeClientEvent)}


def strangers(model: pydantic.BaseModel, path: str = "") -> Iterator[str]:
    """Paths of the fields that a model was given and does not know, at any depth."""
    for name in model.model_extra or {}:
        yield f"{path}{name}"
    for name in type(model).model_fields:
        yield from _strangers_in(getattr(model, name), f"{path}{name}")


def _strangers_in(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, pydantic.BaseModel):
        yield from strangers(value, f"{path}.")
    elif isinstance(value, list):
        for member in value:
            yield from _strangers_in(member, path)
