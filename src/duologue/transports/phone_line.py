"""One telephone call's sound, both ways: gaps filled, frames paced, and what the caller has heard so far. Pure.

A carrier plays what it is sent and tells by marks how far it came, some network delay later. So the place of the voice in
the caller's ear is an estimate: playing began after the first frame left and before its first mark came back, and since then
it went on at the pace of time. Frames leave only a little ahead of that place, so that little is left to clear.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from duologue.audio.spec import AudioSpec
from duologue.transports.carriers.base import CallEnded, CallStarted, Carrier, Frame, Heard, LineEvent, Reached

FRAME_MS = 20
LEAD_MS = 240
"""How far frames run ahead of the ear: more survives a stutter of the network, less is thrown away at an interruption."""
MARK_MS = 100
_GAP_MS = 60
"""A smaller hole in the caller's timestamps is jitter."""
_LONGEST_GAP_MS = 10_000
_SILENT_AFTER_MS = 750
"""Carriers send nothing for a muted line; without sound no detector would ever hear the end of a sentence."""
_SILENCE_STEP_MS = 200
_QUEUE_S = 600
_RUN_MARKS = 16


class _Piece:
    """Sound of one track that waits to be sent."""

    __slots__ = ("sound", "track")

    def __init__(self, track: str, sound: bytes) -> None:
        self.track = track
        self.sound = sound


class _Span(Struct):
    """Where a track's sound lies in all that was sent, in samples."""

    track: str
    start: int
    end: int


class _Run(Struct):
    """A stretch of playing without a hole: it began at sample `start`, and left here at `sent_ms`."""

    start: int
    sent_ms: int
    echoes: deque[int]
    """For each of its latest marks: when it came back, less the sound before it. Never earlier than the true beginning."""


class PhoneLine:
    """From the carrier's first message to its last. Time is monotonic milliseconds."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.call: CallStarted | None = None
        self.over = False
        self._queue: deque[_Piece] = deque()
        self._queued_bytes = 0
        self._spans: deque[_Span] = deque()
        self._sent = 0
        self._acked = 0
        self._marked = 0
        self._run: _Run | None = None
        self._generation = 0
        self._delay_ms = 0
        self._done: dict[str, int] = {}
        self._heard_ms = 0
        self._silent_from_ms = 0
        self._padded_ms = 0

    @property
    def spec(self) -> AudioSpec:
        """How the call's sound is coded. Only once it has started."""
        assert self.call is not None
        return self.call.spec

    # --- from the caller -------------------------------------------------------------------------------------

    def receive(self, frame: Frame, now_ms: int) -> LineEvent | None:
        """A message of the carrier: what it says, with gaps in the caller's sound filled. None where it says nothing."""
        event = self.carrier.read(frame)
        if self.over:
            return None
        match event:
            case CallStarted():
                if self.call is not None:
                    return None
                self.call = event
                self._silent_from_ms = now_ms
            case _ if self.call is None and not isinstance(event, CallEnded):
                return None
            case Heard():
                return self._heard(event, now_ms)
            case Reached(mark=mark):
                self._reached(mark, now_ms)
            case CallEnded():
                self.over = True
        return event

    def _heard(self, event: Heard, now_ms: int) -> Heard:
        """A hole in the timestamps becomes silence, as far as it was not filled while it lasted."""
        spec = self.spec
        missing_ms = 0
        if event.at_ms is not None:
            missing_ms = event.at_ms - self._heard_ms - self._padded_ms
            self._heard_ms = max(self._heard_ms, event.at_ms) + spec.ms_in(len(event.sound))
        self._padded_ms = 0
        self._silent_from_ms = now_ms
        if missing_ms < _GAP_MS:
            return event
        return Heard(sound=self._silence(min(missing_ms, _LONGEST_GAP_MS)) + event.sound, at_ms=event.at_ms)

    def silence(self, now_ms: int) -> bytes:
        """What a line that has gone quiet is to be taken for; nothing while sound comes in."""
        if self.call is None or self.over or now_ms < self._silence_due_ms():
            return b""
        missing_ms = now_ms - self._silent_from_ms - self._padded_ms
        fill_ms = max(0, min(missing_ms, _LONGEST_GAP_MS - self._padded_ms))
        self._padded_ms += fill_ms
        return self._silence(fill_ms)

    def _silence_due_ms(self) -> int:
        step_ms = _SILENT_AFTER_MS if self._padded_ms == 0 else self._padded_ms + _SILENCE_STEP_MS
        return self._silent_from_ms + step_ms

    def _silence(self, duration_ms: int) -> bytes:
        quiet = {"pcm16": b"\0", "ulaw": b"\xff", "alaw": b"\xd5"}[self.spec.encoding]
        return quiet * self.spec.bytes_in(duration_ms)

    # --- to the caller ---------------------------------------------------------------------------------------

    def write(self, sound: bytes, track: str) -> int:
        """Queue sound, coded as the call is, whole samples. Returns the bytes taken: what is beyond ten minutes is not."""
        room = _QUEUE_S * self.spec.bytes_per_second - self._queued_bytes
        taken = sound[: max(0, room)]
        if taken:
            self._queue.append(_Piece(track, taken))
            self._queued_bytes += len(taken)
        return len(taken)

    def due(self, now_ms: int) -> list[Frame]:
        """The messages that are to be sent now, in order."""
        if self.call is None or self.over:
            return []
        frames: list[Frame] = []
        lead = self._samples(LEAD_MS)
        while self._queue and self._sent - self._place(now_ms) < lead:
            self._follow_run(now_ms)
            frames.append(self.carrier.media(self.call, self._next()))
            if self._sent - self._marked >= self._samples(MARK_MS) or not self._queue:
                frames.append(self._mark())
        return frames

    @property
    def wake_at_ms(self) -> int | None:
        """When `due` or `silence` has something next; None while there is no call."""
        if self.call is None or self.over:
            return None
        times = [self._silence_due_ms()] if self._padded_ms < _LONGEST_GAP_MS else []
        if self._queue:
            times.append(self._next_due_ms())
        return min(times, default=None)

    def _next_due_ms(self) -> int:
        run = self._run
        if run is None:
            return 0  # at once
        ahead = self._sent - self._samples(LEAD_MS) - run.start
        return self._began_ms(run) + ahead * 1000 // self.spec.rate_hz + 1

    def _next(self) -> bytes:
        """The next frame's sound, from one track only; the last of a track may be short."""
        piece = self._queue[0]
        size = self.spec.bytes_in(FRAME_MS)
        sound, piece.sound = piece.sound[:size], piece.sound[size:]
        if not piece.sound:
            self._queue.popleft()
        self._queued_bytes -= len(sound)
        start, self._sent = self._sent, self._sent + self.spec.frames_in(len(sound))
        last = self._spans[-1] if self._spans else None
        if last is not None and last.track == piece.track and last.end == start:
            last.end = self._sent
        else:
            self._spans.append(_Span(piece.track, start, self._sent))
        return sound

    def _mark(self) -> Frame:
        assert self.call is not None
        self._marked = self._sent
        return self.carrier.mark(self.call, f"{self._generation}:{self._sent}")

    def clear(self, now_ms: int) -> list[Frame]:
        """Be silent at once: everything not yet heard is gone. Returns the messages that say so."""
        if self.call is None or self.over:
            return []
        place = self._place(now_ms)
        self._forget_before(place)
        told = self._sent > place or bool(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        self._spans.clear()
        # Marks that the clearing itself sends back must not count as heard.
        self._generation += 1
        self._sent = self._acked = self._marked = place
        self._run = None
        return [self.carrier.clear(self.call)] if told else []

    # --- what was heard --------------------------------------------------------------------------------------

    def played_ms(self, track: str, now_ms: int) -> int:
        """Milliseconds of the track that the caller has heard, as near as can be known."""
        place = self._place(now_ms)
        heard = self._done.get(track, 0)
        heard += sum(max(0, min(place, span.end) - span.start) for span in self._spans if span.track == track)
        return heard * 1000 // self.spec.rate_hz

    def pending_ms(self, now_ms: int) -> int:
        """Sound that was written and not yet heard, rounded up."""
        waiting = self._sent - self._place(now_ms) + self.spec.frames_in(self._queued_bytes)
        return -(-waiting * 1000 // self.spec.rate_hz)

    @property
    def confirmed(self) -> bool:
        """Whether the carrier's marks say that everything written was heard."""
        return not self._queue and self._acked >= self._sent

    def forget(self, track: str) -> None:
        """Nobody will ask about this track any more."""
        self._done.pop(track, None)

    def _forget_before(self, place: int) -> None:
        """Spans that lie behind become a number per track."""
        while self._spans and self._spans[0].start < place:
            span = self._spans[0]
            heard = min(place, span.end) - span.start
            self._done[span.track] = self._done.get(span.track, 0) + heard
            if span.end > place:
                span.start = place
                break
            self._spans.popleft()

    def _reached(self, mark: str, now_ms: int) -> None:
        generation, _, position = mark.partition(":")
        if generation != str(self._generation) or not position.isdecimal():
            return
        reached = min(int(position), self._sent)
        if (run := self._run) and reached > run.start:
            began_ms = now_ms - (reached - run.start) * 1000 // self.spec.rate_hz
            run.echoes.append(began_ms)
            self._delay_ms = max(0, (min(run.echoes) - run.sent_ms) // 2)
        self._acked = max(self._acked, reached)
        self._forget_before(self._acked)

    def _follow_run(self, now_ms: int) -> None:
        """Where all that was sent has been heard, playing begins anew with the next frame."""
        if self._run is None or self._place(now_ms) >= self._sent:
            self._run = _Run(self._sent, now_ms, deque(maxlen=_RUN_MARKS))

    def _began_ms(self, run: _Run) -> int:
        """When playing began: halfway between the first frame's leaving and the earliest that its marks allow."""
        latest_ms = min(run.echoes, default=run.sent_ms + 2 * self._delay_ms)
        return run.sent_ms + max(0, latest_ms - run.sent_ms) // 2

    def _place(self, now_ms: int) -> int:
        """The sample that the caller hears now."""
        run = self._run
        if run is None:
            return self._sent
        played = run.start + max(0, now_ms - self._began_ms(run)) * self.spec.rate_hz // 1000
        return max(self._acked, min(played, self._sent))

    def _samples(self, duration_ms: int) -> int:
        return duration_ms * self.spec.rate_hz // 1000
