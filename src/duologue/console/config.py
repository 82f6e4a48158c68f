"""What the console's call is told from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from duologue.console.upstream import Upstream


class CallConfig(Struct, frozen=True, kw_only=True):
    """Who answers, where sessions are recorded, and where the weather comes from.

    `key` gives the OpenAI key or None; it is asked for at each connect.
    """

    upstream: Upstream
    sessions: Path
    weather_url: str
    key: Callable[[], str | None]
