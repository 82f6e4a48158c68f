"""Fixtures of a machine with a sound card of our own, and of one without any."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from soundcard import ALSA, Sound

from duologue.audio import devices


@pytest.fixture(scope="module")
def sound_card() -> Iterator[Sound]:
    if not shutil.which("pulseaudio") or not shutil.which("pactl"):
        pytest.skip("no PulseAudio: sh tools/need_sound.sh")
    folder = Path(tempfile.mkdtemp(prefix="duologue-sound-"))
    sound = Sound(folder)
    try:
        yield sound
    finally:
        sound.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sound(sound_card: Sound, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sound]:
    """PortAudio sees the null sink as the default device, and nothing else."""
    for name, value in sound_card.env.items():
        monkeypatch.setenv(name, value)
    assert devices.renew(), "an earlier test left a stream open"
    if "speaker" not in sound_card.pactl("list", "short", "sinks"):
        sound_card.plug()
    yield sound_card
    assert devices.renew(), "this test left a stream open"


@pytest.fixture
def no_sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine without any sound device: the only one that ALSA knows leads to a daemon that does not run."""
    (tmp_path / "asound.conf").write_text(ALSA)
    (tmp_path / "client.conf").write_text("autospawn = no\n")
    monkeypatch.setenv("ALSA_CONFIG_PATH", f"/usr/share/alsa/alsa.conf:{tmp_path / 'asound.conf'}")
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path / 'nobody'}")
    monkeypatch.setenv("PULSE_CLIENTCONFIG", str(tmp_path / "client.conf"))
    assert devices.renew(), "an earlier test left a stream open"
    if devices.known_devices("input") or devices.known_devices("output"):
        pytest.skip("this machine has a sound card of its own")
    yield
    devices.renew()
