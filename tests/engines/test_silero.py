from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from duologue.audio.pcm16 import silence
from duologue.engines.silero import SileroVad


@pytest.mark.parametrize("name", ["breath", "click", "noise"])
def test_sounds_that_are_not_speech(name: str, clip: Callable[[str], bytes]) -> None:
    assert max(SileroVad().open().feed(clip(name) + silence(200))) < 0.5


@pytest.mark.parametrize("package", ["numpy", "soxr"])
def test_missing_package_names_the_extra(package: str) -> None:
    script = (
        f"import asyncio, sys; sys.modules['{package}'] = None\n"
        "from duologue.engines.silero import SileroVad\n"
        "from duologue.errors import MissingExtra\n"
        "try: asyncio.run(SileroVad().start())\n"
        "except MissingExtra as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout.startswith(f"{package} is not installed. Run: pip install 'duologue[server]'")
