"""The sound devices of this machine, through PortAudio. Run as a module, it prints them as JSON.

PortAudio counts the devices once, when it starts. To see what was plugged in since, it is started anew: `renewed` does so
while no stream is open in this process, and `list_devices` asks a process of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from msgspec import Struct

from duologue.errors import MissingExtra, SoundDeviceError

Kind = Literal["input", "output"]

LOCK = threading.RLock()
"""PortAudio opens, closes and lists in one thread at a time."""

CLOSE_S = 2.0
LIST_S = 20.0

log = logging.getLogger(__name__)

gave_up = False
"""A stream could not be closed: PortAudio stays as it is until this process ends."""

_streams = 0


class Device(Struct, frozen=True, kw_only=True):
    """A microphone (`kind` "input") or loudspeaker; `id` is what `begin` and `connect` take, and outlives a restart."""

    id: str
    name: str
    kind: Kind
    default: bool
    channels: int
    rate_hz: int


def portaudio() -> Any:
    """The package `sounddevice`. Raises MissingExtra, and SoundDeviceError where its library is missing."""
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtra(error.name or "sounddevice", "mic") from error
    except OSError as error:
        remedy = "Run: sudo apt-get install libportaudio2" if sys.platform == "linux" else "Install PortAudio."
        raise SoundDeviceError("", "the PortAudio library is missing.", remedy=remedy) from error
    return sounddevice


def known_devices(kind: Kind) -> list[Device]:
    """The devices as this process knows them, the default first. Blocks for some ms. Raises as `portaudio` does."""
    return [device for _, device in _numbered(kind)]


def index_of(kind: Kind, device_id: str | None) -> tuple[int, Device]:
    """PortAudio's number of a device, by its id or name; None is the default. Raises SoundDeviceError if there is none."""
    devices = _numbered(kind)
    if not devices:
        raise SoundDeviceError(kind, f"this machine has no {kind} device.", retryable=True)
    if device_id is None:
        return devices[0]
    for pair in [pair for pair in devices if pair[1].id == device_id] or devices:
        if device_id in (pair[1].id, pair[1].name):
            return pair
    names = "; ".join(device.id for _, device in devices)
    raise SoundDeviceError(kind, f"there is no {kind} device {device_id!r}.", remedy=f"There are: {names}")


def _numbered(kind: Kind) -> list[tuple[int, Device]]:
    package = portaudio()
    with LOCK:
        rows = package.query_devices()
        hosts = package.query_hostapis()
        preferred = package.default.device[0 if kind == "input" else 1]
    found: list[tuple[int, Device]] = []
    seen: dict[str, int] = {}
    for row in rows:
        channels = row[f"max_{kind}_channels"]
        if channels <= 0:
            continue
        name = f"{row['name']}, {hosts[row['hostapi']]['name']}"
        seen[name] = seen.get(name, 0) + 1
        device = Device(
            id=name if seen[name] == 1 else f"{name} #{seen[name]}",
            name=row["name"],
            kind=kind,
            default=row["index"] == preferred,
            channels=channels,
            rate_hz=round(row["default_samplerate"]),
        )
        found.append((row["index"], device))
    return sorted(found, key=lambda pair: not pair[1].default)


@contextmanager
def opening() -> Iterator[None]:
    """Around the opening of a stream: counts it, unless it fails."""
    global _streams
    with LOCK:
        _streams += 1
        try:
            yield
        except BaseException:
            _streams -= 1
            raise


def retire(stream: Any) -> bool:
    """Close a stream; False if PortAudio does not come back from it within two seconds, and the stream is given up.

    Where the device of a stream is gone, PortAudio's own thread may spin without a look at the request to end, for which
    closing waits. That must hold up neither the caller nor the end of Python.
    """
    global gave_up
    with LOCK:
        closer = threading.Thread(target=_close, args=(stream,), name="sound close", daemon=True)
        closer.start()
        closer.join(CLOSE_S)
        if not closer.is_alive():
            return True
        gave_up = True
        # Its handler would wait for the same thread when Python ends.
        atexit.unregister(portaudio()._exit_handler)
        log.warning("PortAudio does not let go of a lost device; this process cannot see new devices any more")
        return False


def _close(stream: Any) -> None:
    global _streams
    stream.close(ignore_errors=True)
    _streams -= 1


def renew() -> bool:
    """Let PortAudio count the devices again; False where an open stream forbids it. Blocks for some ms."""
    package = portaudio()
    with LOCK:
        if _streams:
            return False
        package._terminate()
        package._initialize()
        return True


async def list_devices(kind: Kind | None = None) -> list[Device]:
    """The devices as they are now, microphones first, the default ones at the head. Safe to cancel.

    Raises MissingExtra, and SoundDeviceError where PortAudio or an answer is missing.
    """
    await asyncio.to_thread(portaudio)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duologue.audio.devices"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(LIST_S):
            output, _ = await process.communicate()
        devices = msgspec.json.decode(output, type=list[Device])
    except (TimeoutError, msgspec.DecodeError) as error:
        raise SoundDeviceError("", "the list of devices could not be read.", retryable=True) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return [device for device in devices if kind in (None, device.kind)]


def main() -> None:
    """Print the devices as one line of JSON."""
    print(msgspec.json.encode(known_devices("input") + known_devices("output")).decode())


if __name__ == "__main__":
    main()
