"""What the user says while there is no connection: kept up to a bound, oldest dropped first. Pure."""

from __future__ import annotations

from collections import deque


class GapBuffer:
    """Sound in the order in which it was said. `dropped_bytes` counts what the bound cost."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.dropped_bytes = 0
        self._pieces: deque[bytes] = deque()

    def put(self, piece: bytes) -> None:
        """Keep a piece; drop the oldest pieces beyond the bound."""
        self._pieces.append(piece)
        self.held_bytes += len(piece)
        while self.held_bytes > self.limit_bytes:
            oldest = self._pieces.popleft()
            self.held_bytes -= len(oldest)
            self.dropped_bytes += len(oldest)

    def put_back(self, piece: bytes) -> None:
        """Keep a piece that was taken before, as the oldest; it is the first to go where the bound is reached."""
        room = self.limit_bytes - self.held_bytes
        kept = piece[len(piece) - room :] if room < len(piece) else piece
        self.dropped_bytes += len(piece) - len(kept)
        if kept:
            self._pieces.appendleft(kept)
            self.held_bytes += len(kept)

    def take(self) -> bytes:
        """The oldest piece, empty where there is none."""
        if not self._pieces:
            return b""
        piece = self._pieces.popleft()
        self.held_bytes -= len(piece)
        return piece

    def clear(self) -> None:
        """Forget the sound: the user took it back."""
        self._pieces.clear()
        self.held_bytes = 0
