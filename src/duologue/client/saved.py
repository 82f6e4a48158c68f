"""A conversation as a file: what was said, in replayable items, and the settings under which it was said. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from duologue.client.replay import Lost
from duologue.errors import ConfigError
from duologue.protocol.items import Item

VERSION = 1
_SECRETS = ("authorization", "headers")


class SavedConversation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`items` as they are sent to a server; `lost`: what could not be saved; `settings` as GA's session has them."""

    duologue: int = VERSION
    settings: dict[str, Any] = {}
    items: tuple[Item, ...] = ()
    lost: tuple[Lost, ...] = ()


def to_json(saved: SavedConversation) -> bytes:
    """The file's content: JSON. Keys of remote tools stay out of it."""
    public = msgspec.structs.replace(saved, settings=_without_secrets(saved.settings))
    return msgspec.json.format(msgspec.json.encode(public), indent=1) + b"\n"


def from_json(content: bytes) -> SavedConversation:
    """The conversation of a file. Raises ConfigError for anything else."""
    try:
        saved = msgspec.json.decode(content, type=SavedConversation)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
        raise ConfigError(f"this is no saved conversation: {problem}") from None
    if saved.duologue != VERSION:
        raise ConfigError(f"the conversation was saved in format {saved.duologue}; this version reads {VERSION}")
    return saved


def _without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    tools = settings.get("tools")
    if not isinstance(tools, list):
        return dict(settings)
    public = [{name: value for name, value in tool.items() if name not in _SECRETS} for tool in tools]
    return {**settings, "tools": public}
