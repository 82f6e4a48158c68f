"""One stretch of time in a session, as a plain value. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["session", "turn", "response", "tool", "approval", "handoff", "guardrail", "reconnect"]
Status = Literal["open", "ok", "cancelled", "refused", "failed", "lost"]
Value = str | int | float | bool


class Span(Struct, frozen=True, kw_only=True):
    """From `started_ms` to `ended_ms`, monotonic; None while it goes on. `parent_id` names the span that it belongs to,
    which may have ended before it. `status`: `cancelled` was interrupted, `refused` was not allowed, `lost` was never told
    to have ended. All times among the `attributes` are milliseconds since the span began."""

    trace_id: str
    span_id: str
    parent_id: str | None
    kind: Kind
    name: str
    started_ms: int
    ended_ms: int | None = None
    status: Status = "open"
    attributes: dict[str, Value] = {}

    @property
    def duration_ms(self) -> int | None:
        """How long it took; None while it goes on."""
        return None if self.ended_ms is None else self.ended_ms - self.started_ms
