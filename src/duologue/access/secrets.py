"""Client secrets: short-lived keys that carry their own session settings, so that a server has nothing to remember.

A token is sealed: encrypted, then signed. Settings may hold what the bearer is not to read, such as the headers of a
tool server. Keystream and signature come from one key through SHAKE-256 and HMAC-SHA256 with separate labels; the nonce
makes every token its own. Pure: time and nonce are arguments.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Literal

from msgspec import Struct

PREFIX = "ek_"
NONCE_BYTES = 16
_VERSION = b"\x01"
_EXPIRY_BYTES = 8
_SIGNATURE_BYTES = 32
_HEAD_BYTES = len(_VERSION) + NONCE_BYTES + _EXPIRY_BYTES

Refusal = Literal["forged", "expired"]


class Secret(Struct, frozen=True, kw_only=True):
    """What a valid token said. `expires_at` in seconds since 1970."""

    payload: bytes
    expires_at: int


def seal(payload: bytes, *, key: bytes, nonce: bytes, expires_at: int) -> str:
    """A token for `payload` that is valid before `expires_at`. `nonce`: 16 random bytes, never used twice with a key."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    head = _VERSION + nonce + expires_at.to_bytes(_EXPIRY_BYTES)
    sealed = head + _crypt(zlib.compress(payload, 9), key, nonce)
    return PREFIX + _text(sealed + _signature(sealed, key))


def unseal(token: str, *, key: bytes, now_s: int) -> Secret | Refusal:
    """What `seal` put in. `forged` for anything else that this key did not sign, `expired` once its time is over."""
    raw = _bytes(token.removeprefix(PREFIX)) if token.startswith(PREFIX) else None
    if raw is None or len(raw) < _HEAD_BYTES + _SIGNATURE_BYTES:
        return "forged"
    sealed, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(sealed, key)) or not sealed.startswith(_VERSION):
        return "forged"
    nonce = sealed[len(_VERSION) :][:NONCE_BYTES]
    expires_at = int.from_bytes(sealed[_HEAD_BYTES - _EXPIRY_BYTES : _HEAD_BYTES])
    if now_s >= expires_at:
        return "expired"
    return Secret(payload=zlib.decompress(_crypt(sealed[_HEAD_BYTES:], key, nonce)), expires_at=expires_at)


def _derived(key: bytes, use: str) -> bytes:
    return hmac.digest(key, f"duologue client secret: {use}".encode(), "sha256")


def _signature(sealed: bytes, key: bytes) -> bytes:
    return hmac.digest(_derived(key, "signature"), sealed, "sha256")


def _crypt(data: bytes, key: bytes, nonce: bytes) -> bytes:
    """Encrypts and decrypts: the keystream is its own inverse."""
    stream = hashlib.shake_256(_derived(key, "keystream") + nonce).digest(len(data))
    return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(len(data))


def _text(raw: bytes) -> str:
    """Base64 of URLs without padding: every character may stand in a header and in a subprotocol."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes | None:
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return raw if _text(raw) == text else None  # one spelling only: a changed character is a changed token
