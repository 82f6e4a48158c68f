"""The relay's settings: everything that `relay.toml` may say, and its defaults. Pure but for `load`, which reads the file.

The defaults deny what is not needed to talk. Mistakes are ConfigErrors that name the file, the line and the remedy.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import fields, replace

from duologue.errors import ConfigError, ProtocolError
from duologue.protocol.codec import CLIENT_EVENT_TYPES, SERVER_EVENT_TYPES, decode_client_event

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
    """A relay token that does not expire: in the environment variable `env`, or known by its SHA-256 only.

    `metrics`: its bearer may read the meters of all calls.
    """

    user: str
    env: str | None = None
    sha256: str | None = None
    metrics: bool = False


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

    loopback_open: bool | None = None
    """Without a credential from this machine itself, never from elsewhere. Unset: while no other way in is configured."""
    tokens: tuple[StaticToken, ...] = ()
    secret_env: str | None = None
    """Environment variable with the key that signs short-lived client secrets; without it there are none."""
    secret_seconds: int = 600
    jwt: Jwt | None = None
    origins: tuple[str, ...] = ()
    """Pages that may call with a credential, e.g. `https://shop.example`. Empty: any; without credential only pages of
    this machine."""
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
    caller_mcp: bool = False
    """May callers, where `tools` is not locked, name MCP servers for the upstream to call?"""


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one call and of one user. None: no bound."""

    event_bytes: int = 1 << 20
    events_per_s: float = 100
    events_burst: int = 300
    """Events that are not plain sound count once more for every 16 KiB."""
    audio_s_per_minute: float = 120
    """Seconds of sound that a caller may send in a minute, and at once."""
    session_s: float = 3600
    idle_s: float = 600
    """Without any event in either direction."""
    refusals_per_minute: int = 60
    """A caller that is refused more often is cut off."""
    sessions: int = 1000
    """Calls at a time, over all processes that share the ledger, as `sessions_per_user`."""
    sessions_per_user: int = 4
    tokens_per_session: int | None = None
    usd_per_session: float | None = None
    tokens_per_user_day: int | None = None
    usd_per_user_day: float | None = None
    prices_file: str | None = None
    """Prices of one's own, in the form of the package's `prices.toml`."""


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


CONTENTS = ("audio", "images", "text", "instructions", "tools", "arguments", "outputs")


class Recordings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is recorded of calls, as their callers see them. Keys, locked instructions and locked tools never are.

    `hide` and `drop` name kinds of content (`CONTENTS`), or fields by their path from the event's root: `$.item.id`; lists
    are entered, `*` is any name.
    """

    folder: str | None = None
    """Where each call gets a session file; None: nothing is recorded."""
    hide: tuple[str, ...] = ()
    """Replaced by nothing of the same type, sound by silence of the same length."""
    drop: tuple[str, ...] = ()
    """Fields left out; of kinds of content, whole events that carry nothing else, and the rest hidden."""


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
    recording: Recordings = Recordings()


def load(path: Path) -> Settings:
    """The settings of a file; what it names stands relative to it. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as problem:
        raise ConfigError(f"{path} cannot be read: {problem}") from None
    settings = parse(text, str(path))
    instructions = settings.session.get("instructions_file")
    if instructions is None:
        return settings
    try:
        words = (path.parent / str(instructions)).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as problem:
        line = _line_of(text, ("session", "instructions_file"))
        raise ConfigError(f"{path}:{line}: instructions_file cannot be read: {problem}") from None
    session = {key: value for key, value in settings.session.items() if key != "instructions_file"}
    return replace(settings, session={**session, "instructions": words.strip()})


def parse(text: str, name: str = "relay.toml") -> Settings:
    """The settings in a text. Raises ConfigError with the line and the remedy; `name` is how the text is called there."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{name}: this is not TOML: {problem}") from None
    try:
        _check_keys(raw, Settings, ())
        settings = msgspec.convert(raw, Settings)
        _check_values(settings)
    except _Mistake as mistake:
        raise ConfigError(f"{name}:{_line_of(text, mistake.path)}: {mistake.words}") from None
    except msgspec.ValidationError as problem:
        what, _, where = str(problem).partition(" - at `$")
        path = tuple(step for step in re.findall(r"[^.\[\]`]+", where) if not step.isdigit())
        dotted = ".".join(path)
        raise ConfigError(f"{name}:{_line_of(text, path)}: {dotted}: {what}{_meant(what)}") from None
    return settings


def check(settings: Settings) -> None:
    """For settings that come from elsewhere than a file. Raises ConfigError."""
    try:
        _check_values(settings)
    except _Mistake as mistake:
        raise ConfigError(f"{'.'.join(mistake.path)}: {mistake.words}") from None


def located(problem: ConfigError, path: Path) -> ConfigError:
    """A problem that names a setting, with the line of the file where that stands."""
    words = str(problem)
    named = re.match(rf"((?:{'|'.join(Settings.__struct_fields__)})(?:\.[a-z_]+)+): ", words)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return problem
    return ConfigError(f"{path}:{_line_of(text, named[1].split('.'))}: {words}") if named else problem


def _meant(what: str) -> str:
    """The lock that was probably meant by another word."""
    word = re.fullmatch(r"Invalid enum value '(.*)'", what)
    near = difflib.get_close_matches(word[1], get_args(Lock), n=1) if word else []
    return f". Did you mean '{near[0]}'?" if near else ""


class _Mistake(Exception):
    """A setting that cannot be used, at a path."""

    def __init__(self, path: Sequence[str], words: str) -> None:
        super().__init__(words)
        self.path = tuple(path)
        self.words = words


def _check_keys(raw: Any, kind: Any, path: tuple[str, ...]) -> None:
    """Refuse unknown keys, with the known one that was probably meant."""
    if isinstance(raw, list):
        for member in raw:
            _check_keys(member, kind, path)
        return
    if not isinstance(raw, dict):
        return
    known = {field.name: _struct_in(inspect.type_info(field.type)) for field in fields(kind)}
    for key, value in raw.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            remedy = f"Did you mean '{near[0]}'?" if near else f"Known here: {', '.join(known)}."
            raise _Mistake((*path, key), f"there is no setting '{'.'.join((*path, key))}'. {remedy}")
        if known[key] is not None:
            _check_keys(value, known[key], (*path, key))


def _struct_in(kind: inspect.Type) -> Any:
    """The struct that a field holds, alone, in a tuple or beside None."""
    if isinstance(kind, inspect.StructType):
        return kind.cls
    if isinstance(kind, inspect.VarTupleType):
        return _struct_in(kind.item_type)
    if isinstance(kind, inspect.UnionType):
        return next(filter(None, map(_struct_in, kind.types)), None)
    return None


def _check_values(settings: Settings) -> None:
    _check_events(settings.policy.caller_events, "caller_events", CLIENT_EVENT_TYPES)
    _check_events(settings.policy.caller_events_denied, "caller_events_denied", CLIENT_EVENT_TYPES)
    _check_events(settings.policy.upstream_events, "upstream_events", SERVER_EVENT_TYPES)
    _check_events(settings.policy.upstream_events_denied, "upstream_events_denied", SERVER_EVENT_TYPES)
    for key in ("hide", "drop"):
        _check_contents(getattr(settings.recording, key), key)
    _check_upstream(settings.upstream)
    _check_callers(settings.callers)
    _check_session(settings.session)
    for source in (*(tool.function for tool in settings.tools),):
        if not _FUNCTION.fullmatch(source):
            raise _Mistake(("tools", "function"), f"'{source}' is no function. Write it as 'package.module:function'.")
    for name in ("session", "caller_event", "upstream_event"):
        hook = getattr(settings.hooks, name)
        if hook is not None and not _FUNCTION.fullmatch(hook):
            raise _Mistake(("hooks", name), f"'{hook}' is no function. Write it as 'package.module:function'.")
    for name in Limits.__struct_fields__:
        value = getattr(settings.limits, name)
        if isinstance(value, int | float) and value <= 0:
            raise _Mistake(("limits", name), f"limits.{name} must be more than 0. Leave it out for the default.")
    if not 0 <= settings.listen.port <= 65_535:
        raise _Mistake(("listen", "port"), "listen.port must be 0 to 65535.")


def _check_events(names: Sequence[str], key: str, known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"Did you mean '{near[0]}'?" if near else "See docs/relay.md for their names."
            raise _Mistake(("policy", key), f"there is no event '{name}'. {remedy}")


def _check_contents(names: Sequence[str], key: str) -> None:
    for name in names:
        if name not in CONTENTS and not re.fullmatch(r"\$(\.[^.\s]+)+", name):
            near = difflib.get_close_matches(name, CONTENTS, n=1)
            remedy = f"Did you mean '{near[0]}'?" if near else f"Kinds: {', '.join(CONTENTS)}; paths begin with '$.'."
            raise _Mistake(("recording", key), f"there is no content '{name}'. {remedy}")


def _check_upstream(upstream: Upstream) -> None:
    """Settings are shown and kept in files that many may read: no key stands in them."""
    remedy = "A key stands in the environment (upstream.key_env) or in a file of its own (upstream.key_file)."
    try:
        parts = urlsplit(upstream.url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise _Mistake(("upstream", "url"), f"'{upstream.url}' is no address. It begins with wss:// or ws://.")
    if parts.password or "api-key" in parts.query.lower():
        raise _Mistake(("upstream", "url"), f"the address holds a key. {remedy}")
    for name in upstream.headers:
        if name.lower() in ("authorization", "api-key"):
            raise _Mistake(("upstream", "headers"), f"'{name}' does not belong here. {remedy}")


def _check_callers(callers: Callers) -> None:
    for token in callers.tokens:
        if (token.env is None) == (token.sha256 is None):
            raise _Mistake(("callers", "tokens", "user"), f"the token of '{token.user}' needs either env or sha256.")
        if token.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", token.sha256):
            raise _Mistake(("callers", "tokens", "sha256"), "sha256 is 64 hex digits: printf %s TOKEN | sha256sum")
    for origin in callers.origins:
        if not _ORIGIN.fullmatch(origin):
            raise _Mistake(("callers", "origins"), f"'{origin}' is no origin. Write it as 'https://shop.example'.")
    jwt = callers.jwt
    if jwt is None:
        return
    families = {algorithm[:2] for algorithm in jwt.algorithms}
    if len(families) != 1:
        raise _Mistake(("callers", "jwt", "algorithms"), "name algorithms of one family, HS or RS: a key serves one.")
    needed = "secret_env" if families == {"HS"} else "jwks_file"
    if getattr(jwt, needed) is None:
        raise _Mistake(("callers", "jwt", "algorithms"), f"{jwt.algorithms[0]} needs callers.jwt.{needed}.")


def _check_session(session: dict[str, Any]) -> None:
    body = {"type": "realtime", **{key: value for key, value in session.items() if key != "instructions_file"}}
    if "instructions" in session and "instructions_file" in session:
        raise _Mistake(("session", "instructions_file"), "name either instructions or instructions_file.")
    try:
        decode_client_event(msgspec.json.encode({"type": "session.update", "session": body}))
    except ProtocolError as problem:
        path = tuple(re.sub(r"\[\d+\]", "", problem.param or "session").split("."))
        raise _Mistake(path, problem.message) from None
    except (TypeError, msgspec.MsgspecError) as problem:
        raise _Mistake(("session",), f"the session holds what cannot travel: {problem}") from None


_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_ORIGIN = re.compile(r"https?://[^/\s?#]+")


def _line_of(text: str, path: Sequence[str]) -> int:
    """The line on which the setting stands, or the nearest that leads to it; 1 where nothing does."""
    best, best_line = 0, 1
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            here = table
        else:
            key = line.partition("=")[0]
            if line.lstrip().startswith("#") or "=" not in line:
                continue
            here = (*table, *(part.strip().strip("\"'") for part in key.split(".")))
        common = 0
        while common < min(len(here), len(path)) and here[common] == path[common]:
            common += 1
        if common > best and common == len(here):
            best, best_line = common, number
    return best_line
