"""Every exception that Duologue raises: each carries data, says both sides in words, and whether a retry can help."""

from __future__ import annotations


class DuologueError(Exception):
    """Base of all. `retryable` tells whether the same call may succeed later without a change."""

    retryable: bool = False


class ProtocolError(DuologueError):
    """Something the protocol forbids, as the fields of the wire's `error` event.

    `code`, `param` and `event_id` are None where the protocol leaves them null.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
        event_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.type = type
        self.event_id = event_id

    def __str__(self) -> str:
        where = f" (at {self.param})" if self.param else ""
        return f"{self.code or self.type}: {self.message}{where}"


class ConnectFailed(DuologueError):
    """A Realtime endpoint could not be reached, or refused: `status` and `body` of the HTTP answer, when there was one."""

    def __init__(
        self, url: str, reason: str, *, status: int | None = None, body: str = "", retryable: bool = False
    ) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason
        self.status = status
        self.body = body
        self.retryable = retryable

    def __str__(self) -> str:
        answer = f" (HTTP {self.status}: {self.body[:300] or 'no body'})" if self.status else ""
        hint = "a retry may help" if self.retryable else "a retry will not help"
        return f"could not connect to {self.url}: {self.reason}{answer}; {hint}"


class TransportClosed(DuologueError):
    """The connection has ended. `code` and `reason` are those of the WebSocket close frame (1006: no close frame)."""

    def __init__(self, code: int = 1006, reason: str = "", *, by: str = "peer") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.by = by
        self.retryable = code in (1001, 1005, 1006, 1011, 1012, 1013)

    def again(self) -> TransportClosed:
        """The same end as an exception of its own: one that is raised twice grows a traceback that keeps frames alive."""
        return TransportClosed(self.code, self.reason, by=self.by)

    def __str__(self) -> str:
        return f"connection closed by {self.by} with {self.code}{f' ({self.reason})' if self.reason else ''}"


class NotConnected(DuologueError):
    """An event was to be sent before `connect()` or after the connection ended."""

    def __str__(self) -> str:
        return "not connected: call connect() first"


class EngineError(DuologueError):
    """An engine (VAD, recognizer, language model, voice) failed. `remedy` is the next step for the person who runs it."""

    def __init__(
        self, engine: str, reason: str, *, code: str = "server_error", remedy: str = "", retryable: bool = False
    ) -> None:
        super().__init__(engine, reason)
        self.engine = engine
        self.reason = reason
        self.code = code
        self.remedy = remedy
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.engine}: {self.reason}" + (f" {self.remedy}" if self.remedy else "")


class MissingExtra(DuologueError):
    """A package that belongs to an optional part is not installed; `others` are further parts that bring it."""

    def __init__(self, package: str, extra: str, *others: str) -> None:
        super().__init__(package, extra, *others)
        self.package = package
        self.extra = extra
        self.others = others

    def __str__(self) -> str:
        parts = " or ".join(f"'duologue[{extra}]'" for extra in (self.extra, *self.others))
        return f"{self.package} is not installed. Run: pip install {parts}"


class SoundDeviceError(DuologueError):
    """No microphone or loudspeaker could be had. `kind` is "input", "output" or "" for both; `remedy` is the next step."""

    def __init__(self, kind: str, reason: str, *, remedy: str = "", retryable: bool = False) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason
        self.remedy = remedy
        self.retryable = retryable

    def __str__(self) -> str:
        name = {"input": "microphone", "output": "loudspeaker"}.get(self.kind, "sound")
        return f"{name}: {self.reason}" + (f" {self.remedy}" if self.remedy else "")


class ConfigError(DuologueError):
    """A setting from the command line, the environment or a file cannot be used; the message names it and the remedy."""
