from __future__ import annotations

import pytest

from duologue.console.endings import of_closing, of_failure
from duologue.errors import ConfigError, ConnectFailed, EngineError, TransportClosed


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1008, 1009, 1011, 1012, 1013, 4000, 4321])
def test_no_close_code_is_told_as_a_number(code: int) -> None:
    ending = of_closing(TransportClosed(code))
    assert ending.code.startswith("ended-")
    assert str(code) not in ending.told
    assert "onnect again" in ending.step


def test_what_the_server_said_is_kept_behind_the_words() -> None:
    ending = of_closing(TransportClosed(4000, "session_expired"))
    assert ending.told == "The server ended the call: session_expired"
    assert of_closing(TransportClosed(1012)).told == "The server was stopped or restarted."


def test_a_server_that_is_silent_is_not_one_that_failed() -> None:
    assert of_closing(TransportClosed(1011, by="us")).code == "ended-silent"
    assert of_closing(TransportClosed(1011)).code == "ended-failed"


def test_a_retry_is_advised_only_where_it_may_help_and_only_once() -> None:
    again = of_failure(ConnectFailed("ws://h", "it may be starting", retryable=True))
    never = of_failure(ConnectFailed("ws://h", "the server refused", status=401, body="no key"))
    assert (again.code, never.code) == ("upstream-again", "upstream")
    assert "retry" not in again.cause + never.cause
    assert "Try again" in again.step
    assert "key" in never.step
    assert "HTTP 401: no key" in never.cause


def test_an_engine_comes_with_its_remedy() -> None:
    ending = of_failure(EngineError("stt", "is not installed.", remedy="Install it."))
    assert (ending.code, ending.cause, ending.step) == ("engine", "stt: is not installed.", "Install it.")
    assert of_failure(ConfigError("wrong")).cause == "wrong"
