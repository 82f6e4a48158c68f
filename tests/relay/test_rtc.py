from __future__ import annotations

import pytest

from duologue.errors import ProtocolError
from duologue.relay.rtc import sdp_of

OFFER = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n"


def test_an_offer_is_the_body_or_a_part_of_a_form() -> None:
    assert sdp_of("application/sdp", OFFER.encode()) == OFFER
    form = (
        '--b\r\nContent-Disposition: form-data; name="session"\r\n\r\n{}\r\n'
        f'--b\r\nContent-Disposition: form-data; name="sdp"\r\nContent-Type: application/sdp\r\n\r\n{OFFER}\r\n--b--\r\n'
    )
    assert sdp_of("multipart/form-data; boundary=b", form.encode()) == OFFER


def test_anything_else_is_refused() -> None:
    for kind, body in (("application/sdp", b""), ("multipart/form-data; boundary=b", b"--b--"), ("", b"{}")):
        with pytest.raises(ProtocolError):
            sdp_of(kind, body)
