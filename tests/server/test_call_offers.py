"""duologue.server.call_offers."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.errors import ProtocolError
from duologue.protocol.session import RealtimeSession
from duologue.server.call_offers import read_call_offer

OFFER = "v=0\r\ns=-\r\n"


def test_an_offer_alone() -> None:
    offer = read_call_offer("application/sdp; charset=utf-8", b"v=0\ns=-")
    assert (offer.sdp, offer.session) == (OFFER, None)


def test_an_offer_beside_settings_as_an_http_client_writes_it() -> None:
    parts = {
        "sdp": (None, OFFER.encode(), "application/sdp"),
        "session": (None, b'{"type":"realtime","instructions":"be kind"}', "application/json"),
    }
    request = httpx.Request("POST", "http://h", files=parts)
    offer = read_call_offer(request.headers["content-type"], request.read())
    assert offer.sdp == OFFER
    assert isinstance(offer.session, RealtimeSession)
    assert offer.session.instructions == "be kind"


@pytest.mark.parametrize(
    ("session", "param"), [(b'{"type":"realtime","instructions":5}', "session.instructions"), (b"{", None)]
)
def test_settings_that_cannot_be_are_named(session: bytes, param: str | None) -> None:
    parts = {"sdp": (None, OFFER.encode()), "session": (None, session)}
    request = httpx.Request("POST", "http://h", files=parts)
    with pytest.raises(ProtocolError) as refusal:
        read_call_offer(request.headers["content-type"], request.read())
    assert refusal.value.param == param


@given(
    st.sampled_from(["application/sdp", "multipart/form-data; boundary=a", "multipart/form-data", "x/y", ""]),
    st.binary(),
)
def test_any_body_is_an_offer_or_refused(kind: str, body: bytes) -> None:
    with suppress(ProtocolError):
        assert read_call_offer(kind, body).sdp.startswith("v=0")
