"""The body of a request for a call: an SDP offer, alone or beside the settings of the session. Pure."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesParser

import msgspec
from msgspec import Struct

from duologue.errors import ProtocolError
from duologue.protocol.codec import parse
from duologue.protocol.session import AnySession
from duologue.server.offers import read_order

SDP = "application/sdp"


class CallOffer(Struct, frozen=True, kw_only=True):
    """What a caller offers; `session` where it brings settings."""

    sdp: str
    session: AnySession | None = None


def read_call_offer(content_type: str, body: bytes) -> CallOffer:
    """`application/sdp`, or `multipart/form-data` with the parts `sdp` and `session`. Raises ProtocolError."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == SDP:
        return CallOffer(sdp=_text(body))
    if kind != "multipart/form-data":
        message = (
            f"Unsupported content type '{kind[:100]}': send {SDP}, or multipart/form-data with 'sdp' and 'session'."
        )
        raise ProtocolError(message, code="unsupported_content_type")
    parts = _parts(content_type, body)
    if "sdp" not in parts:
        raise ProtocolError("Missing required parameter: 'sdp'.", code="missing_required_parameter", param="sdp")
    session = None
    if "session" in parts:
        session = read_order(msgspec.json.encode({"session": parse(parts["session"])})).session
    return CallOffer(sdp=_text(parts["sdp"]), session=session)


def _parts(content_type: str, body: bytes) -> dict[str, bytes]:
    try:
        form = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
        found = form.get_payload() if form.is_multipart() else []
    except (ValueError, LookupError):
        found = []
    parts: dict[str, bytes] = {}
    for part in found if isinstance(found, list) else []:
        name = part.get_param("name", header="content-disposition") if isinstance(part, Message) else None
        content = part.get_payload(decode=True) if isinstance(part, Message) else None
        if isinstance(name, str) and isinstance(content, bytes):
            parts[name] = content
    return parts


def _text(sdp: bytes) -> str:
    """SDP as its parser wants it: whatever ends the lines, and the last of them too."""
    text = sdp.decode("utf-8", "replace").strip()
    if not text.startswith("v=0"):
        raise ProtocolError("The offer is no SDP: it does not begin with 'v=0'.", code="invalid_sdp", param="sdp")
    return "\r\n".join(text.splitlines()) + "\r\n"
