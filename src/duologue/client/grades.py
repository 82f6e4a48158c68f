"""How bad an error is: whether the conversation goes on, whether asking again can help. Pure."""

from __future__ import annotations

from typing import Literal

from duologue.errors import ConnectFailed, DuologueError, TransportClosed
from duologue.protocol.server_events import Error

Grade = Literal["benign", "retry", "fatal"]
"""`benign`: what was asked was refused or came too late, and the conversation goes on. `retry`: the same may succeed later.
`fatal`: this key, model or account gets no conversation; asking again changes nothing."""

_RETRY = frozenset((
    "session_expired", "rate_limit_exceeded", "inference_rate_limit_exceeded", "tokens_limit_reached", "server_error",
    "internal_error", "internal_server_error", "server_overloaded", "server_busy", "overloaded", "timeout",
    "service_unavailable", "too_many_sessions",
))  # fmt: skip
_FATAL = frozenset((
    "invalid_api_key", "missing_model", "invalid_model", "model_not_found", "beta_api_shape_disabled",
    "insufficient_quota", "billing_hard_limit_reached", "account_deactivated", "permission_denied", "unauthorized",
    "unsupported_country_region_territory", "organization_restricted", "invalid_organization", "mismatched_project",
))  # fmt: skip
_FATAL_TYPES = frozenset(("authentication_error", "permission_error", "insufficient_quota"))
_RETRY_TYPES = frozenset(("server_error", "rate_limit_error", "rate_limit_exceeded", "tokens", "requests"))
_NO_KEY = "missing bearer"
EXPIRED = "session_expired"


def grade_of(event: Error) -> Grade:
    """The grade of an `error` event: by its code, where that says nothing by its type. An unknown code is benign: most
    refusals concern one event, and a session that is over is closed by the server."""
    details = event.error
    if details.code in _RETRY:
        return "retry"
    if details.code in _FATAL or details.type in _FATAL_TYPES or _NO_KEY in details.message.lower():
        return "fatal"
    if details.code is None and details.type in _RETRY_TYPES:
        return "retry"
    return "benign"


def grade_of_exception(problem: Exception) -> Grade:
    """The grade of what failed on this side: only what ends or prevents a connection is more than benign."""
    if isinstance(problem, ConnectFailed | TransportClosed):
        return "retry" if problem.retryable else "fatal"
    return "retry" if isinstance(problem, DuologueError) and problem.retryable else "benign"
