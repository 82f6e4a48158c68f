"""`docs/compatibility.md` says what the code does: nothing is missing from it, and it is what the tool writes now."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compatibility", ROOT / "tools" / "compatibility.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_event_item_and_field_has_its_line(tool: ModuleType) -> None:
    assert tool.gaps() == []


def test_the_page_is_current(tool: ModuleType) -> None:
    assert tool.PAGE.read_text() == tool.page(), "run: python tools/compatibility.py"


def test_what_is_sent_is_read_from_the_code(tool: ModuleType) -> None:
    sent = tool.sent_events()
    assert {"session.created", "response.output_audio.delta", "rate_limits.updated", "error"} <= sent
    assert not sent & tool.NOT_SENT.keys()
