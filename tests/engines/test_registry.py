from __future__ import annotations

import sys

import pytest

from duologue.engines.energy import EnergyVad
from duologue.engines.registry import ENGINES, create
from duologue.errors import ConfigError


def test_by_name_by_path_and_by_default() -> None:
    assert isinstance(create("vad", "energy"), EnergyVad)
    assert isinstance(create("vad", "duologue.engines.energy:EnergyVad"), EnergyVad)
    assert [create(kind).name for kind in ("vad", "stt", "tts")] == ["silero", "pocketsphinx", "espeak"]


def test_options_reach_the_factory() -> None:
    assert create("llm", "openai", url="http://localhost/v1", model="m").model == "m"


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("nonsense", {}, "unknown vad engine 'nonsense': use one of silero, energy"),
        ("no.such.module:Thing", {}, "cannot be loaded"),
        ("duologue.engines.energy:Nothing", {}, "cannot be loaded"),
        ("energy", {"volume": 11}, "does not take these options"),
    ],
)
def test_what_cannot_be_made_says_why(name: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        create("vad", name, **options)


class Broken:
    def __init__(self, level: int = 0) -> None:
        raise TypeError("a defect of its own")


def test_a_defect_inside_a_factory_is_not_taken_for_wrong_options() -> None:
    with pytest.raises(TypeError, match="a defect of its own"):
        create("vad", f"{__name__}:Broken", level=1)


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    import subprocess

    script = "import sys, duologue.engines.registry; print([m for m in sys.modules if 'numpy' in m or 'httpx' in m])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout.strip() == "[]"
    assert all(":" in where for engines in ENGINES.values() for where in engines.values())
