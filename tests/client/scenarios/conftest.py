"""Where the scenarios talk: to `duologue serve` in a process of its own, and with `make test-live` to OpenAI."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from scenery import Place, serving


@pytest.fixture(scope="session")
def local() -> Iterator[Place]:
    """`duologue serve`, for scenarios that need faults of their own."""
    pytest.importorskip("starlette")
    with serving("--drain-seconds", "0") as place:
        yield place


@pytest.fixture(params=["serve", pytest.param("openai", marks=pytest.mark.live)])
def place(request: pytest.FixtureRequest) -> Place:
    """Each server in turn."""
    if request.param == "serve":
        found: Place = request.getfixturevalue("local")
        return found
    key = os.environ.get("OPENAI_API_KEY")
    if not os.environ.get("DUOLOGUE_LIVE"):
        pytest.skip("talks to OpenAI, for money: make test-live")
    if not key:
        pytest.skip("OPENAI_API_KEY is not set: nothing was said to OpenAI")
    model = os.environ.get("DUOLOGUE_LIVE_MODEL", "gpt-realtime-mini")
    return Place(
        url="wss://api.openai.com/v1/realtime", api_key=key, model=model, ears="gpt-4o-mini-transcribe", live=True
    )
