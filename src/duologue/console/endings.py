"""Why a call ended or never began, in words: for the status line, and for a banner with the next step. Pure."""

from __future__ import annotations

from msgspec import Struct

from duologue.errors import ConnectFailed, EngineError, TransportClosed

_AGAIN = "Connect again."
_CLOSED = {
    1000: ("ended-by-server", "the server ended the call", _AGAIN),
    1001: ("ended-restart", "the server was stopped or restarted", _AGAIN),
    1005: ("ended-by-server", "the server ended the call", _AGAIN),
    1006: ("ended-lost", "the connection to the server was lost", "See whether the server runs, then connect again."),
    1008: ("ended-refused", "the server does not allow this call", "Check the key and the model, then connect again."),
    1009: ("ended-too-big", "the server was sent more than it takes at once", _AGAIN),
    1011: ("ended-failed", "the server failed", "Connect again; if it happens again, look at the server's log."),
    1012: ("ended-restart", "the server was stopped or restarted", _AGAIN),
    1013: ("ended-busy", "the server has too much to do", "Wait a moment, then connect again."),
}
_OWN = {
    1011: ("ended-silent", "the server does not answer any more", "See whether the server runs, then connect again.")
}


class Ending(Struct, frozen=True, kw_only=True):
    """`code` is for translation, `cause` and `step` are English; `detail` is what was heard of the other side."""

    code: str
    cause: str
    step: str
    detail: str = ""

    @property
    def told(self) -> str:
        """The cause as a sentence, with its detail."""
        words = self.cause[:1].upper() + self.cause[1:]
        return f"{words}: {self.detail}" if self.detail else f"{words}."


def of_closing(closed: TransportClosed) -> Ending:
    """What a close code means to the user."""
    known = _OWN.get(closed.code) if closed.by == "us" else None
    code, cause, step = known or _CLOSED.get(closed.code) or ("ended-by-server", "the server ended the call", _AGAIN)
    return Ending(code=code, cause=cause, step=step, detail=closed.reason)


def of_trouble(problem: Exception) -> Ending:
    """What ended a call that was under way, where the connection itself did not."""
    return Ending(code="ended-problem", cause="a problem ended the call", step=_AGAIN, detail=str(problem))


def of_failure(problem: Exception) -> Ending:
    """Why there is no connection. A step is only to check the settings where a retry cannot help."""
    if isinstance(problem, EngineError):
        return Ending(code="engine", cause=f"{problem.engine}: {problem.reason}", step=problem.remedy)
    if isinstance(problem, ConnectFailed):
        answer = f" (HTTP {problem.status}: {problem.body[:300] or 'no body'})" if problem.status else ""
        cause = f"could not connect to {problem.url}: {problem.reason}{answer}"
    else:
        cause = str(problem)
    again = getattr(problem, "retryable", False)
    step = (
        "Try again in a moment; see whether the server runs." if again else "Check the server's address, model and key."
    )
    return Ending(code="upstream-again" if again else "upstream", cause=cause, step=step)
