from __future__ import annotations

import pytest

from duologue.errors import ConfigError
from duologue.transports.call_address import IceServer, call_id_of, calls_url, hangup_url, ice_servers


def test_every_kind_of_address_leads_to_the_calls() -> None:
    assert calls_url("wss://h/v1/realtime?model=m") == ("https://h/v1/realtime/calls", "m")
    assert calls_url(" http://h:1/v1/realtime/calls/ ") == ("http://h:1/v1/realtime/calls", "")


def test_the_call_is_the_last_part_of_its_location() -> None:
    assert call_id_of("/v1/realtime/calls/rtc_1") == "rtc_1"
    assert call_id_of("https://h/v1/realtime/calls/rtc_2/?x=1") == "rtc_2"
    assert call_id_of("http://[broken/rtc_3") == "rtc_3"
    assert call_id_of("") is None


def test_a_server_without_a_name_and_password_has_none() -> None:
    assert IceServer(url="stun:h").username is None


def test_a_call_is_hung_up_beside_where_it_was_offered() -> None:
    assert hangup_url("https://h/v1/realtime/calls", "rtc_1") == "https://h/v1/realtime/calls/rtc_1/hangup"
    assert hangup_url("http://h:1/calls?api-version=2", "rtc_1") == "http://h:1/calls/rtc_1/hangup?api-version=2"


def test_ice_servers_are_one_of_a_kind_and_turn_has_an_account() -> None:
    account = {"DUOLOGUE_TURN_ACCOUNT": "1433895918:ann:c2VjcmV0"}
    urls = ["stun:stun.example.org:3478", "turns:turn.example.org:5349?transport=tcp"]
    stun, turn = ice_servers(urls, account)
    assert stun == IceServer(url=urls[0])
    assert turn == IceServer(url=urls[1], username="1433895918:ann", credential="c2VjcmV0")
    assert ice_servers([], {}) == ()


@pytest.mark.parametrize(
    ("urls", "word"),
    [
        (["stun.example.org"], "no ICE server"),
        (["https://example.org"], "no ICE server"),
        (["turn:ann:secret@example.org"], "no ICE server"),
        (["turn:example.org"], "DUOLOGUE_TURN_ACCOUNT"),
        (["stun:a", "stun:b"], "a second STUN server beside stun:a"),
    ],
)
def test_what_is_no_ice_server_is_said(urls: list[str], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        ice_servers(urls, {})
