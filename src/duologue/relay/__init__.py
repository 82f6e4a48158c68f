"""The relay: lets users talk to a Realtime API without giving them the key, the prompt or the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duologue.relay.app import create_app as create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    # The judge needs nothing but the core: what the app needs is imported when it is asked for.
    if name == "create_app":
        from duologue.relay.app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
