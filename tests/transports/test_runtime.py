from __future__ import annotations

import pytest

from duologue.errors import ConfigError
from duologue.transports.runtime import check_key, default_transport, runtime

KEY = "sk-very-secret"


def test_this_is_a_process() -> None:
    assert runtime() == "native"
    assert default_transport() == "websocket"


def test_a_page_calls_and_a_worker_does_not() -> None:
    assert default_transport("page") == "webrtc"
    assert default_transport("workers") == "websocket"


def test_a_page_takes_ephemeral_keys_only() -> None:
    with pytest.raises(ConfigError) as refused:
        check_key(KEY, where="page")
    assert "dangerously_allow_api_key_in_browser" in str(refused.value)
    assert KEY not in str(refused.value)
    check_key("ek_short_lived", where="page")
    check_key("", where="page")
    check_key(None, where="page")
    check_key(KEY, where="page", dangerously_allow=True)


def test_elsewhere_any_key_will_do() -> None:
    check_key(KEY, where="native")
    check_key(KEY, where="workers")
    check_key(KEY)
