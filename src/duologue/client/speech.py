"""The user's sound as it was sent, kept just long enough to cut the spoken turns out of it. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque

from duologue.audio.spec import BYTES_PER_MS

_KEPT_MS = 300_000
_IDLE_MS = 30_000
_TURNS = 64
_TAIL_MS = 1000


class InputSpeech:
    """Positions are bytes of the sound sent so far; older sound than 5 minutes (30 s while nobody speaks) is forgotten."""

    def __init__(self) -> None:
        self.bytes_per_ms = BYTES_PER_MS
        self.position = 0
        self._pieces: deque[bytes] = deque()
        self._start = 0
        self._uncommitted = 0
        self._marks: deque[tuple[int, int]] = deque(maxlen=_TURNS)
        self._turns: OrderedDict[str, tuple[int, int | None]] = OrderedDict()
        self.listening = False

    @property
    def pending_bytes(self) -> int:
        """Sent since the last commit or clear."""
        return self.position - self._uncommitted

    def append(self, piece: bytes) -> None:
        """Sound was sent."""
        self._pieces.append(piece)
        self.position += len(piece)
        keep = (_IDLE_MS if self.listening and not self._turns else _KEPT_MS) * self.bytes_per_ms
        while self.position - self._start > keep and self._pieces:
            self._start += len(self._pieces.popleft())

    def mark_commit(self) -> None:
        """A commit was sent."""
        self._marks.append((self._uncommitted, self.position))
        self._uncommitted = self.position

    def mark_clear(self) -> None:
        """A clear was sent."""
        self._uncommitted = self.position

    def started(self, item_id: str, start_ms: int) -> None:
        """The server heard speech begin."""
        self.listening = True
        self._turns[item_id] = (start_ms * self.bytes_per_ms, None)
        while len(self._turns) > _TURNS:
            self._turns.popitem(last=False)

    def stopped(self, item_id: str, end_ms: int) -> None:
        """The server heard speech end."""
        if item_id in self._turns:
            self._turns[item_id] = (self._turns[item_id][0], end_ms * self.bytes_per_ms)

    def committed(self, item_id: str) -> bytes:
        """The sound that became the item; empty where it is not known any more."""
        start, end = self._turns.pop(item_id, (None, None))
        if start is None or end is None:
            marked = self._marks.popleft() if self._marks else None
            start = start if start is not None else (marked[0] if marked else self.position)
            end = marked[1] if marked else self.position
        else:
            self._uncommitted = max(self._uncommitted, min(end, self.position))
        return self._cut(start, end)

    def unanswered(self, vad: bool) -> bytes:
        """What the server would not know any more if it forgot all sound that is no item yet. With voice detection: the
        turn that is being spoken, or the last second, in which one may have begun; without: all since the last commit."""
        start = self._uncommitted
        if vad:
            open_turns = [start for start, _ in self._turns.values()]
            start = min(open_turns, default=self.position - _TAIL_MS * self.bytes_per_ms)
        return self._cut(max(0, start), self.position)

    def unconfirmed(self) -> list[bytes]:
        """Sound that was committed and that the server has not yet called an item, commit by commit."""
        return [self._cut(start, end) for start, end in self._marks if end > start]

    def _cut(self, start: int, end: int) -> bytes:
        start, end = max(start, self._start), min(end, self.position)
        found, at = [], self._start
        for piece in self._pieces:
            if at >= end:
                break
            if at + len(piece) > start:
                found.append(piece[max(0, start - at) : end - at])
            at += len(piece)
        return b"".join(found)
