"""The beta dialect of October 2024: the only place that knows it.

Everything else speaks GA. A server with a beta client reads through `client_event_to_ga` and writes through
`server_event_to_beta`; a client with a beta server writes through `client_event_to_beta` and reads through
`BetaServer`. All of them work on JSON text, so that what neither dialect defines passes through as it came.

What one dialect has no word for is left out on the way there: temperature in GA; truncation, reasoning, parallel tool
calls and the idle timeout in beta. Audio and text together, the beta's usual pair of modalities, are GA's `audio`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import msgspec

from duologue.errors import ProtocolError
from duologue.protocol.codec import UnknownEvent, encode, invalid_value, parse, peek, unknown_parameter_error
from duologue.protocol.server_events import ServerEvent

Json = dict[str, Any]
TEMPERATURE = 0.8
"""What a beta session shows where nobody chose: GA has no temperature to tell."""


class _Values(NamedTuple):
    """How one field's values are said in the other dialect. What a converter does not understand it hands through:
    the GA schema judges it, unless `check` has raised ProtocolError before."""

    to_ga: Callable[[Any], Any] = lambda value: value
    to_beta: Callable[[Any], Any] = lambda value: value
    check: Callable[[Any, str], None] | None = None


_FORMATS: dict[str, Json] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
_FORMAT_NAMES = {str(form["type"]): name for name, form in _FORMATS.items()}


def _format_to_ga(value: Any) -> Any:
    return _FORMATS.get(value, value) if isinstance(value, str) else value


def _format_to_beta(value: Any) -> Any:
    kind = value.get("type") if isinstance(value, dict) else None
    return _FORMAT_NAMES.get(kind, value) if isinstance(kind, str) else value


def _check_format(value: Any, path: str) -> None:
    if not isinstance(value, str) or value not in _FORMATS:
        raise invalid_value(path, _shown(value), tuple(_FORMATS))


def _modalities_to_ga(value: Any) -> Any:
    if isinstance(value, list) and value and all(name in ("text", "audio") for name in value):
        return ["audio"] if "audio" in value else ["text"]
    return value


def _choice_to_ga(value: Any) -> Any:
    """The beta also took the chat completions' way to name a function."""
    if isinstance(value, dict) and isinstance(function := value.get("function"), dict):
        return {"type": value.get("type", "function"), **function}
    return value


def _turn_to_beta(value: Any) -> Any:
    return {key: said for key, said in value.items() if key != "idle_timeout_ms"} if isinstance(value, dict) else value


def _usage_to_beta(value: Any) -> Any:
    """The beta counts no pictures."""
    return {k: _usage_to_beta(v) for k, v in value.items() if k != "image_tokens"} if isinstance(value, dict) else value


def _check_temperature(value: Any, path: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"Invalid type for '{path}': expected a decimal, but got {_shown(value)} instead."
        raise ProtocolError(message, code="invalid_type", param=path)
    if not 0.6 <= value <= 1.2:
        code = "decimal_below_min_value" if value < 0.6 else "decimal_above_max_value"
        raise ProtocolError(f"Invalid '{path}': expected 0.6 to 1.2, but got {value}.", code=code, param=path)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


_PARTS_TO_GA = {"text": "output_text", "audio": "output_audio"}
_PARTS_TO_BETA = {ga: beta for beta, ga in _PARTS_TO_GA.items()}


def _item(item: Any, names: dict[str, str]) -> Any:
    """An assistant's parts are named anew; what users and the system say is named alike in both."""
    if not isinstance(item, dict) or item.get("role") != "assistant":
        return item
    return {**item, "content": _each(item["content"], lambda part: _part(part, names))} if "content" in item else item


def _part(part: Any, names: dict[str, str]) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    return {**part, "type": names.get(kind, kind)} if isinstance(kind, str) else part


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    return [change(member) for member in value] if isinstance(value, list) else value


_item_to_ga = partial(_item, names=_PARTS_TO_GA)
_item_to_beta = partial(_item, names=_PARTS_TO_BETA)


def _shown_item_to_beta(item: Any) -> Any:
    """As a beta server shows it: with its `object`, which GA leaves out."""
    if not isinstance(item, dict):
        return item
    return _item_to_beta({**{key: item[key] for key in ("id",) if key in item}, "object": "realtime.item", **item})


def _shown_item_to_ga(item: Any) -> Any:
    return _item_to_ga({k: v for k, v in item.items() if k != "object"}) if isinstance(item, dict) else item


_FORMAT = _Values(_format_to_ga, _format_to_beta, _check_format)
_SAID = _Values(lambda items: _each(items, _item_to_ga), lambda items: _each(items, _item_to_beta))
_SHOWN = _Values(lambda items: _each(items, _shown_item_to_ga), lambda items: _each(items, _shown_item_to_beta))


class _Row(NamedTuple):
    """One field: its name in a flat beta object, its path in the nested GA one (empty: GA has none)."""

    beta: str
    ga: str
    values: _Values = _Values()


def _alike(*names: str) -> tuple[_Row, ...]:
    return tuple(_Row(name, name) for name in names)


_BOTH = _Values(_modalities_to_ga, lambda names: ["text", "audio"] if names == ["audio"] else names)
_MODALITIES = _Row("modalities", "output_modalities", _BOTH)
_VOICE = _Row("voice", "audio.output.voice")
_OUTPUT_FORMAT = _Row("output_audio_format", "audio.output.format", _FORMAT)
_CHOICE = _Row("tool_choice", "tool_choice", _Values(_choice_to_ga))
_TEMPERATURE = _Row("temperature", "", _Values(check=_check_temperature))
_MAX_TOKENS = _Row("max_response_output_tokens", "max_output_tokens")
_USAGE = _Row("usage", "usage", _Values(to_beta=_usage_to_beta))
_HEARING = (
    _Row("input_audio_format", "audio.input.format", _FORMAT),
    _Row("input_audio_transcription", "audio.input.transcription"),
    _Row("turn_detection", "audio.input.turn_detection", _Values(to_beta=_turn_to_beta)),
    _Row("input_audio_noise_reduction", "audio.input.noise_reduction"),
)
_CLIENT_SECRET = _Row("client_secret", "")

# Rows stand in the order in which a beta server sends the fields.
_SESSION = (
    *_alike("object", "id", "model"), _MODALITIES, *_alike("instructions"), _VOICE,
    _HEARING[0], _OUTPUT_FORMAT, *_HEARING[1:3], *_alike("tools"), _CHOICE, _TEMPERATURE, _MAX_TOKENS,
    _Row("speed", "audio.output.speed"), *_alike("tracing"), _HEARING[3],
    *_alike("include", "prompt", "expires_at"), _CLIENT_SECRET,
)  # fmt: skip
_TRANSCRIPTION = (*_alike("object", "id"), *_HEARING, *_alike("include", "expires_at"), _CLIENT_SECRET,
                  _Row("modalities", ""))  # fmt: skip
_PARAMS = (
    *_alike("conversation"), _Row("input", "input", _SAID), *_alike("instructions"), _MODALITIES, _VOICE,
    _OUTPUT_FORMAT, *_alike("tools"), _CHOICE, _TEMPERATURE, _MAX_TOKENS, *_alike("metadata", "prompt"),
)  # fmt: skip
_PARAMS_READ = (*_PARAMS, *_alike("max_output_tokens"))
"""The beta's reference named the field without its middle in `response.create`, and clients followed it."""
_RESPONSE = (
    *_alike("object", "id", "status", "status_details"), _Row("output", "output", _SHOWN), *_alike("conversation_id"),
    _MODALITIES, _VOICE, _OUTPUT_FORMAT, _TEMPERATURE, *_alike("max_output_tokens"), _USAGE, *_alike("metadata"),
)  # fmt: skip
_GA_ONLY = ("type", "audio", "truncation", "reasoning", "parallel_tool_calls")


def _nest(flat: Any, rows: tuple[_Row, ...], where: str = "") -> Any:
    """Beta object to GA. With `where`, a client's object at that path: bad keys and values raise ProtocolError."""
    if not isinstance(flat, dict):
        return flat
    known = {row.beta: row for row in rows}
    nested: Json = {}
    for key, value in flat.items():
        row = known.get(key)
        if where and row is None:
            raise unknown_parameter_error(f"{where}.{key}")
        if where and row is not None and row.values.check:
            row.values.check(value, f"{where}.{key}")
        if row is not None and row.ga:
            *folders, last = row.ga.split(".")
            level = nested
            for folder in folders:
                level = level.setdefault(folder, {})
            level[last] = row.values.to_ga(value)
        elif row is None and key not in _GA_ONLY:
            nested[key] = value
    return nested


def _flatten(nested: Any, rows: tuple[_Row, ...], *, in_force: bool = False) -> Any:
    """GA object to beta. What cannot be said is left out, what nobody knows passes; one in force has a temperature."""
    if not isinstance(nested, dict):
        return nested
    flat: Json = {}
    for row in rows:
        if row.ga:
            flat.update((row.beta, row.values.to_beta(value)) for value in _dig(nested, row.ga))
        elif in_force and row is _TEMPERATURE:
            flat[row.beta] = TEMPERATURE
    spoken = (*_GA_ONLY, *(row.ga.partition(".")[0] for row in rows))
    return {**flat, **{key: value for key, value in nested.items() if key not in spoken}}


def _dig(nested: Json, path: str) -> Iterator[Any]:
    """The value at `path`, or nothing where it is not set: unset is not null."""
    level: Any = nested
    for step in path.split("."):
        if not isinstance(level, dict) or step not in level:
            return
        level = level[step]
    yield level


def _typed(session: Any, name: str) -> Any:
    return {"type": name, **session} if isinstance(session, dict) else session


def _transcribes(session: Any) -> bool:
    return isinstance(session, dict) and session.get("type") == "transcription"


def _session_rows(nested: Any) -> tuple[_Row, ...]:
    return _TRANSCRIPTION if _transcribes(nested) else _SESSION


_FIELDS = [(root, row) for root, rows in (("session", _SESSION), ("response", _PARAMS)) for row in rows if row.ga]


def param_to_beta(param: str) -> str:
    """An error's path, said in beta: `session.audio.input.turn_detection.type` is `session.turn_detection.type`."""
    return _moved(param, [(f"{root}.{row.ga}", f"{root}.{row.beta}") for root, row in _FIELDS])


def param_to_ga(param: str) -> str:
    """An error's path, said in GA."""
    return _moved(param, [(f"{root}.{row.beta}", f"{root}.{row.ga}") for root, row in _FIELDS])


def _moved(param: str, moves: list[tuple[str, str]]) -> str:
    for old, new in moves:
        if param == old or param.startswith((f"{old}.", f"{old}[")):
            return new + param[len(old) :]
    return param


def _error(error: Any, rename: Callable[[str], str]) -> Any:
    if not isinstance(error, dict) or not isinstance(param := error.get("param"), str):
        return error
    # an unknown key is no field of either dialect, even where the other has one of that name: only its place moves
    place, dot, key = param.rpartition(".") if error.get("code") == "unknown_parameter" else (param, "", "")
    moved = rename(place) + dot + key
    message = str(error.get("message", "")).replace(f"'{param}'", f"'{moved}'")
    return {**error, "param": moved, "message": message}


_RENAMED = {
    "response.text.": "response.output_text.",
    "response.audio.": "response.output_audio.",
    "response.audio_transcript.": "response.output_audio_transcript.",
    "conversation.item.created": "conversation.item.added",
    "transcription_session.": "session.",
}
"""Beginnings of event types, beta and GA."""
_RENAMED_BACK = {ga: beta for beta, ga in _RENAMED.items() if ga != "session."}

_Body = tuple[str, Callable[[Any], Any]]
"""The field that differs between the dialects, and how it is said in the other one."""

_CLIENT_TO_GA: dict[str, _Body] = {
    "session.update": ("session", lambda flat: _typed(_nest(flat, _SESSION, "session"), "realtime")),
    "transcription_session.update": (
        "session", lambda flat: _typed(_nest(flat, _TRANSCRIPTION, "session"), "transcription")),
    "response.create": ("response", lambda flat: _nest(flat, _PARAMS_READ, "response")),
    "conversation.item.create": ("item", _item_to_ga),
}  # fmt: skip
_CLIENT_TO_BETA: dict[str, _Body] = {
    "session.update": ("session", lambda nested: _flatten(nested, _session_rows(nested))),
    "response.create": ("response", lambda nested: _flatten(nested, _PARAMS)),
    "conversation.item.create": ("item", _item_to_beta),
}
_SESSION_IN: _Body = ("session", lambda flat: _typed(_nest(flat, _SESSION), "realtime"))
_TRANSCRIPTION_IN: _Body = ("session", lambda flat: _typed(_nest(flat, _TRANSCRIPTION), "transcription"))
_RESPONSE_IN: _Body = ("response", lambda flat: _nest(flat, _RESPONSE))
_SERVER_TO_GA: dict[str, _Body] = {
    "error": ("error", lambda error: _error(error, param_to_ga)),
    **dict.fromkeys(("session.created", "session.updated"), _SESSION_IN),
    **dict.fromkeys(("transcription_session.created", "transcription_session.updated"), _TRANSCRIPTION_IN),
    **dict.fromkeys(("response.created", "response.done"), _RESPONSE_IN),
    **dict.fromkeys(("conversation.item.created", "response.output_item.added", "response.output_item.done"),
                    ("item", _shown_item_to_ga)),
    "conversation.item.retrieved": ("item", _item_to_ga),  # GA too names an item's `object` where it was asked for it
}  # fmt: skip
_SESSION_OUT: _Body = ("session", lambda nested: _flatten(nested, _session_rows(nested), in_force=True))
_RESPONSE_OUT: _Body = ("response", lambda nested: _flatten(nested, _RESPONSE, in_force=True))
_SERVER_TO_BETA: dict[str, _Body] = {
    "error": ("error", lambda error: _error(error, param_to_beta)),
    **dict.fromkeys(("session.created", "session.updated"), _SESSION_OUT),
    **dict.fromkeys(("response.created", "response.done"), _RESPONSE_OUT),
    **dict.fromkeys(("conversation.item.added", "conversation.item.created", "conversation.item.retrieved",
                     "response.output_item.added", "response.output_item.done"), ("item", _shown_item_to_beta)),
}  # fmt: skip


def client_event_to_ga(frame: bytes | str) -> bytes | str:
    """A beta client's frame as a GA frame, for `decode_client_event` to judge the rest.

    Raises ProtocolError, its param named in beta, for keys that the beta does not know and for values that mean
    nothing in it. Whatever GA then refuses carries a GA path: `server_event_to_beta` says it in beta.
    """
    kind, event_id = peek(frame)
    if kind not in _CLIENT_TO_GA:
        return frame
    try:
        return _written(_to_ga(frame, kind, _CLIENT_TO_GA))
    except ProtocolError as error:
        error.event_id = event_id
        raise


def client_event_to_beta(frame: bytes | str) -> bytes | str:
    """A GA client's frame for a beta server, which refuses what it cannot do. Raises ProtocolError for what no JSON is.

    A session update gains no temperature: a beta server's own default is the one to keep.
    """
    kind, _ = peek(frame)
    return _to_beta(frame, kind, _CLIENT_TO_BETA) if kind in _CLIENT_TO_BETA else frame


def server_event_to_beta(event: ServerEvent | UnknownEvent) -> list[bytes]:
    """What a beta client is sent for one GA event: one frame, or none, as the beta has no `conversation.item.done`."""
    frame = encode(event)
    kind = event.type if isinstance(event, UnknownEvent) else str(event.__struct_config__.tag)
    if kind == "conversation.item.done":
        return []
    if kind not in _SERVER_TO_BETA:
        return [_renamed(frame, kind, _name(kind, _RENAMED_BACK))]
    try:
        return [_to_beta(frame, kind, _SERVER_TO_BETA)]
    except ProtocolError:
        return [frame]


class BetaServer:
    """Reads a beta server as if it spoke GA.

    It remembers the items that responses have open, for one reason: the beta does not say that an item is final, GA
    does, with `conversation.item.done`: at once for what a client or the user said, just before
    `response.output_item.done` for what the model said.
    """

    def __init__(self) -> None:
        self._open: dict[str, str] = {}
        """Ids of items that a response has open, each with the id of that response."""
        self._announced: dict[str, Any] = {}
        """Of these, the ones that entered the conversation, each with its predecessor's id."""

    def to_ga(self, frame: bytes) -> list[bytes]:
        """One beta frame as GA frames, in order. Never raises: what is not an event passes for its reader to judge."""
        kind, event_id = peek(frame)
        if kind not in _SERVER_TO_GA:
            return [_renamed(frame, kind, _name(kind, _RENAMED))]
        try:
            event = _to_ga(frame, kind, _SERVER_TO_GA)
            return [_written(each) for each in self._with_done(event, event_id or "event")]
        except ProtocolError:
            return [frame]

    def _with_done(self, event: Json, event_id: str) -> list[Json]:
        body = event.get("response") if event["type"] == "response.done" else event.get("item")
        key = body.get("id") if isinstance(body, dict) else None
        if not isinstance(key, str):
            return [event]
        done = {"type": "conversation.item.done", "event_id": f"{event_id}_done"}
        match event["type"]:
            case "response.output_item.added":
                self._open[key] = str(event.get("response_id"))
            case "conversation.item.added" if key in self._open:
                self._announced[key] = event.get("previous_item_id")
            case "conversation.item.added":
                return [event, {**done, "previous_item_id": event.get("previous_item_id"), "item": body}]
            case "response.output_item.done":
                self._open.pop(key, None)
                if key in self._announced:
                    return [{**done, "previous_item_id": self._announced.pop(key), "item": body}, event]
            case "response.done":
                for item_id in [item_id for item_id, response_id in self._open.items() if response_id == key]:
                    del self._open[item_id]
                    self._announced.pop(item_id, None)
        return [event]


def _name(kind: str, beginnings: dict[str, str]) -> str:
    return next((new + kind[len(old) :] for old, new in beginnings.items() if kind.startswith(old)), kind)


def _to_ga(frame: bytes | str, kind: str, bodies: dict[str, _Body]) -> Json:
    field, change = bodies[kind]
    event: Json = {**parse(frame), "type": _name(kind, _RENAMED)}
    if field in event:
        event[field] = change(event[field])
    return event


def _to_beta(frame: bytes | str, kind: str, bodies: dict[str, _Body]) -> bytes:
    field, change = bodies[kind]
    event: Json = parse(frame)
    transcribes = _transcribes(event.get("session"))
    event["type"] = f"transcription_{kind}" if transcribes else _name(kind, _RENAMED_BACK)
    if field in event:
        event[field] = change(event[field])
    return _written(event)


def _renamed(frame: bytes, kind: str, name: str) -> bytes:
    """The frame under another name; without parsing it where the type comes first, as it nearly always does."""
    if kind == name:
        return frame
    start = b'{"type":"' + kind.encode() + b'"'
    if frame.startswith(start):
        return b'{"type":"' + name.encode() + b'"' + frame[len(start) :]
    try:
        return _written({**parse(frame), "type": name})
    except ProtocolError:
        return frame


def _written(event: Json) -> bytes:
    try:
        return msgspec.json.encode(event)
    except RecursionError:
        raise ProtocolError("The event is nested too deeply.", code="invalid_json") from None
