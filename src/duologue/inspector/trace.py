"""The session file: everything that passed, appended as it happened, one JSON object a line.

The first line describes the session (`{"duologue": 1, "started_unix_ms": …, …}`); every other line is a frame
(`{"ms": 120, "by": "server", "frame": {…}}`, the frame as it was on the wire, sound included) or a note of our own
(`{"ms": 130, "note": "heard", …}`). `ms` is monotonic time since the start. Each line goes to the operating system in one
write, so a crash costs at most the line being written; readers pass over a torn line.
"""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from duologue.clock import Clock, monotonic_ms
from duologue.errors import ConfigError

VERSION = 1
By = Literal["client", "server"]
Direction = Literal["sent", "received"]


class Entry(Struct, frozen=True, kw_only=True):
    """One line after the header. Either `by` and the frame (`frame` as JSON, `text` if it was none), or a `note`."""

    ms: int
    by: By | UnsetType = UNSET
    frame: Raw | UnsetType = UNSET
    text: str | UnsetType = UNSET
    note: str | UnsetType = UNSET
    data: Any = None

    @property
    def raw(self) -> bytes:
        """The frame's bytes, empty for a note."""
        if self.frame is not UNSET:
            return bytes(self.frame)
        return b"" if self.text is UNSET else self.text.encode()


class Trace:
    """A session file that is being written. Use as the sink of a tap; `close` when the session is over."""

    def __init__(self, path: Path, about: dict[str, Any], *, started_unix_ms: int, clock: Clock = monotonic_ms) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._clock = clock
        self._zero_ms = clock()
        # Speech is private: nobody else on the machine may read it.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "r+b", buffering=0)
        self._torn = False
        self._write(msgspec.json.encode({"duologue": VERSION, "started_unix_ms": started_unix_ms, **about}))

    @property
    def zero_ms(self) -> int:
        """What the clock said when the file was begun: 0 in the file."""
        return self._zero_ms

    def record(self, direction: Direction, frame: bytes | str, now_ms: int) -> None:
        """Append a frame that passed at `now_ms` by this trace's clock: the method of a tap's sink, on a client's side."""
        self.append("client" if direction == "sent" else "server", frame, now_ms)

    def append(self, by: By, frame: bytes | str, now_ms: int) -> int:
        """Append a frame; returns the offset under which `frame_at` finds it again, -1 once the file is closed."""
        data = frame.encode() if isinstance(frame, str) else bytes(frame)
        head = b'{"ms":%d,"by":"%s",' % (now_ms - self._zero_ms, by.encode())
        try:
            msgspec.json.decode(data, type=Raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._write(head + b'"text":' + msgspec.json.encode(data.decode(errors="replace")) + b"}")
        # Outside strings a line break is mere layout; inside them JSON has none. So a frame always fits one line.
        return self._write(head + b'"frame":' + data.replace(b"\r", b" ").replace(b"\n", b" ") + b"}")

    def note(self, name: str, data: Any) -> int:
        """Append something that was not on the wire, such as what the user heard."""
        return self._write(msgspec.json.encode(Entry(ms=self._clock() - self._zero_ms, note=name, data=data)))

    def frame_at(self, offset: int) -> bytes:
        """The frame that `record` stored at `offset`; empty if there is none."""
        if offset < 0 or not self.path.exists():
            return b""
        with self.path.open("rb") as file:
            file.seek(offset)
            return _entry(file.readline()).raw

    def close(self) -> None:
        """End the file; later records are dropped, stored frames can still be read."""
        self._file.close()

    def _write(self, line: bytes) -> int:
        if self._file.closed:
            return -1
        if self._torn:  # what a full disk has cut must not spoil the next line
            self._file.write(b"\n")
        offset = self._file.seek(0, os.SEEK_END)
        self._torn = True
        line += b"\n"
        written = self._file.write(line)
        while written < len(line):  # an unbuffered file may take less than it is given
            line = line[written:]
            written = self._file.write(line)
        self._torn = False
        return offset


def read_header(path: Path) -> dict[str, Any]:
    """The description of the session. Raises ConfigError for a file that is none of ours or of a newer version."""
    with path.open("rb") as file:
        try:
            header = msgspec.json.decode(file.readline(), type=dict[str, Any])
        except msgspec.DecodeError:
            header = {}
    if not isinstance(header.get("duologue"), int) or header["duologue"] > VERSION:
        raise ConfigError(f"{path} is not a session file of Duologue, or one of a newer version")
    return header


def read(path: Path) -> Iterator[Entry]:
    """All entries in order; a torn line (the last of a crash, one that a full disk cut) is passed over."""
    read_header(path)
    with path.open("rb") as file:
        file.readline()
        for line in file:
            try:
                yield _entry(line)
            except msgspec.DecodeError:
                continue


def user_audio(entries: Iterable[Entry]) -> bytes:
    """All sound that the client sent, one after the other, as it was on the wire (PCM16 at 24 kHz by default)."""
    return b"".join(_sound(entry, "input_audio_buffer.append", "audio") for entry in entries if entry.by == "client")


def model_audio(entries: Iterable[Entry], item_id: str | None = None) -> bytes:
    """All sound that the server sent, or only that of one item."""
    kinds = ("response.output_audio.delta", "response.audio.delta")
    return b"".join(
        _sound(entry, kind, "delta", item_id) for entry in entries if entry.by == "server" for kind in kinds
    )


def _sound(entry: Entry, kind: str, field: str, item_id: str | None = None) -> bytes:
    if kind.encode() not in entry.raw:
        return b""
    event = msgspec.json.decode(entry.raw)
    if not isinstance(event, dict) or event.get("type") != kind:
        return b""
    if item_id is not None and event.get("item_id") != item_id:
        return b""
    return b64decode(event.get(field, ""))


_decoder = msgspec.json.Decoder(Entry)


def _entry(line: bytes) -> Entry:
    return _decoder.decode(line)
