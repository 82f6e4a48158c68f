"""Frames and words made fit for logs: keys taken out, sound told by its size. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

HIDDEN = "[redacted]"
_SECRET_NAMES = frozenset((
    "authorization", "api_key", "api-key", "apikey", "x-api-key", "client_secret", "token", "access_token", "secret",
    "password", "cookie", "set-cookie", "headers",
))  # fmt: skip
_KEYS = re.compile(
    r"(?P<prefix>\b(?:sk|ek|rk|pk|whsec)[-_])[A-Za-z0-9_\-]{6,}"
    r"|(?P<bearer>\b[Bb]earer\s+)[A-Za-z0-9._~+/\-]{6,}=*"
    r"|(?P<offered>openai-insecure-api-key\.)[^\s,\"]+"
    r"|\beyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+"
)
_SOUND = re.compile(rb'"(audio|delta)"\s*:\s*"([A-Za-z0-9+/]{64,}={0,2})"')
_LONGEST = 4000


def redacted(text: str) -> str:
    """The text without keys (`sk-…`, `ek_…`, bearer tokens, JWTs); their first letters stay, so that one knows which."""
    return _KEYS.sub(lambda found: f"{found['prefix'] or found['bearer'] or found['offered'] or ''}{HIDDEN}", text)


def loggable(frame: bytes | str, longest: int = _LONGEST) -> str:
    """One event as a line for a log: sound as `[6400 bytes of sound]`, values of secret fields and anything that looks
    like a key hidden, at most `longest` characters. Never raises: what is no JSON is shown as text, made fit alike."""
    raw = frame.encode(errors="replace") if isinstance(frame, str) else bytes(frame)
    raw = _SOUND.sub(_measured, raw)
    try:
        text = msgspec.json.encode(_hidden(msgspec.json.decode(raw))).decode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        text = raw.decode(errors="replace")
    text = redacted(text)
    return text if len(text) <= longest else f"{text[:longest]}… [{len(text)} characters]"


def _measured(found: re.Match[bytes]) -> bytes:
    coded = found[2]
    size = len(coded) * 3 // 4 - coded.count(b"=")
    return b'"%s":"[%d bytes of sound]"' % (found[1], size)


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: HIDDEN if name.lower() in _SECRET_NAMES and inner not in (None, "") else _hidden(inner)
            for name, inner in value.items()
        }
    return [_hidden(inner) for inner in value] if isinstance(value, list) else value
