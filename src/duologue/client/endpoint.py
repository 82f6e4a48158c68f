"""Where to connect and what to say there: settings as an address, headers and subprotocols. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from duologue.errors import ConfigError
from duologue.transports.tap import Sink

DEFAULT_URL = "wss://api.openai.com/v1/realtime"
DEFAULT_MODEL = "gpt-realtime"
Dialect = Literal["ga", "beta"]
_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_BETA_HEADER = "realtime=v1"
_DECIDED = ("model", "call_id", "intent", "deployment")


class ConnectionOptions(Struct, frozen=True, kw_only=True):
    """How to connect, where the defaults do not fit."""

    headers: Mapping[str, str] = {}
    """More headers. `{api_key}` and `{model}` in a value are filled in; a header that carries the key takes the place of
    the usual one: `{"Authorization": "Bearer {api_key}"}` for Entra tokens on Azure."""
    subprotocols: tuple[str, ...] = ()
    """WebSocket subprotocols to offer, filled in alike."""
    dialect: Dialect = "ga"
    """`beta` for a server of 2024; the rest of the program speaks GA all the same."""
    azure_api_version: str = ""
    """Take Azure's path of the preview (`/openai/realtime?api-version=…&deployment=…`) instead of `/openai/v1/realtime`."""
    call_id: str = ""
    """Attach to a WebRTC or SIP call that exists (`rtc_…`) instead of beginning a session."""
    transcription: bool = False
    """A session that only transcribes; `model` is then the one that transcribes."""
    proxy: str | None = None
    """Address of a proxy (`http://`, `socks5://`), `""` for none; by default the environment's, and none on this machine."""
    timeout_s: float = 10.0
    """How long connecting may take."""
    sink: Sink | None = None
    """Gets a copy of every frame."""
    dangerously_allow_api_key_in_browser: bool = False
    """Let a lasting key be used in a page (Pyodide), where every visitor can read it; else only ephemeral ones (`ek_`)."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """What a WebSocket client needs to know. Holds the key: its text form does not show the headers."""

    url: str
    headers: Mapping[str, str]
    subprotocols: tuple[str, ...]
    dialect: Dialect

    def __repr__(self) -> str:
        return f"<Endpoint {self.url.partition('?')[0]} {self.dialect}>"


def is_openai(url: str) -> bool:
    """True for OpenAI's own host."""
    host = urlsplit(url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")


def is_azure(url: str) -> bool:
    """True for a host of Azure's."""
    return (urlsplit(url).hostname or "").endswith(_AZURE)


def address(url: str, model: str | None, options: ConnectionOptions) -> str:
    """The whole address. A base address (`https://host`, `https://host/v1`) gets the path of the Realtime API.

    The model is the given one, or the default where OpenAI's host needs one; a call or a transcription takes none.
    """
    parts = urlsplit(url.strip())
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    path = parts.path.rstrip("/")
    if is_azure(url):
        query, path = _azure(query, path, model, options)
    elif path == "" or path.endswith("/v1"):
        path = f"{path or '/v1'}/realtime"
    else:
        path = parts.path
    if options.call_id:
        query.pop("model", None)
        query["call_id"] = options.call_id
    elif options.transcription:
        query.pop("model", None)
        query["intent"] = "transcription"
    elif model is not None and "deployment" not in query:
        query.setdefault("model", model)
    elif is_openai(url) and not any(name in query for name in _DECIDED):
        query["model"] = DEFAULT_MODEL
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode(query), ""))


def _azure(
    query: dict[str, str], path: str, model: str | None, options: ConnectionOptions
) -> tuple[dict[str, str], str]:
    if path not in ("", "/openai", "/openai/v1"):
        return query, path
    if not options.azure_api_version:
        return query, "/openai/v1/realtime"
    query = {"api-version": options.azure_api_version, **query}
    if model is not None:
        query.setdefault("deployment", model)
    return query, "/openai/realtime"


def endpoint(url: str, model: str | None, api_key: str | None, options: ConnectionOptions) -> Endpoint:
    """Everything for one connection with one key. Raises ConfigError for a template that needs a key where there is none,
    or names something else."""
    whole = address(url, model, options)
    dialect: Dialect = "beta" if options.azure_api_version else options.dialect
    values = {"api_key": api_key or "", "model": model or ""}
    keyed = any("{api_key}" in text for text in (*options.headers.values(), *options.subprotocols))
    if keyed and not api_key:
        raise ConfigError("a header or subprotocol has the place {api_key}, and there is no key: pass api_key")
    headers = {name: _filled(text, values) for name, text in options.headers.items()}
    if api_key and not keyed:
        headers.update({"api-key": api_key} if is_azure(url) else {"Authorization": f"Bearer {api_key}"})
    if dialect == "beta" and not is_azure(url):
        headers.setdefault("OpenAI-Beta", _BETA_HEADER)
    subprotocols = tuple(_filled(text, values) for text in options.subprotocols)
    return Endpoint(url=whole, headers=headers, subprotocols=subprotocols, dialect=dialect)


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Plain replacement: `str.format` would look into attributes of what it is given."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text
