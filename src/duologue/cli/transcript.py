"""A conversation as lines of text: who said what, which tools ran, how long an answer took and what it cost. Pure."""

from __future__ import annotations

from collections import deque
from typing import Literal

from msgspec import Struct

from duologue.client.payloads import BudgetSpent, ClientError, Reconnecting, Restored, UsageUpdate
from duologue.protocol import server_events as ev
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.items import FunctionCall, FunctionCallOutput
from duologue.protocol.responses import Response

Who = Literal["you", "it", "tool", "note", "error"]
Happening = ev.ServerEvent | UnknownEvent | ClientError | Reconnecting | Restored | UsageUpdate | BudgetSpent
_OUTPUT_CHARS = 200
_ASKED = 16


class Line(Struct, frozen=True, kw_only=True):
    """One line; `aside` is small print: latency, tokens, dollars."""

    who: Who
    text: str
    aside: str = ""


class Transcript:
    """Turns what happens into lines. Times are monotonic milliseconds."""

    def __init__(self) -> None:
        self.state: Literal["ready", "hearing", "thinking", "speaking"] = "ready"
        self.words = ""
        """What is being said right now, by either side, as far as it is known."""
        self.usd = 0.0
        self.answers = 0
        self._asked_ms: deque[int] = deque(maxlen=_ASKED)
        self._latency_ms: int | None = None
        self._said: dict[str, str] = {}
        self._cost_usd: float | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is under way or the user speaks."""
        return self.state != "ready" or bool(self._asked_ms)

    def asked(self, now_ms: int) -> None:
        """The user has finished, by typing or by letting go of a key."""
        self._asked_ms.append(now_ms)
        self.state = "thinking"

    def apply(self, happened: Happening, now_ms: int) -> list[Line]:
        """What is to be shown of it, in order."""
        match happened:
            case ev.InputAudioBufferSpeechStarted():
                self.state, self.words = "hearing", ""
            case ev.InputAudioBufferCommitted():
                if self.state != "thinking":  # a key that was let go has asked already
                    self.asked(now_ms)
            case ev.InputAudioTranscriptionDelta(delta=words):
                self.words += words
            case ev.InputAudioTranscriptionCompleted(transcript=text):
                return [Line(who="you", text=text.strip() or "(nothing was understood)")]
            case ev.InputAudioTranscriptionFailed(error=error):
                reason = error.message if isinstance(error.message, str) else "no reason was given"
                return [Line(who="you", text=f"(not transcribed: {reason})")]
            case ev.ConversationItemTruncated(audio_end_ms=end_ms):
                return [Line(who="note", text=f"interrupted after {end_ms / 1000:.1f} s of the answer")]
            case ev.ConversationItemAdded(item=FunctionCallOutput(output=output)):
                return [Line(who="tool", text=f"→ {_short(output)}")]
            case ClientError(message=message):
                return [Line(who="error", text=message)]
            case Reconnecting(delay_ms=delay_ms, cause=cause):
                return [
                    Line(who="note", text=f"connection lost ({cause}); the next attempt is in {delay_ms / 1000:.1f} s")
                ]
            case Restored():
                return [Line(who="note", text=_restored(happened))]
            case BudgetSpent(budget_usd=budget):
                return [Line(who="note", text=f"the budget of ${budget:g} is spent")]
            case UsageUpdate(totals=totals, cost=cost):
                self.usd = totals.usd
                self._cost_usd = cost.usd if cost is not None else None
            case _:
                return self._answer(happened, now_ms)
        return []

    def _answer(self, happened: Happening, now_ms: int) -> list[Line]:
        match happened:
            case ev.ResponseCreated(response=response):
                self._said.clear()
                self.state, self.words = "thinking", ""
            case (
                ev.ResponseOutputAudioTranscriptDelta(item_id=item_id, delta=words)
                | ev.ResponseOutputTextDelta(item_id=item_id, delta=words)
            ):
                self._said[item_id] = self._said.get(item_id, "") + words
                self.words = self._said[item_id]
                self._first(now_ms)
            case ev.ResponseOutputAudioDelta():
                self._first(now_ms)
            case ev.ResponseOutputItemDone(item=FunctionCall(name=name, arguments=arguments)):
                return [Line(who="tool", text=f"{name} {_short(arguments)}")]
            case ev.ResponseDone(response=response):
                return self._done(response)
        return []

    def _first(self, now_ms: int) -> None:
        self.state = "speaking"
        if self._asked_ms and self._latency_ms is None:
            self._latency_ms = now_ms - self._asked_ms.popleft()

    def _done(self, response: Response) -> list[Line]:
        """The answer as one line: a message of it may come in several items."""
        text = " ".join(words.strip() for words in self._said.values() if words.strip())
        self._said.clear()
        lines = []
        if text:
            self.answers += 1
            cut = " …" if response.status in ("cancelled", "incomplete") else ""
            lines.append(Line(who="it", text=text + cut, aside=self._aside(response)))
        if response.status == "failed":
            lines.append(Line(who="error", text=_failure(response)))
        if response.status != "completed":
            self._asked_ms.clear()
        self.words = ""
        if self.state != "hearing":
            self.state = "ready"
        return lines

    def _aside(self, response: Response) -> str:
        parts = []
        if self._latency_ms is not None:
            parts.append(f"{self._latency_ms / 1000:.2f} s")
        if response.usage is not None and isinstance(response.usage.total_tokens, int):
            parts.append(f"{response.usage.total_tokens} tokens")
        if self._cost_usd is not None:
            parts.append(f"${self._cost_usd:.4f}")
        self._latency_ms = self._cost_usd = None
        return " · ".join(parts)


def _failure(response: Response) -> str:
    details = response.status_details
    error = getattr(details, "error", None)
    message = getattr(error, "message", None)
    return message if isinstance(message, str) else "the answer failed"


def _restored(restored: Restored) -> str:
    told = f"connected again after {restored.offline_ms / 1000:.1f} s; the new session knows {restored.items} items"
    lost = f", {len(restored.lost)} are lost" if restored.lost else ""
    return told + lost


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _OUTPUT_CHARS else f"{flat[:_OUTPUT_CHARS]}…"
