from __future__ import annotations

from duologue.transports.call_address import IceServer, call_id_of, calls_url


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
