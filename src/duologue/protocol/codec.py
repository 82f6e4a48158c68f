"""JSON text to events and back, in one pass; what cannot be an event becomes data or an error, never a surprise.

A client reads with `decode_server_event`: whatever it does not know is an `UnknownEvent`. A server reads with
`decode_client_event`: whatever it does not know is a `ProtocolError` with the code and the param of the wire.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, get_args

import msgspec
import pybase64
from msgspec import Struct, inspect

from duologue.errors import ProtocolError
from duologue.protocol.client_events import ClientEvent, ConversationItemCreate, ResponseCreate, SessionUpdate
from duologue.protocol.server_events import ResponseOutputAudioDelta, ServerEvent


class UnknownEvent(Struct, frozen=True, kw_only=True):
    """An event that this version does not know, or whose fields are not as it knows them. `raw` is the frame as it came."""

    type: str
    event_id: str = ""
    raw: bytes
    problem: str = ""


class _Envelope(Struct):
    type: str = ""
    event_id: str | None = None


_AUDIO_DELTA = b'{"type":"response.output_audio.delta",'
_DELTA_LAST = b',"delta":"'
_decode_audio = msgspec.json.Decoder(ResponseOutputAudioDelta).decode
_b64decode = pybase64.b64decode
_set = msgspec.structs.force_setattr
_server_decoder = msgspec.json.Decoder(ServerEvent)
_client_decoder = msgspec.json.Decoder(ClientEvent)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_encoder = msgspec.json.Encoder()

CLIENT_EVENT_TYPES: tuple[str, ...] = tuple(member.__struct_config__.tag for member in get_args(ClientEvent))
SERVER_EVENT_TYPES: tuple[str, ...] = tuple(member.__struct_config__.tag for member in get_args(ServerEvent))


def encode(event: ClientEvent | ServerEvent | UnknownEvent) -> bytes:
    """The event as UTF-8 JSON; an unknown event byte for byte as it came."""
    if isinstance(event, UnknownEvent):
        return event.raw
    return _encoder.encode(event)


def decode_server_event(frame: bytes | str) -> ServerEvent | UnknownEvent:
    """One frame from a server. Raises ProtocolError only where the frame is not a JSON object with a `type`."""
    try:
        if isinstance(frame, bytes) and frame.startswith(_AUDIO_DELTA) and (sound := _audio_delta(frame)) is not None:
            return sound
        event: ServerEvent = _server_decoder.decode(frame)
        return event
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
        return _unknown(frame, problem)


def _audio_delta(frame: bytes) -> ResponseOutputAudioDelta | None:
    """The most frequent event with its sound as the last field: the same as the decoder of all events makes of it, at a
    third of its cost, as pybase64 decodes with SIMD. None where it is not of that shape."""
    start = frame.find(_DELTA_LAST) + len(_DELTA_LAST)
    # A quote after a comma that is followed by a name begins a key, in any JSON; and base64 has no quote and no escape.
    if start < len(_AUDIO_DELTA) or not frame.endswith(b'"}'):
        return None
    try:
        sound = _b64decode(memoryview(frame)[start:-2], None, True)
    except ValueError:
        return None
    event = _decode_audio(frame[:start] + b'"}')
    _set(event, "delta", sound)
    return event


def _unknown(frame: bytes | str, problem: Exception) -> UnknownEvent:
    try:
        envelope = _envelope_decoder.decode(frame)
        raw = frame.encode() if isinstance(frame, str) else bytes(frame)
        raw.decode()  # the decoder does not look into the strings that it skips
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"The server sent a frame that is not an event: {error}", code="invalid_event") from None
    if not envelope.type:
        raise ProtocolError("The server sent an event without a type.", code="invalid_event")
    known = envelope.type in SERVER_EVENT_TYPES
    return UnknownEvent(
        type=envelope.type, event_id=envelope.event_id or "", raw=raw, problem=str(problem) if known else ""
    )


def decode_client_event(frame: bytes | str) -> ClientEvent:
    """One frame from a client, checked as strictly as the hosted API does. Raises ProtocolError for the wire."""
    try:
        event: ClientEvent = _client_decoder.decode(frame)
    except msgspec.ValidationError as problem:
        raise _refusal(frame, problem) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise _not_json(problem) from None
    if isinstance(event, SessionUpdate | ResponseCreate | ConversationItemCreate):
        stranger = unknown_parameter(parse(frame), type(event))
        if stranger:
            event_id = event.event_id if isinstance(event.event_id, str) else None
            raise unknown_parameter_error(stranger, event_id)
    return event


MAX_DEPTH = 128
"""Levels of nesting that a client's event may have. What is taken is sent again (tools, in `session.updated`), from
deeper in the stack than it was read: Python's own limit would be met there, where nobody can be told."""


def parse(frame: bytes | str) -> Any:
    """A client's frame as plain values, for those who look at more than an event's fields. Raises ProtocolError."""
    try:
        raw = msgspec.json.decode(frame)
    except msgspec.ValidationError as problem:
        # JSON sets no bound to numbers; a float and Python's integer parser do
        what = str(problem).partition(" - at ")[0]
        event_id = peek(frame)[1]
        raise ProtocolError(f"The event holds a value that cannot be used: {what}.", code="invalid_value",
                            event_id=event_id) from None  # fmt: skip
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise _not_json(problem) from None
    level = [raw]
    for _ in range(MAX_DEPTH):
        level = [child for value in level if isinstance(value, dict | list)
                 for child in (value.values() if isinstance(value, dict) else value)]  # fmt: skip
        if not level:
            return raw
    message = f"The event is nested deeper than {MAX_DEPTH} levels."
    raise ProtocolError(message, code="invalid_json", event_id=peek(frame)[1])


def peek(frame: bytes | str) -> tuple[str, str | None]:
    """Type and event id of a frame without reading the rest; `("", None)` where it is not an event."""
    try:
        envelope = _envelope_decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return "", None
    return envelope.type, envelope.event_id


def _not_json(problem: Exception) -> ProtocolError:
    return ProtocolError(f"The frame is not valid JSON: {problem}", code="invalid_json")


def unknown_parameter_error(path: str, event_id: str | None = None) -> ProtocolError:
    """The wire's error for a key that nobody knows."""
    return ProtocolError(f"Unknown parameter: '{path}'.", code="unknown_parameter", param=path, event_id=event_id)


_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_BAD_VALUE = re.compile(r"Invalid (?:enum )?value (?P<value>.+)")
_BAD_TYPE = re.compile(r"Expected `(?P<wanted>[^`]+)`(?:, got `(?P<got>[^`]+)`)?")
_NAMES = {"int": "an integer", "float": "a decimal", "str": "a string", "bool": "a boolean", "object": "an object",
          "array": "an array", "null": "null", "bytes": "a base64-encoded string"}  # fmt: skip


def _refusal(frame: bytes | str, problem: msgspec.ValidationError) -> ProtocolError:
    """The wire's error for a frame that is JSON but not an event of ours."""
    raw = parse(frame)
    if not isinstance(raw, dict):
        return ProtocolError("The event is not a JSON object.", code="invalid_event")
    event_id = raw.get("event_id") if isinstance(raw.get("event_id"), str) else None
    kind = raw.get("type")
    if not isinstance(kind, str):
        return ProtocolError("The 'type' field is missing.", code="invalid_event", event_id=event_id)
    if kind not in CLIENT_EVENT_TYPES:
        return invalid_value("type", kind, CLIENT_EVENT_TYPES, event_id)
    match = _AT.match(str(problem))
    what, path = (match["what"], match["path"] or "") if match else (str(problem), "")
    path = path.replace("[...]", "")
    return _translate(what, path, raw, kind, event_id)


def _translate(what: str, path: str, raw: dict[str, Any], kind: str, event_id: str | None) -> ProtocolError:
    if missing := _MISSING.match(what):
        param = f"{path}.{missing['field']}" if path else missing["field"]
        return ProtocolError(
            f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param, event_id=event_id
        )
    if bad := _BAD_VALUE.match(what):
        value = _at(raw, path)
        shown = value if isinstance(value, str) else bad["value"].strip("'")
        return invalid_value(path, shown, _allowed(kind, path), event_id)
    if wrong := _BAD_TYPE.match(what):
        wanted = " or ".join(_NAMES.get(name.strip(), name.strip()) for name in wrong["wanted"].split("|"))
        got = _NAMES.get(wrong["got"] or "", "something else")
        return ProtocolError(
            f"Invalid type for '{path}': expected {wanted}, but got {got} instead.",
            code="invalid_type", param=path or None, event_id=event_id,
        )  # fmt: skip
    return ProtocolError(
        f"Invalid value for '{path}': {what}.", code="invalid_value", param=path or None, event_id=event_id
    )


def invalid_value(path: str, value: str, allowed: tuple[str, ...], event_id: str | None = None) -> ProtocolError:
    """The wire's error for a value that is none of the `allowed` ones."""
    message = f"Invalid value: '{value}'."
    if len(allowed) == 1:
        message += f" Value must be '{allowed[0]}'."
    elif allowed:
        listed = ", ".join(f"'{name}'" for name in allowed[:-1])
        message += f" Supported values are: {listed} and '{allowed[-1]}'."
    return ProtocolError(message, code="invalid_value", param=path, event_id=event_id)


def _steps(path: str) -> list[str | int]:
    return [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)]


def _at(raw: Any, path: str) -> Any:
    for step in _steps(path):
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


@lru_cache(maxsize=64)
def _struct_info(kind: type[Struct]) -> inspect.StructType:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info


def _members(info: inspect.Type) -> tuple[inspect.Type, ...]:
    return tuple(info.types) if isinstance(info, inspect.UnionType) else (info,)


def _allowed(kind: str, path: str) -> tuple[str, ...]:
    """The values that the schema allows at `path`: the tags of a union, or the members of an enumeration."""
    event = next(member for member in get_args(ClientEvent) if member.__struct_config__.tag == kind)
    level: tuple[inspect.Type, ...] = (_struct_info(event),)
    steps = _steps(path)
    for step in steps[:-1] if steps and steps[-1] == "type" else steps:
        below: list[inspect.Type] = []
        for info in level:
            if isinstance(step, int) and isinstance(info, inspect.VarTupleType):
                below += _members(info.item_type)
            elif isinstance(info, inspect.StructType):
                below += [m for f in info.fields if f.encode_name == step for m in _members(f.type)]
        level = tuple(below)
    if steps and steps[-1] == "type":
        tags = (str(info.tag) for info in level if isinstance(info, inspect.StructType) and info.tag)
        return tuple(dict.fromkeys(tags))
    values = (str(value) for info in level if isinstance(info, inspect.LiteralType) for value in info.values)
    return tuple(dict.fromkeys(values))


def unknown_parameter(raw: Any, kind: type[Struct]) -> str | None:
    """The path of the first key in `raw` that `kind` has no field for, or None. `raw` must already have validated."""
    return _stranger(raw, _struct_info(kind), "")


def _stranger(raw: Any, info: inspect.Type, path: str) -> str | None:
    if isinstance(raw, dict):
        struct = _variant(raw, info)
        if struct is None:
            return None
        fields = {field.encode_name: field.type for field in struct.fields}
        for key, value in raw.items():
            inner = f"{path}.{key}" if path else key
            if key in fields:
                found = _stranger(value, fields[key], inner)
                if found:
                    return found
            elif key != struct.tag_field:
                return inner
    elif isinstance(raw, list):
        for member in _members(info):
            if isinstance(member, inspect.VarTupleType):
                for index, value in enumerate(raw):
                    found = _stranger(value, member.item_type, f"{path}[{index}]")
                    if found:
                        return found
    return None


def _variant(raw: dict[str, Any], info: inspect.Type) -> inspect.StructType | None:
    structs = [member for member in _members(info) if isinstance(member, inspect.StructType)]
    tagged = [s for s in structs if s.tag_field is None or raw.get(s.tag_field) == s.tag]
    return tagged[0] if tagged else None
