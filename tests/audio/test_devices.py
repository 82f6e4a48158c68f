from __future__ import annotations

import asyncio
import builtins
import sys
from typing import Any

import pytest
from soundcard import Sound

from duologue.audio import devices
from duologue.errors import MissingExtra, SoundDeviceError


class Stuck:
    """A stream whose closing never returns."""

    def __init__(self) -> None:
        self.going = devices.threading.Event()

    def close(self, ignore_errors: bool) -> None:
        self.going.wait()


def failing(monkeypatch: pytest.MonkeyPatch, problem: Exception) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "sounddevice":
            raise problem
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ImportError("no", name="sounddevice"))
    with pytest.raises(MissingExtra) as caught:
        devices.portaudio()
    assert str(caught.value) == "sounddevice is not installed. Run: pip install 'duologue[mic]'"


@pytest.mark.skipif(sys.platform != "linux", reason="the package's wheels bring the library elsewhere")
def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, OSError("PortAudio library not found"))
    with pytest.raises(SoundDeviceError) as caught:
        devices.portaudio()
    assert str(caught.value) == "sound: the PortAudio library is missing. Run: sudo apt-get install libportaudio2"


def test_the_list_is_the_same_from_inside_and_outside(sound: Sound) -> None:
    inside = devices.known_devices("input") + devices.known_devices("output")
    assert asyncio.run(devices.list_devices()) == inside
    assert [device.default for device in devices.known_devices("output")].count(True) == 1
    index, chosen = devices.index_of("output", inside[-1].id)
    assert chosen == inside[-1]
    assert index >= 0


def test_a_stream_that_cannot_be_closed_holds_nobody_up(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "CLOSE_S", 0.05)
    monkeypatch.setattr(devices, "gave_up", False)
    stuck = Stuck()
    with devices.opening():
        """Counted as open."""
    assert not devices.retire(stuck)
    assert devices.gave_up
    assert not devices.renew(), "PortAudio is not started anew beneath it"
    closer = next(thread for thread in devices.threading.enumerate() if thread.name == "sound close")
    stuck.going.set()
    closer.join()
    assert devices.renew()
    devices.atexit.register(devices.portaudio()._exit_handler)
