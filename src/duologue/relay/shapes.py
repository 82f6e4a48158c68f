"""Two ways to know what a frame means. Pure.

The quick way proves an exact shape: a fixed head, base64 and nothing else, and two bytes at the end. No reader of JSON
can take such a frame for anything but audio, so it may pass as it is. The strict way decodes, and refuses whatever two
readers could disagree on; what it lets through is encoded anew before it is judged and sent.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

import msgspec
import pybase64

from duologue.errors import ProtocolError
from duologue.protocol.codec import peek

MAX_DEPTH = 64
MAX_DIGITS = 17
"""More digits than this are not the same number in every reader."""
LONGEST_EVENT_ID = 512

ID = rb"[A-Za-z0-9_-]{1,64}"
"""A pattern of ids that mean the same in every spelling."""
_APPEND = re.compile(
    rb'\{(?:"event_id": ?"' + ID + rb'", ?)?"type": ?"input_audio_buffer\.append", ?"audio": ?"', re.ASCII
)
_PLAIN_APPEND = b'{"type":"input_audio_buffer.append","audio":"'
END = b'"}'
TAIL = slice(-len(END), None)
_PLAIN_HEAD = slice(len(_PLAIN_APPEND))
_PLAIN_SOUND = slice(len(_PLAIN_APPEND), -len(END))
_PADDED_END = re.compile(rb'", ?"obfuscation": ?"[A-Za-z0-9]{0,200}"\}')
decode = pybase64.b64decode


def append_bytes(frame: bytes) -> int | None:
    """Bytes of sound in an append of an exact shape; None for every other frame.

    Decoding is the proof: neither quote nor backslash nor any byte outside of ASCII is in the alphabet.
    """
    sound = _PLAIN_SOUND
    if frame[_PLAIN_HEAD] != _PLAIN_APPEND:
        head = _APPEND.match(frame)
        if head is None:
            return None
        sound = slice(head.end(), -len(END))
    try:
        return len(decode(frame[sound], None, True)) if frame[TAIL] == END else None
    except ValueError:
        return None


def ends_in_words(frame: bytes, start: int) -> bool:
    """True if from `start` on there are words that stand for themselves, and then the end or padding before it.

    Text without quotes, backslashes and control characters has one meaning only. Printable is less than that, and asked
    for in one step; what else there is in Unicode takes the strict way.
    """
    end = frame.find(b'"', start)
    if end != len(frame) - 2 or not frame.endswith(END):
        padding = _PADDED_END.match(frame, end) if end > 0 else None
        if padding is None or padding.end() != len(frame):
            return False
    words = frame[start:end]
    try:
        return b"\\" not in words and words.decode().isprintable()
    except UnicodeDecodeError:
        return False


class _Refused(ValueError):
    """Raised inside the parser's hooks."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Refused(f"the key '{twice[:100]}' stands twice in one object")
    return made


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise _Refused(f"a number of {len(digits)} digits")
    return int(digits)


def _decimal(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise _Refused(f"the number {digits[:30]} is out of range")
    return value


def _constant(name: str) -> Any:
    raise _Refused(f"{name} is not JSON")


_strict = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_decimal, parse_constant=_constant
)
_KEY = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?', re.DOTALL)


def strict_parse(frame: bytes) -> dict[str, Any]:
    """A caller's frame as plain values that mean the same to every reader. Raises ProtocolError.

    Refused: what is not UTF-8, a byte order mark, anything but one object, a key twice, an ASCII character of a key in
    disguise, half a surrogate pair, numbers that do not fit, NaN, more than `MAX_DEPTH` levels, a type that is no string.
    """
    try:
        text = frame.decode()
        raw = _strict.decode(text)
        if "\\" in text:
            _check_keys(text)
        canonical(raw)
    except UnicodeError:
        raise _not_usable(frame, "it is not valid Unicode") from None
    except _Refused as problem:
        raise _not_usable(frame, str(problem)) from None
    except (ValueError, RecursionError) as problem:
        raise _not_usable(frame, f"it is not valid JSON: {problem}") from None
    if not isinstance(raw, dict):
        raise ProtocolError("The event is not a JSON object.", code="invalid_event")
    event_id = raw.get("event_id")
    if isinstance(event_id, str) and len(event_id) > LONGEST_EVENT_ID:
        raise ProtocolError("The event_id is too long.", code="string_above_max_length", param="event_id")
    if _deeper_than(raw, MAX_DEPTH):
        raise _not_usable(frame, f"it is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(raw.get("type"), str):
        raise ProtocolError("The 'type' field is missing.", code="invalid_event", event_id=event_id_of(raw))
    return raw


def canonical(event: Any) -> bytes:
    """The one spelling in which an event is judged and sent. Raises ValueError for what has none."""
    try:
        return msgspec.json.encode(event)
    except UnicodeError:
        raise
    except (TypeError, OverflowError, RecursionError, msgspec.MsgspecError) as problem:
        raise ValueError(str(problem)) from None


def event_id_of(event: dict[str, Any]) -> str | None:
    """The sender's own id of an event."""
    given = event.get("event_id")
    return given if isinstance(given, str) and len(given) <= LONGEST_EVENT_ID else None


def _not_usable(frame: bytes, why: str) -> ProtocolError:
    named = event_id_of({"event_id": peek(frame)[1]})
    return ProtocolError(f"The event cannot be used: {why}.", code="invalid_json", event_id=named)


def _check_keys(text: str) -> None:
    """JSON is valid by now, so a string before a colon is a key. Escapes that an ASCII key does not need hide something."""
    for found in _KEY.finditer(text):
        if found[2] and "\\" in found[1]:
            key = json.loads(f'"{found[1]}"')
            if key.isascii() and found[1] != canonical(key)[1:-1].decode():
                raise _Refused(f"the key '{key[:100]}' is spelled with escapes")


def _deeper_than(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [
            child for parent in level if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]  # fmt: skip
        if not level:
            return False
    return True
