"""A sound card for the tests: a PulseAudio of our own with a null sink, whose monitor hears what is played."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

ALSA = """
pcm.!default { type pulse }
ctl.!default { type pulse }
"""
SINK = ("module-null-sink", "sink_name=speaker", "rate=48000", "channels=2", "norewinds=1")


class Sound:
    """A running daemon; `unplug` takes its only card away and `plug` brings it back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "native"
        self.env = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder / "state"),
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
        }
        self.process = subprocess.Popen(
            [
                *(
                    "pulseaudio",
                    "-n",
                    "--daemonize=no",
                    "--exit-idle-time=60",
                    "--use-pid-file=no",
                    "--disable-shm=yes",
                ),
                *("--high-priority=no", "--realtime=no"),
                *("-L", " ".join(SINK)),
                *("-L", f"module-native-protocol-unix socket={self.socket} auth-anonymous=1"),
            ],
            env=os.environ | self.env,
            stderr=subprocess.DEVNULL,
        )
        give_up = time.monotonic() + 20
        while not self.socket.exists():
            assert self.process.poll() is None, "PulseAudio does not start"
            assert time.monotonic() < give_up, "PulseAudio does not open its socket"
            time.sleep(0.02)
        (folder / "asound.conf").write_text(ALSA)
        self.env["PULSE_SERVER"] = f"unix:{self.socket}"
        self.env["ALSA_CONFIG_PATH"] = f"/usr/share/alsa/alsa.conf:{folder / 'asound.conf'}"

    def pactl(self, *words: str) -> str:
        command = ["pactl", *words]
        return subprocess.run(command, env=os.environ | self.env, capture_output=True, text=True, check=True).stdout

    def unplug(self) -> None:
        self.pactl("unload-module", "module-null-sink")

    def plug(self) -> None:
        self.pactl("load-module", *SINK)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
