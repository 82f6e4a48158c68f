"""The programs of docs/agents.md run as they stand, and print what the page says; its tables name what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from realserver import duologue_serve

from duologue import agents
from duologue.agents.events import ALIASES, NAMES, SessionEvent
from duologue.agents.session import RealtimeSession

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
ADDRESS = "ws://127.0.0.1:8000/v1/realtime"
TEXT = PAGE.read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with duologue_serve() as address:
        yield address


@pytest.mark.parametrize(("code", "says"), PROGRAMS)
def test_a_program_prints_what_the_page_says(code: str, says: str, host: str) -> None:
    program = code.replace(ADDRESS, f"ws://{host}/v1/realtime")
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    # `…` stands for what may be said in other words.
    expected = ".*".join(re.escape(part.strip()) for line in says.splitlines() for part in line.split("…"))
    assert re.search(expected, ran.stdout, re.DOTALL), ran.stdout


def test_every_program_has_an_outcome_and_every_event_is_named() -> None:
    assert TEXT.count("```python\n") == len(PROGRAMS) == 5
    for event in SessionEvent.__subclasses__():
        assert f"`{event.type}`" in TEXT or event.type == "raw_model_event", event.type


def test_every_public_name_is_there_and_aliases_lead_to_events() -> None:
    for name in agents.__all__:
        assert getattr(agents, name).__name__ == name
    assert set(ALIASES.values()) <= NAMES
    with pytest.raises(AttributeError, match="Nobody"):
        _ = agents.Nobody
    for method in set(re.findall(r"`session\.(\w+)", TEXT)) - {"model"}:
        assert hasattr(RealtimeSession, method), method
