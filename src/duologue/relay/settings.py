"""The relay's settings: everything that `relay.toml` may say, and its defaults. Pure but for `load`, which reads the file.

The defaults deny what is not needed to talk. Mistakes are ConfigErrors that name the file, the line and the remedy.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct, inspect

from duologue.errors import ConfigError, ProtocolError
from duologue.protocol.codec import CLIENT_EVENT_TYPES, SERVER_EVENT_TYPES, encode
from duologue.protocol.session import RealtimeSession

Lock = Literal[
    "instructions", "tools", "tool_choice", "model", "voice", "speed", "input_format", "output_format",
    "output_modalities", "max_output_tokens", "turn_detection", "transcription", "noise_reduction", "prompt", "tracing",
    "truncation", "include", "reasoning", "parallel_tool_calls", "metadata", "conversation", "input",
]  # fmt: skip
"""A field that callers may not set. `conversation` and `input` exist in `response.create` only."""

DEFAULT_LOCKS: tuple[Lock, ...] = (
    "instructions", "tools", "tool_choice", "model", "max_output_tokens", "prompt", "tracing", "truncation", "include",
    "reasoning", "parallel_tool_calls", "conversation", "input",
)  # fmt: skip
CALLER_EVENTS = tuple(name for name in CLIENT_EVENT_TYPES if name != "output_audio_buffer.clear")
_NOT_NEEDED = ("rate_limits.updated", "conversation.created", "input_audio_buffer.dtmf_event_received")
UPSTREAM_EVENTS = tuple(name for name in SERVER_EVENT_TYPES if "mcp" not in name and name not in _NOT_NEEDED)


class Listen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the relay answers."""

    host: str = "127.0.0.1"
    port: int = 8081


class Upstream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Realtime API behind the relay. The key stands in the environment or in a file of its own, never here."""

    url: str = "wss://api.openai.com/v1/realtime"
    model: str = "gpt-realtime"
    key_env: str = "OPENAI_API_KEY"
    key_file: str | None = None
    """A file that holds nothing but the key; goes before `key_env`."""
    key_header: Literal["authorization", "api-key"] = "authorization"
    """`api-key` for Azure."""
    dialect: Literal["ga", "beta"] = "ga"
    headers: dict[str, str] = {}
    """More headers for the handshake, such as an organization."""


class StaticToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A relay token that does not expire: in the environment variable `env`, or known by its SHA-256 only."""

    user: str
    env: str | None = None
    sha256: str | None = None


class Jwt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """JSON web tokens of an identity provider. HS needs `secret_env`, RS needs `jwks_file`."""

    algorithms: tuple[Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512"], ...]
    secret_env: str | None = None
    jwks_file: str | None = None
    audience: str | None = None
    issuer: str | None = None
    user_claim: str = "sub"
    leeway_s: int = 10


class Callers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may call, and from which pages."""

    loopback_open: bool = True
    """Without a credential from this machine itself; never from elsewhere."""
    tokens: tuple[StaticToken, ...] = ()
    secret_env: str | None = None
    """Environment variable with the key that signs short-lived client secrets; without it there are none."""
    secret_seconds: int = 600
    jwt: Jwt | None = None
    origins: tuple[str, ...] = ()
    """Pages that may call, e.g. `https://shop.example`; pages of this machine may where `loopback_open` holds."""
    hosts: tuple[str, ...] = ()
    """Names the relay is called by (`Host`), with port where it is not the default one. Empty: any."""


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may pass. An event has to be on its allow list and not on its deny list."""

    caller_events: tuple[str, ...] = CALLER_EVENTS
    caller_events_denied: tuple[str, ...] = ()
    upstream_events: tuple[str, ...] = UPSTREAM_EVENTS
    upstream_events_denied: tuple[str, ...] = ()
    locked: tuple[Lock, ...] = DEFAULT_LOCKS
    on_locked: Literal["ignore", "refuse"] = "ignore"
    """`ignore` drops a locked field and lets the rest pass, as stock clients need; `refuse` answers with an error."""
    roles: tuple[Literal["user", "system", "assistant"], ...] = ("user",)
    item_types: tuple[
        Literal["message", "function_call", "function_call_output", "mcp_approval_response"], ...
    ] = ("message", "function_call_output")  # fmt: skip
    session_types: tuple[Literal["realtime", "transcription"], ...] = ("realtime",)


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one call and of one user. None: no bound."""

    event_bytes: int = 1 << 20
    events_per_s: float = 100
    events_burst: int = 300
    audio_s_per_minute: float = 120
    """Seconds of sound that a caller may send in a minute, and at once."""
    session_s: float = 3600
    idle_s: float = 600
    """Without any event in either direction."""
    refusals_per_minute: int = 60
    """A caller that is refused more often is cut off."""
    sessions: int = 1000
    sessions_per_user: int = 4
    tokens_per_session: int | None = None
    usd_per_session: float | None = None
    tokens_per_user_day: int | None = None
    usd_per_user_day: float | None = None


class ToolSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Python function that the model may call; it runs in the relay and callers never see it."""

    function: str
    """`module:function`."""
    name: str | None = None
    description: str | None = None
    timeout_s: float = 30


class HookSources(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Python functions, as `module:function`, that take part in the judgement."""

    session: str | None = None
    """`(session: dict, caller) -> dict`: the session to open for this caller."""
    caller_event: str | None = None
    """`(event: dict, caller) -> dict | None | Refuse`."""
    upstream_event: str | None = None
    """`(event: dict, caller) -> dict | None`."""
    audio: bool = False
    """True: `caller_event` and `upstream_event` see audio too, which then takes the slow way."""


class Ledger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the spending of users is kept over restarts."""

    path: str = "relay.sqlite3"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of `relay.toml`."""

    listen: Listen = Listen()
    upstream: Upstream = Upstream()
    callers: Callers = Callers()
    policy: Rules = Rules()
    session: dict[str, Any] = {}
    """The session that every call opens with, as a GA `session` object: instructions, voice, tools of the caller…
    `instructions_file` names a file to read the instructions from. What stands here is never shown to callers."""
    tools: tuple[ToolSource, ...] = ()
    hooks: HookSources = HookSources()
    limits: Limits = Limits()
    ledger: Ledger = Ledger()
