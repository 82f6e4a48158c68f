"""The user's sound between arrival and commit: PCM16, 24 kHz, mono. Every byte is accounted for."""

from __future__ import annotations

from msgspec import Struct

BYTES_PER_MS = 48


class Ledger(Struct, frozen=True, kw_only=True):
    """Where the bytes went: appended = committed + cleared + buffered."""

    appended_bytes: int
    committed_bytes: int
    cleared_bytes: int
    buffered_bytes: int


class InputBuffer:
    """A window over the audio sent so far; positions are milliseconds since the session's first sample."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._start_byte = 0
        self._committed_bytes = 0

    @property
    def start_ms(self) -> int:
        """Position of the first byte held."""
        return self._start_byte // BYTES_PER_MS

    @property
    def end_ms(self) -> int:
        """Position after the last byte held: all audio sent so far."""
        return (self._start_byte + len(self._data)) // BYTES_PER_MS

    @property
    def held_ms(self) -> float:
        """Length of what is held."""
        return len(self._data) / BYTES_PER_MS

    def ledger(self) -> Ledger:
        """Where all bytes went."""
        appended = self._start_byte + len(self._data)
        cleared = self._start_byte - self._committed_bytes
        return Ledger(
            appended_bytes=appended,
            committed_bytes=self._committed_bytes,
            cleared_bytes=cleared,
            buffered_bytes=len(self._data),
        )

    def append(self, audio: bytes) -> None:
        """Take more sound."""
        self._data += audio

    def slice(self, from_ms: int, to_ms: int | None = None) -> bytes:
        """A copy of the sound between two positions, as far as it is held; `to_ms` None means to the end."""
        begin = max(0, from_ms * BYTES_PER_MS - self._start_byte)
        end = len(self._data) if to_ms is None else max(0, to_ms * BYTES_PER_MS - self._start_byte)
        return bytes(self._data[begin:end])

    def commit(self, from_ms: int, to_ms: int | None = None) -> bytes:
        """Take the sound between two positions out; what came before is cleared, what comes after stays."""
        audio = self.slice(from_ms, to_ms)
        begin = min(len(self._data), max(0, from_ms * BYTES_PER_MS - self._start_byte))
        self._drop(begin + len(audio))
        self._committed_bytes += len(audio)
        return audio

    def clear(self) -> None:
        """Throw everything away."""
        self._drop(len(self._data))

    def keep_last(self, keep_ms: int, before_ms: int) -> None:
        """Let go of sound from more than `keep_ms` before that position.

        The window may hold twice as much before it, so that the moving costs little.
        """
        if before_ms - self.start_ms > 2 * keep_ms:
            self._drop(min(len(self._data), (before_ms - keep_ms) * BYTES_PER_MS - self._start_byte))

    def _drop(self, count: int) -> None:
        del self._data[:count]
        self._start_byte += count
