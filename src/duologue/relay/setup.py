"""From settings to what a relay runs on: the policy with its hooks, the tools' functions, the keys."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from duologue.dialogue.cost import PriceTable, parse_prices
from duologue.dialogue.tools import function_tool
from duologue.errors import ConfigError
from duologue.protocol.session import FunctionTool
from duologue.relay.callers import Keys, keys_of
from duologue.relay.dialects import BETA_HEADER, BETA_VALUE
from duologue.relay.policy import Hooks, Policy
from duologue.relay.settings import HookSources, Settings, ToolSource, check, load, located

SHORTEST_SECRET_STRING = 8
"""A shorter key is not looked for in what callers see: it would be found in innocent words."""


class ServerTool(Struct, frozen=True, kw_only=True):
    """A function that the model may call in the relay."""

    definition: FunctionTool
    function: Callable[..., Any]
    timeout_s: float


class Setup(Struct, frozen=True, kw_only=True):
    """Everything that calls begin with. A call keeps the one it began with."""

    settings: Settings
    policy: Policy
    keys: Keys
    tools: Mapping[str, ServerTool] = {}
    upstream_key: str | None = None
    ledger: Path
    recordings: Path | None = None

    def __repr__(self) -> str:
        return f"Setup({self.settings.upstream.url!r})"

    def address(self, *, model: str = "", intent: str = "", call_id: str = "") -> str:
        """Where the upstream's WebSocket is, with what of the query it needs."""
        parts = urlsplit(self.settings.upstream.url)
        query = dict(parse_qsl(parts.query))
        if call_id:
            query.pop("model", None)
            query["call_id"] = call_id
        elif intent:
            query.pop("model", None)
            query["intent"] = intent
        elif model:
            query["model"] = model
        return parts._replace(query=urlencode(query)).geturl()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request to the upstream."""
        upstream = self.settings.upstream
        headers = dict(upstream.headers)
        if self.upstream_key and upstream.key_header == "api-key":
            headers["api-key"] = self.upstream_key
        elif self.upstream_key:
            headers["Authorization"] = f"Bearer {self.upstream_key}"
        if upstream.dialect == "beta":
            headers[BETA_HEADER] = BETA_VALUE
        return headers


def prepare(
    policy: Settings | Path | str,
    *,
    env: Mapping[str, str] = os.environ,
    hooks: Hooks | None = None,
    tools: Iterable[Callable[..., Any]] = (),
    folder: Path | None = None,
) -> Setup:
    """All that a relay needs, from settings or the path of a `relay.toml`. Raises ConfigError, and MissingExtra for JWT.

    `hooks` and `tools` are plain functions, besides those that the settings name; `hooks` replaces the settings' own.
    What settings name lies in `folder`: that of the file, or the current one.
    """
    if not isinstance(policy, Settings):
        path = Path(policy)
        try:
            return prepare(load(path), env=env, hooks=hooks, tools=tools, folder=folder or path.parent)
        except ConfigError as problem:
            raise located(problem, path) from None
    check(policy)
    settings = replace(policy, upstream=replace(policy.upstream, url=_with_path(policy.upstream.url)))
    folder = folder or Path.cwd()

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    key = _upstream_key(settings, env, read)
    owned = [_tool(source, folder) for source in settings.tools]
    owned += [ServerTool(definition=function_tool(each), function=each, timeout_s=30) for each in tools]
    named = {tool.definition.name: tool for tool in owned}
    if len(named) != len(owned):
        raise ConfigError("tools.name: two of the tools go by one name. Give one of them another 'name'.")
    return Setup(
        settings=settings,
        policy=Policy(
            rules=settings.policy,
            limits=settings.limits,
            session=settings.session,
            server_tools=tuple(tool.definition for tool in owned),
            hooks=hooks or _hooks(settings.hooks, folder),
            secrets=(key,) if key and len(key) >= SHORTEST_SECRET_STRING else (),
            model=settings.upstream.model,
            prices=_prices(settings, read),
        ),
        keys=keys_of(settings.callers, env, read),
        tools=named,
        upstream_key=key,
        ledger=folder / settings.ledger.path,
        recordings=None if settings.recording.folder is None else folder / settings.recording.folder,
    )


def _with_path(url: str) -> str:
    """An address without any path means the usual one; a slash is one."""
    parts = urlsplit(url)
    return url if parts.path else parts._replace(path="/v1/realtime").geturl()


def _upstream_key(settings: Settings, env: Mapping[str, str], read: Callable[[str], str]) -> str | None:
    upstream = settings.upstream
    if upstream.key_file is not None:
        try:
            key = read(upstream.key_file).strip()
        except (OSError, UnicodeError) as problem:
            raise ConfigError(f"upstream.key_file: the key cannot be read: {problem}") from None
    else:
        key = env.get(upstream.key_env, "").strip()
    if any(not 32 < ord(char) < 127 for char in key):
        raise ConfigError(
            f"upstream.{'key_file' if upstream.key_file else 'key_env'}: the upstream's key holds characters that no key "
            "has. Is it really the key, and nothing else?"
        )
    return key or None


def _hooks(sources: HookSources, folder: Path) -> Hooks:
    found = {
        name: _function(source, f"hooks.{name}", folder)
        for name in ("session", "caller_event", "upstream_event")
        if (source := getattr(sources, name)) is not None
    }
    return Hooks(**found, audio=sources.audio)


def _tool(source: ToolSource, folder: Path) -> ServerTool:
    function = _function(source.function, "tools.function", folder)
    definition = function_tool(function, name=source.name, description=source.description)
    return ServerTool(definition=definition, function=function, timeout_s=source.timeout_s)


def _function(source: str, setting: str, folder: Path) -> Callable[..., Any]:
    """The function of `module:function`; a module may also lie beside the settings' file."""
    module, _, name = source.partition(":")
    sys.path.insert(0, str(folder.resolve()))
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as problem:
        raise ConfigError(f"{setting}: {source} cannot be found: {problem}") from None
    finally:
        sys.path.remove(str(folder.resolve()))
    if not callable(function):
        raise ConfigError(f"{setting}: {source} is no function.")
    return function


def _prices(settings: Settings, read: Callable[[str], str]) -> PriceTable | None:
    if settings.limits.prices_file is None:
        return None
    try:
        return parse_prices(read(settings.limits.prices_file))
    except (OSError, UnicodeError, ValueError, msgspec.MsgspecError) as problem:
        raise ConfigError(f"limits.prices_file: {settings.limits.prices_file} cannot be used: {problem}") from None
