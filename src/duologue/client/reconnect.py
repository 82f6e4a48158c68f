"""When to connect again, and when to stop trying: a machine that is told what happened and answers what to do. Pure.

Two reasons to connect again: the connection dropped, or the session nears its end and the conversation pauses. A shell
runs what it answers: wait, connect, replay; or tell the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from duologue.client.grades import EXPIRED
from duologue.client.payloads import ClientError
from duologue.errors import ConnectFailed, DuologueError, TransportClosed

State = Literal["idle", "up", "leaving", "retrying", "over"]
_REFUSED = (1008, 3000, 3003, 4000, 4001, 4003)
_LATEST_MS = 15_000
_LOOK_MS = 250


class ReconnectPolicy(Struct, frozen=True, kw_only=True):
    """How hard to hold on to a conversation; times in ms."""

    first_delay_ms: int = 250
    longest_delay_ms: int = 10_000
    give_up_ms: int = 120_000
    """Without a connection for so long, the conversation is over."""
    rollover_ms: int = 180_000
    """So long before the session ends, the next pause is used for moving to a new one."""
    steady_ms: int = 10_000
    """A connection that held for so long starts the counting of attempts anew."""
    audio_ms: int = 60_000
    """Sound of the user that is kept meanwhile."""


class Retry(Struct, frozen=True, kw_only=True):
    """Wait, then connect. `attempt` counts from 1; `cause` is why, in words."""

    delay_ms: int
    attempt: int
    cause: str
    planned: bool = False


class GiveUp(Struct, frozen=True, kw_only=True):
    """It is over. `closed` is what ended it; `cause` the refusal behind it, where the server told one."""

    closed: TransportClosed
    cause: ClientError | None = None


class Look(Struct, frozen=True, kw_only=True):
    """Call `tick` after so many ms."""

    delay_ms: int


class Leave(Struct, frozen=True, kw_only=True):
    """Close the connection: a new one will take its place."""


class Reconnect:
    """One for each conversation. `jitter` gives numbers from 0 to 1: clients that lost the same server must not all come
    back in the same moment."""

    def __init__(self, policy: ReconnectPolicy | None, jitter: Callable[[], float]) -> None:
        self.policy = policy
        self.state: State = "idle"
        self.attempts = 0
        self._jitter = jitter
        self._down_ms: int | None = None
        self._up_ms = 0
        self._expires_ms: int | None = None
        self._window_ms = 0
        self._latest_ms = 0

    @property
    def lasting(self) -> bool:
        """Whether the conversation outlives its connection."""
        return self.policy is not None

    def opened(self, now_ms: int) -> None:
        """A connection is ready to be used."""
        self.state = "up"
        self._up_ms = now_ms

    def expires(self, in_ms: int, now_ms: int) -> list[Look]:
        """The server said when the session will end."""
        if self.policy is None or in_ms <= 0:
            return []
        self._expires_ms = now_ms + in_ms
        self._window_ms = self._expires_ms - min(self.policy.rollover_ms, in_ms // 2)
        self._latest_ms = self._expires_ms - min(_LATEST_MS, in_ms // 8)
        return [Look(delay_ms=self._window_ms - now_ms)]

    def tick(self, now_ms: int, calm: bool) -> list[Look | Leave]:
        """Time passed; `calm`: nobody speaks, no answer and no tool is under way. Close to the end calm or not."""
        if self.state != "up" or self._expires_ms is None:
            return []
        if now_ms < self._window_ms:
            return [Look(delay_ms=self._window_ms - now_ms)]
        if not calm and now_ms < self._latest_ms:
            return [Look(delay_ms=max(1, min(_LOOK_MS, self._latest_ms - now_ms)))]
        self.state = "leaving"
        return [Leave()]

    def left(self) -> None:
        """The user ended it."""
        self.state = "over"

    def closed(self, why: TransportClosed, cause: ClientError | None, now_ms: int) -> Retry | GiveUp | None:
        """The connection ended. None where it was known: over already, or a new one is being made."""
        if self.state == "leaving":
            self.state = "retrying"
            self._down_ms = now_ms
            self._expires_ms = None
            self.attempts = 0
            return Retry(delay_ms=0, attempt=1, cause="the session nears its end", planned=True)
        if self.state != "up":
            return None
        self._expires_ms = None
        if self.policy is None or why.by == "us" or not _may_return(why, cause):
            return self._end(why, cause)
        if self._down_ms is None or now_ms - self._up_ms >= self.policy.steady_ms:
            self.attempts = 0
            self._down_ms = now_ms
        self.state = "retrying"
        return self._again(str(why), cause, why, now_ms)

    def failed(self, problem: DuologueError, cause: ClientError | None, now_ms: int) -> Retry | GiveUp | None:
        """An attempt did not lead to a connection, or lost it before the conversation was restored."""
        if self.state != "retrying":
            return None
        if isinstance(problem, TransportClosed):
            why, hopeless = problem, not _may_return(problem, cause)
        else:
            why, hopeless = TransportClosed(1006, str(problem)), not problem.retryable
            if isinstance(problem, ConnectFailed) and cause is None:
                cause = ClientError(
                    message=str(problem), exception=problem, grade="retry" if problem.retryable else "fatal"
                )
        if hopeless:
            return self._end(why, cause)
        return self._again(str(problem), cause, why, now_ms)

    def _again(self, said: str, cause: ClientError | None, why: TransportClosed, now_ms: int) -> Retry | GiveUp:
        policy = self.policy
        assert policy is not None
        assert self._down_ms is not None
        if now_ms - self._down_ms >= policy.give_up_ms:
            return self._end(why, cause)
        self.attempts += 1
        whole = min(policy.longest_delay_ms, policy.first_delay_ms << min(self.attempts - 1, 20))
        # From half to whole: the waits grow, and no two clients wait alike.
        delay = int(whole * (0.5 + 0.5 * self._jitter()))
        left = policy.give_up_ms - (now_ms - self._down_ms)
        return Retry(delay_ms=min(delay, left), attempt=self.attempts, cause=cause.message if cause else said)

    def _end(self, why: TransportClosed, cause: ClientError | None) -> GiveUp:
        self.state = "over"
        return GiveUp(closed=why, cause=cause)


def _may_return(why: TransportClosed, cause: ClientError | None) -> bool:
    """Whether a new connection may get what this one lost. A session that reached its end may close with any code."""
    if cause is not None and cause.code == EXPIRED:
        return True
    if why.code in _REFUSED or (cause is not None and cause.grade == "fatal"):
        return False
    return why.retryable
