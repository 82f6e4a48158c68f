"""Makes the modules that lie beside the tests importable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import settings

for folder in Path(__file__).parent.iterdir():
    if folder.is_dir():
        sys.path.append(str(folder))

# A shared machine may stall any example: a test is judged by what it finds, and by pytest's own timeout.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The page's tests come last: their browser driver keeps an event loop in this thread, where others want their own."""
    items.sort(key=lambda item: item.path.parent.name == "page")
