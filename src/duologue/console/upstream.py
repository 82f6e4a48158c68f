"""Who answers: the embedded server, OpenAI, or any address. Settings come from options, the environment and `.env`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from duologue.access.origins import is_loopback
from duologue.console.views import UpstreamView
from duologue.errors import ConfigError

Kind = Literal["embedded", "openai", "url"]
OPENAI_URL = "wss://api.openai.com/v1/realtime"
DEFAULT_MODEL = "gpt-realtime"
LOCAL_MODEL = "duologue"
"""Asked for where the server runs here: such a server has one model, and no provider's name fits it."""
_HOSTED = ("openai.com", "azure.com")
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class Upstream(Struct, frozen=True, kw_only=True):
    """Where a call goes. `url` is only set for `kind` "url"."""

    kind: Kind = "embedded"
    url: str = ""
    model: str = ""

    @property
    def address(self) -> str:
        """The WebSocket address without the model, empty for the embedded server."""
        return {"embedded": "", "openai": OPENAI_URL, "url": self.url}[self.kind]

    @property
    def effective_model(self) -> str:
        """The model that is asked for: that of the option, of the address, or the usual one."""
        return self._named_model or (LOCAL_MODEL if self.local else DEFAULT_MODEL)

    @property
    def local(self) -> bool:
        """True if the server runs on this machine: it costs nothing."""
        if self.kind != "url":
            return self.kind == "embedded"
        host = urlsplit(self.url).hostname or ""
        return is_loopback(host) or host.endswith(".localhost")

    @property
    def priced_model(self) -> str:
        """The model whose price counts; empty where nobody said which one answers, so that no price is made up."""
        host = urlsplit(self.address).hostname or ""
        hosted = any(host == name or host.endswith(f".{name}") for name in _HOSTED)
        return self.effective_model if hosted else self._named_model

    @property
    def _named_model(self) -> str:
        return self.model or parse_qs(urlsplit(self.url).query).get("model", [""])[0]

    def view(self, *, has_key: bool) -> UpstreamView:
        """What the page may know: the address without its query, where a key may stand."""
        label = "embedded" if self.kind == "embedded" else f"{urlsplit(self.address).netloc} · {self.effective_model}"
        return UpstreamView(
            kind=self.kind, url=without_query(self.url), model=self._named_model, label=label, has_key=has_key
        )

    def changed_to(self, wish: Upstream) -> Upstream:
        """What a page wishes: an address that it gives back as it was shown is the one that is known here."""
        unchanged = self.kind == wish.kind == "url" and wish.url == without_query(self.url)
        return msgspec.structs.replace(wish, url=self.url) if unchanged else wish


def parse_upstream(text: str, *, model: str = "") -> Upstream:
    """`openai`, an address, or empty for the embedded server. Raises ConfigError for anything else."""
    text = text.strip()
    if text in ("", "embedded"):
        return Upstream(model=model)
    if text == "openai":
        return Upstream(kind="openai", model=model)
    return Upstream(kind="url", url=websocket_url(text), model=model)


def websocket_url(text: str) -> str:
    """An address as people type it, as a WebSocket address: http becomes ws, an empty path becomes /v1/realtime.

    Raises ConfigError if it is none, or if it holds a password (it would be shown).
    """
    try:
        parts = urlsplit(text.strip())
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{text!r} is no address: write embedded, openai, or an address like ws://127.0.0.1:8000")
    if parts.username or parts.password:
        raise ConfigError("an address must not hold a password: it is shown in the page")
    path = parts.path if parts.path not in ("", "/") else "/v1/realtime"
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def without_query(url: str) -> str:
    """The address alone: what a file or a log may hold."""
    return urlunsplit((*urlsplit(url)[:3], "", ""))


def with_model(url: str, model: str) -> str:
    """The address with `model` as a query parameter, other parameters kept."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | {"model": model}
    return urlunsplit(parts._replace(query=urlencode(query)))


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines of an `.env` file; comments, `export` and quotes are understood, a missing file is empty."""
    try:
        lines = path.read_text().splitlines()
    except (FileNotFoundError, PermissionError, UnicodeDecodeError):
        return {}
    values = {}
    for line in lines:
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and name.strip() and not name.startswith("#"):
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            values[name.strip()] = value
    return values


def environment(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The `.env` of `folder`, overridden by the real environment."""
    return {**read_env_file(folder / ".env"), **environ}


def write_key(path: Path, key: str) -> None:
    """Put `OPENAI_API_KEY` into an `.env` file that only its owner can read, keeping its other lines."""
    old = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in old if not line.strip().removeprefix("export ").startswith("OPENAI_API_KEY=")]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.chmod(path, 0o600)
        file.write("\n".join([*kept, f"OPENAI_API_KEY={key}"]) + "\n")
