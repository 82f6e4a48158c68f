"""Hatchling's build hook: a wheel, an sdist and an editable install all contain the built page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the page before anything is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called once for each target."""
        sys.path.insert(0, str(Path(self.root) / "tools"))
        try:
            from build_page import BuildFailed, build
        finally:
            sys.path.pop(0)
        try:
            build()
        except BuildFailed as problem:
            raise SystemExit(f"duologue: {problem}") from None
