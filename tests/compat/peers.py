"""Where the clients are that live in environments of their own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent


def _installer() -> ModuleType:
    """`tools/install_peers.py`, which knows the places; it imports its neighbour `build_page`."""
    tools = str(ROOT / "tools")
    if tools not in sys.path:
        sys.path.append(tools)
    return importlib.import_module("install_peers")


def _present(path: Path) -> Path:
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make test`, or `python tools/install_peers.py` once")
    return path


def beta_python() -> str:
    """The interpreter that has `openai` 1.109.1."""
    return str(_present(_installer().beta_python()))


def node_command() -> str:
    """The Node that the Node clients run on."""
    return str(_installer().node_command())


def node_modules() -> Path:
    """The folder of the Node clients."""
    return _present(ROOT / "tests" / "compat" / "node" / "node_modules" / "@openai")


def pyodide_wheels() -> list[Path]:
    """The core's compiled packages for Pyodide."""
    return sorted(_present(_installer().WHEELS).glob("*.whl"))
