"""Client secrets over HTTP, the pure part: from the body of a request to settings, from settings to an answer."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from duologue.access.secrets import seal
from duologue.errors import ProtocolError
from duologue.protocol.client_events import SessionUpdate
from duologue.protocol.codec import decode_client_event, invalid_value, parse, unknown_parameter_error
from duologue.protocol.dialect import client_event_to_ga, server_event_to_beta
from duologue.protocol.server_events import Error, ErrorDetails, SessionUpdated
from duologue.protocol.session import AnySession, RealtimeSession

DEFAULT_SECONDS = 600
BETA_SECONDS = 60
SHORTEST_SECONDS, LONGEST_SECONDS = 10, 7200
LONGEST_SECRET = 16_384
"""Characters: a secret travels in a header, and headers are bounded everywhere on the way."""


class Order(Struct, frozen=True, kw_only=True):
    """A client secret that was asked for: settings as the client gave them, and how long it is to live."""

    session: AnySession
    seconds: int
    temperature: float | None = None
    """What a client of the beta chose, to be shown to it: GA's settings have no place for it."""


class Key(Struct, frozen=True, kw_only=True):
    """A client secret, and when it ends in seconds since 1970."""

    value: str
    expires_at: int


def read_order(body: bytes) -> Order:
    """The body of a request for a client secret. Raises ProtocolError with the path of what is wrong."""
    asked = _object(body)
    for name in asked:
        if name not in ("session", "expires_after"):
            raise unknown_parameter_error(name)
    seconds = _seconds(asked.get("expires_after"), "expires_after", DEFAULT_SECONDS)
    if asked.get("session") is None:
        return Order(session=RealtimeSession(), seconds=seconds)
    return Order(session=_session("session.update", asked["session"], beta=False), seconds=seconds)


def read_beta_order(body: bytes, *, transcribes: bool) -> Order:
    """The same for the beta's two kinds of session, whose settings are the body itself."""
    asked = _object(body)
    wish = asked.pop("client_secret", None) or {}
    if not isinstance(wish, dict):
        raise _no_object("client_secret")
    seconds = _seconds(wish.get("expires_after"), "client_secret.expires_after", BETA_SECONDS)
    kind = "transcription_session.update" if transcribes else "session.update"
    try:
        session = _session(kind, asked, beta=True)
    except ProtocolError as error:
        raise _at_home(error) from None
    return Order(session=session, seconds=seconds, temperature=asked.get("temperature"))


def _at_home(error: ProtocolError) -> ProtocolError:
    """The error said in beta, its path without the `session.` of an event."""
    details = ErrorDetails(type=error.type, code=error.code, message=error.message, param=error.param)
    (frame,) = server_event_to_beta(Error(error=details))
    said = parse(frame)["error"]
    param = said["param"] and said["param"].removeprefix("session.")
    message = said["message"].replace(f"'{said['param']}'", f"'{param}'")
    return ProtocolError(message, code=error.code, param=param)


def _object(body: bytes) -> dict[str, Any]:
    asked = parse(body or b"{}")
    if not isinstance(asked, dict):
        raise ProtocolError("The body is not a JSON object.", code="invalid_json")
    return asked


def _no_object(param: str) -> ProtocolError:
    return ProtocolError(f"Invalid type for '{param}': expected an object.", code="invalid_type", param=param)


def _session(kind: str, settings: Any, *, beta: bool) -> AnySession:
    frame: bytes | str = msgspec.json.encode({"type": kind, "session": settings})
    event = decode_client_event(client_event_to_ga(frame) if beta else frame)
    assert isinstance(event, SessionUpdate)
    return event.session


def _seconds(wish: Any, path: str, default: int) -> int:
    if wish is None:
        return default
    if not isinstance(wish, dict):
        raise _no_object(path)
    for name in wish:
        if name not in ("anchor", "seconds"):
            raise unknown_parameter_error(f"{path}.{name}")
    anchor, seconds = wish.get("anchor", "created_at"), wish.get("seconds", default)
    if anchor != "created_at":
        raise invalid_value(f"{path}.anchor", str(anchor), ("created_at",))
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        message = f"Invalid type for '{path}.seconds': expected an integer."
        raise ProtocolError(message, code="invalid_type", param=f"{path}.seconds")
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        below = seconds < SHORTEST_SECONDS
        bound = f">= {SHORTEST_SECONDS}" if below else f"<= {LONGEST_SECONDS}"
        raise ProtocolError(
            f"Invalid '{path}.seconds': expected a value {bound}, but got {seconds} instead.",
            code=f"integer_{'below_min' if below else 'above_max'}_value",
            param=f"{path}.seconds",
        )
    return seconds


def make_key(order: Order, *, signing_key: bytes, nonce: bytes, now_s: int) -> Key:
    """The secret itself. Raises ProtocolError where the settings are too long to travel in it."""
    expires_at = now_s + order.seconds
    payload = msgspec.json.encode(order.session)
    if order.temperature is not None:
        payload = msgspec.json.encode({**parse(payload), "temperature": order.temperature})
    value = seal(payload, key=signing_key, nonce=nonce, expires_at=expires_at)
    if len(value) > LONGEST_SECRET:
        message = (
            f"The settings make a client secret of {len(value)} characters, and {LONGEST_SECRET} is the most that "
            "a header carries: send long instructions and tools with session.update instead."
        )
        raise ProtocolError(message, code="session_too_large", param="session")
    return Key(value=value, expires_at=expires_at)


def answer(key: Key, session: AnySession) -> bytes:
    """What a request for a client secret is answered with; `session`: the effective settings."""
    return msgspec.json.encode({"value": key.value, "expires_at": key.expires_at, "session": session})


def beta_answer(key: Key, session: AnySession, temperature: float | None = None) -> bytes:
    """The same in beta: the flat session with the secret inside, and with the temperature that was chosen."""
    (frame,) = server_event_to_beta(SessionUpdated(session=session))
    chosen = {} if temperature is None else {"temperature": temperature}
    return msgspec.json.encode({**parse(frame)["session"], **chosen, "client_secret": key})
