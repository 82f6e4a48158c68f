"""A sound card that is unplugged (duologue.audio.line): scenes in `unplugging`, each in a process that nothing outlives."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from unplugging import SCENES

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("scene", SCENES)
def test_a_sound_card_is_unplugged(scene: str) -> None:
    if not shutil.which("pulseaudio") or not shutil.which("pactl"):
        pytest.skip("no PulseAudio: sh tools/need_sound.sh")
    command = [sys.executable, str(FOLDER / "unplugging.py"), scene]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (0, "held\n")
