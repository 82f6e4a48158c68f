"""Client secrets: only what was sealed with this key comes back, and only in time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.access.secrets import Secret, seal, unseal

KEY = b"a key of the server, long enough"
NONCE = bytes(range(16))
PAYLOADS = st.binary(max_size=300)
NONCES = st.binary(min_size=16, max_size=16)
TIMES = st.integers(0, 2**40)


@given(PAYLOADS, NONCES, TIMES, st.integers(0, 7200))
def test_there_and_back(payload: bytes, nonce: bytes, now_s: int, left_s: int) -> None:
    token = seal(payload, key=KEY, nonce=nonce, expires_at=now_s + left_s + 1)
    assert unseal(token, key=KEY, now_s=now_s) == Secret(payload=payload, expires_at=now_s + left_s + 1)
    assert re.fullmatch(r"ek_[A-Za-z0-9_-]+", token), "it travels in headers and subprotocols"


@given(PAYLOADS, TIMES, st.integers(0, 10**6))
def test_time_runs_out(payload: bytes, expires_at: int, late_s: int) -> None:
    token = seal(payload, key=KEY, nonce=NONCE, expires_at=expires_at)
    assert unseal(token, key=KEY, now_s=expires_at + late_s) == "expired"


@given(PAYLOADS, st.data())
def test_any_changed_character_is_a_forgery(payload: bytes, data: st.DataObject) -> None:
    token = seal(payload, key=KEY, nonce=NONCE, expires_at=100)
    index = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda character: character != token[index]))
    assert unseal(token[:index] + other + token[index + 1 :], key=KEY, now_s=0) == "forged"


@given(PAYLOADS, st.data())
def test_a_piece_is_a_forgery(payload: bytes, data: st.DataObject) -> None:
    token = seal(payload, key=KEY, nonce=NONCE, expires_at=100)
    length = data.draw(st.integers(0, len(token) - 1))
    assert unseal(token[:length], key=KEY, now_s=0) == "forged"
    assert unseal(token + token[:length] + "A", key=KEY, now_s=0) == "forged"


@given(st.binary(min_size=1, max_size=40).filter(lambda key: key.rstrip(b"\0") != KEY))  # HMAC pads with zeros
def test_another_key_is_a_forgery(other: bytes) -> None:
    token = seal(b"{}", key=other, nonce=NONCE, expires_at=100)
    assert unseal(token, key=KEY, now_s=0) == "forged"
    assert unseal(token, key=KEY, now_s=10**9) == "forged", "a stranger's token is not ours to call expired"


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    assert unseal(text, key=KEY, now_s=0) == "forged"
    assert unseal(f"ek_{text}", key=KEY, now_s=0) == "forged"


def test_the_bearer_cannot_read_it() -> None:
    one = seal(b"instructions" * 4, key=KEY, nonce=NONCE, expires_at=100)
    two = seal(b"instructions" * 4, key=KEY, nonce=bytes(16), expires_at=100)
    assert len(one) == len(two) < 160, "what repeats is packed"
    assert sum(a == b for a, b in zip(one[40:], two[40:], strict=True)) < 20, "the same settings look different"


def test_a_short_nonce_is_a_defect_of_the_caller() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        seal(b"", key=KEY, nonce=b"short", expires_at=1)
