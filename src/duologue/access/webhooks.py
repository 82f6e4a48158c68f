"""Signed webhooks, as the Realtime API announces an incoming call with them (the Standard Webhooks scheme). Pure.

The signature covers id, time and the exact bytes of the body, so a body that was parsed and written again does not verify.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Literal

PREFIX = "whsec_"
TOLERANCE_S = 300
"""How old a webhook may be, and how far its sender's clock ahead: later a recorded one could be sent again."""

Refusal = Literal["incomplete", "forged", "stale"]


def sign(body: bytes, *, secret: str, webhook_id: str, now_s: int) -> dict[str, str]:
    """The headers that a webhook of these bytes carries. Raises ValueError for a secret that is not one."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{_signature(body, secret, webhook_id, str(now_s))}",
    }


def verify(body: bytes, headers: Mapping[str, str], *, secret: str, now_s: int) -> Refusal | None:
    """None where the webhook was signed with `secret` within five minutes of now. Header names may have any case.

    Raises ValueError for a secret that is not one.
    """
    given = {name.lower(): value for name, value in headers.items()}
    webhook_id, sent = given.get("webhook-id"), given.get("webhook-timestamp")
    signatures = given.get("webhook-signature", "").split()
    if not webhook_id or not sent or not signatures:
        return "incomplete"
    expected = f"v1,{_signature(body, secret, webhook_id, sent)}".encode()
    # Several: while a secret is being replaced, a sender signs with both.
    if not any(hmac.compare_digest(expected, signature.encode()) for signature in signatures):
        return "forged"
    if not sent.isdecimal() or abs(now_s - int(sent)) > TOLERANCE_S:
        return "stale"
    return None


def _signature(body: bytes, secret: str, webhook_id: str, sent: str) -> str:
    signed = f"{webhook_id}.{sent}.".encode() + body
    return b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        raise ValueError(f"a webhook secret is {PREFIX} followed by base64") from None
