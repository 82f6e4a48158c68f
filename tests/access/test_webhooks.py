"""Webhooks verify here as they do in the `openai` package, and nothing else verifies."""

from __future__ import annotations

from base64 import b64encode

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.access.webhooks import TOLERANCE_S, sign, verify

SECRET = "whsec_" + b64encode(b"a secret of some bytes").decode()
NOW_S = 1_790_000_000
BODY = b'{"id":"evt_1","object":"event","type":"realtime.call.incoming","created_at":1,"data":{"call_id":"rtc_1"}}'


@given(st.binary(), st.text("abcdef0123_", min_size=1), st.integers(0, 2**33))
def test_what_was_signed_verifies(body: bytes, webhook_id: str, now_s: int) -> None:
    headers = sign(body, secret=SECRET, webhook_id=webhook_id, now_s=now_s)
    assert verify(body, headers, secret=SECRET, now_s=now_s) is None
    assert verify(body, {name.title(): value for name, value in headers.items()}, secret=SECRET, now_s=now_s) is None


@given(st.binary(min_size=1), st.data())
def test_a_changed_byte_does_not(body: bytes, data: st.DataObject) -> None:
    headers = sign(body, secret=SECRET, webhook_id="wh_1", now_s=NOW_S)
    where = data.draw(st.integers(0, len(body) - 1))
    changed = body[:where] + bytes([body[where] ^ 1]) + body[where + 1 :]
    assert verify(changed, headers, secret=SECRET, now_s=NOW_S) == "forged"


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"webhook-id": "wh_2"}, "forged"),
        ({"webhook-timestamp": str(NOW_S + 1)}, "forged"),
        ({"webhook-signature": "v1,AAAA"}, "forged"),
        ({"webhook-signature": "v1,ä"}, "forged"),
        ({"webhook-signature": ""}, "incomplete"),
        ({"webhook-id": ""}, "incomplete"),
    ],
)
def test_a_changed_header_does_not(change: dict[str, str], answer: str) -> None:
    headers = sign(BODY, secret=SECRET, webhook_id="wh_1", now_s=NOW_S) | change
    assert verify(BODY, headers, secret=SECRET, now_s=NOW_S) == answer


def test_a_recorded_webhook_is_stale_later() -> None:
    headers = sign(BODY, secret=SECRET, webhook_id="wh_1", now_s=NOW_S)
    assert verify(BODY, headers, secret=SECRET, now_s=NOW_S + TOLERANCE_S) is None
    assert verify(BODY, headers, secret=SECRET, now_s=NOW_S + TOLERANCE_S + 1) == "stale"
    assert verify(BODY, headers, secret=SECRET, now_s=NOW_S - TOLERANCE_S - 1) == "stale"


def test_one_of_several_signatures_is_enough() -> None:
    old = sign(BODY, secret="plain text", webhook_id="wh_1", now_s=NOW_S)
    new = sign(BODY, secret=SECRET, webhook_id="wh_1", now_s=NOW_S)
    both = new | {"webhook-signature": f"{old['webhook-signature']} {new['webhook-signature']}"}
    assert verify(BODY, both, secret=SECRET, now_s=NOW_S) is None


def test_a_secret_that_is_none_says_so() -> None:
    with pytest.raises(ValueError, match="whsec_"):
        sign(BODY, secret="whsec_!", webhook_id="wh_1", now_s=NOW_S)


def test_the_openai_package_takes_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW_S)
    client = openai.OpenAI(api_key="sk-none", webhook_secret=SECRET)
    event = client.webhooks.unwrap(BODY, sign(BODY, secret=SECRET, webhook_id="wh_1", now_s=NOW_S))
    assert event.type == "realtime.call.incoming"
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(BODY + b" ", sign(BODY, secret=SECRET, webhook_id="wh_1", now_s=NOW_S))
