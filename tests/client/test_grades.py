from __future__ import annotations

import pytest

from duologue.client.grades import grade_of, grade_of_exception
from duologue.errors import ConfigError, ConnectFailed, TransportClosed
from duologue.protocol.server_events import Error, ErrorDetails


@pytest.mark.parametrize(
    ("code", "kind", "message", "grade"),
    [
        ("response_cancel_not_active", "invalid_request_error", "", "benign"),
        ("conversation_already_has_active_response", "invalid_request_error", "", "benign"),
        ("input_audio_buffer_commit_empty", "invalid_request_error", "", "benign"),
        ("item_truncate_invalid_item_id", "invalid_request_error", "", "benign"),
        ("invalid_value", "invalid_request_error", "Audio content of 1ms is already shorter than 2ms", "benign"),
        ("unknown_parameter", "invalid_request_error", "", "benign"),
        ("a_code_of_tomorrow", "invalid_request_error", "", "benign"),
        ("session_expired", "invalid_request_error", "", "retry"),
        ("rate_limit_exceeded", "requests", "", "retry"),
        (None, "server_error", "The server had an error", "retry"),
        ("invalid_api_key", "invalid_request_error", "", "fatal"),
        ("invalid_model", "invalid_request_error", "", "fatal"),
        ("beta_api_shape_disabled", "invalid_request_error", "", "fatal"),
        (None, "invalid_request_error", "Missing bearer or basic authentication in header", "fatal"),
        ("insufficient_quota", "insufficient_quota", "", "fatal"),
    ],
)
def test_codes(code: str | None, kind: str, message: str, grade: str) -> None:
    event = Error(event_id="e", error=ErrorDetails(type=kind, code=code, message=message))
    assert grade_of(event) == grade


def test_what_failed_on_this_side() -> None:
    assert grade_of_exception(ConnectFailed("ws://h", "x", status=503, retryable=True)) == "retry"
    assert grade_of_exception(ConnectFailed("ws://h", "x", status=401)) == "fatal"
    assert grade_of_exception(TransportClosed(1006)) == "retry"
    assert grade_of_exception(TransportClosed(4000)) == "fatal"
    assert grade_of_exception(ZeroDivisionError()) == "benign"
    assert grade_of_exception(ConfigError("x")) == "benign"
