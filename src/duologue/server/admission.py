"""Who may open a session, in which dialect and with which settings: decided from the handshake alone.

A refusal is told after the handshake has succeeded, as an `error` event followed by a close: clients show events, and
rarely the body of a refused handshake. Pure: the time is an argument.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from duologue.access.origins import is_loopback
from duologue.access.secrets import PREFIX, Secret, unseal
from duologue.errors import ProtocolError
from duologue.protocol.session import AnySession, TranscriptionSession

Dialect = Literal["ga", "beta"]
Intent = Literal["conversation", "transcription"]

BETA_HEADER = "realtime=v1"
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
KEY_SUBPROTOCOL = "openai-insecure-api-key."
SUBPROTOCOL = "realtime"
TRANSLATOR = "gpt-realtime-translate"
LONGEST_MODEL_NAME = 256

_sessions = msgspec.json.Decoder(AnySession)


class _Chosen(Struct, frozen=True, kw_only=True):
    temperature: float | None = None


_choices = msgspec.json.Decoder(_Chosen)


class Door(Struct, frozen=True, kw_only=True):
    """Whom a server lets in. Without `api_keys` any key does, or none; without `models` any model."""

    signing_key: bytes
    api_keys: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    default_model: str = ""
    """What a client secret names where its session names none."""


class Handshake(Struct, frozen=True, kw_only=True):
    """What a client said in order to connect. Header names in lower case."""

    headers: Mapping[str, str]
    query: Mapping[str, str] = {}
    subprotocols: tuple[str, ...] = ()
    translates: bool = False
    """True at the address of translation sessions."""

    @property
    def dialect(self) -> Dialect:
        """The value of the header decides, not its presence: other APIs have betas too."""
        betas = [name.strip() for name in self.headers.get("openai-beta", "").split(",")]
        return "beta" if BETA_HEADER in betas or BETA_SUBPROTOCOL in self.subprotocols else "ga"

    @property
    def subprotocol(self) -> str | None:
        """The one to answer with: browsers give up where they offered some and got none."""
        return SUBPROTOCOL if SUBPROTOCOL in self.subprotocols else None


class Admitted(Struct, frozen=True, kw_only=True):
    """How the session begins. `initial`: the settings that its client secret carries."""

    model: str
    intent: Intent
    initial: AnySession | None = None
    temperature: float | None = None
    """What the secret's owner chose in the beta's way: GA's settings have no place for it."""
    call_id: str | None = None
    """A call whose session is joined; nothing else is of meaning then."""


class Refused(Struct, frozen=True, kw_only=True):
    """Why there is no session, and the code to close the connection with."""

    error: ProtocolError
    close_code: int = 4000

    @property
    def close_reason(self) -> str:
        """The error's type and code, as clients match them."""
        return ".".join(filter(None, (self.error.type, self.error.code)))


def key_of(handshake: Handshake) -> str | None:
    """The key that a client shows: in a header, or where a browser can set none, in a subprotocol."""
    scheme, _, bearer = handshake.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    if key := handshake.headers.get("api-key", "").strip():
        return key
    offered = (name for name in handshake.subprotocols if name.startswith(KEY_SUBPROTOCOL))
    return next(offered, KEY_SUBPROTOCOL).removeprefix(KEY_SUBPROTOCOL) or None


def check_key(key: str | None, door: Door, now_s: int) -> Secret | None:
    """The client secret, if the key is one of this server's; None for another key that opens the door.

    Raises ProtocolError for a key that does not.
    """
    secret = unseal(key, key=door.signing_key, now_s=now_s) if key and key.startswith(PREFIX) else "forged"
    if isinstance(secret, Secret):
        return secret
    if secret == "expired":
        raise ProtocolError("The client secret has expired. Ask for a new one.", code="invalid_api_key")
    if not door.api_keys:
        return None
    if key is None:
        raise ProtocolError("Missing bearer or basic authentication in header")
    # every key is compared, so that the time taken tells nothing about which one came close
    matches = [hmac.compare_digest(key.encode(), known.encode()) for known in door.api_keys]
    if not any(matches):
        raise ProtocolError(f"Incorrect API key provided: {masked(key)}.", code="invalid_api_key")
    return None


def masked(key: str) -> str:
    """Enough of a key to recognize it by, for messages."""
    return f"{key[:3]}***{key[-4:]}" if len(key) >= 20 else key[:2] + "***" if key != "null" else key


def admit(handshake: Handshake, door: Door, now_s: int) -> Admitted | Refused:
    """Let a client in, or not."""
    try:
        _check_origin(handshake, door)
        secret = check_key(key_of(handshake), door, now_s)
    except ProtocolError as error:
        return Refused(error=error, close_code=3000)
    try:
        admitted = _session(handshake, door, _sessions.decode(secret.payload) if secret else None)
        return replace(admitted, temperature=_choices.decode(secret.payload).temperature) if secret else admitted
    except ProtocolError as error:
        return Refused(error=error)


def _check_origin(handshake: Handshake, door: Door) -> None:
    """Without keys a server is for this machine: no page of the world may use it behind its user's back."""
    origin = handshake.headers.get("origin")
    if origin is None or door.api_keys:
        return
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        host = ""
    if not is_loopback(host):
        message = f"Pages of {origin[:100]} may not use this server: it checks no keys. Start it with --api-key."
        raise ProtocolError(message, code="origin_not_allowed")


def _session(handshake: Handshake, door: Door, initial: AnySession | None) -> Admitted:
    query = handshake.query
    model = query.get("model", "")
    if handshake.translates or model.startswith(TRANSLATOR):
        raise no_translation()
    if call_id := query.get("call_id"):
        return Admitted(model="", intent="conversation", call_id=call_id)
    intent = query.get("intent") or "conversation"
    if intent not in ("conversation", "transcription"):
        message = f"Invalid value: '{intent[:100]}'. Supported values are: 'conversation' and 'transcription'."
        raise ProtocolError(message, code="invalid_value", param="intent")
    if intent == "transcription" or isinstance(initial, TranscriptionSession):
        return Admitted(model=model, intent="transcription", initial=initial)
    if initial is not None:
        model = initial.model or model or door.default_model
    if not model:
        raise ProtocolError("You must provide a model parameter.", code="missing_model")
    check_model(model, door)
    return Admitted(model=model, intent="conversation", initial=initial)


def check_model(model: str, door: Door) -> None:
    """Raises ProtocolError for a model that this server does not have."""
    if model.startswith(TRANSLATOR):
        raise no_translation()
    if len(model) > LONGEST_MODEL_NAME or (door.models and model not in door.models):
        message = f'Model "{model[:LONGEST_MODEL_NAME]}" is not supported in realtime mode.'
        raise ProtocolError(message, code="invalid_model", param="model")


def no_translation() -> ProtocolError:
    """What asking for a translation session is answered with."""
    message = "Translation sessions need an engine that translates speech, and this server has none."
    return ProtocolError(message, code="translation_not_supported")


def no_call(call_id: str) -> ProtocolError:
    """What asking for a call is answered with that this server does not hold."""
    return ProtocolError(f"There is no call '{call_id[:100]}'.", code="call_not_found", param="call_id")


def model_of(session: AnySession) -> str:
    """The model that a session names, or nothing."""
    model = UNSET if isinstance(session, TranscriptionSession) else session.model
    return "" if model is UNSET else model
