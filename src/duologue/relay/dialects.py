"""The dialects of the two ends of a call; in between everything is GA. Pure."""

from __future__ import annotations

from duologue.protocol.codec import decode_server_event
from duologue.protocol.dialect import BetaServer, client_event_to_beta, client_event_to_ga, server_event_to_beta

BETA_HEADER, BETA_VALUE = "openai-beta", "realtime=v1"
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"


class Ga:
    """An end that speaks GA."""

    plain = True
    """True where audio in the exact GA shape may be handed on as it is."""

    def from_caller(self, frame: bytes) -> bytes:
        """A caller's frame in GA. Raises ProtocolError."""
        return frame

    def to_caller(self, frame: bytes) -> list[bytes]:
        """A GA frame as the caller understands it."""
        return [frame]

    def from_upstream(self, frame: bytes) -> list[bytes]:
        """An upstream's frame in GA."""
        return [frame]

    def to_upstream(self, frame: bytes) -> bytes:
        """A GA frame as the upstream understands it."""
        return frame


class Beta(Ga):
    """An end that speaks the beta of 2024; one for each connection."""

    plain = False

    def __init__(self) -> None:
        self._server = BetaServer()

    def from_caller(self, frame: bytes) -> bytes:
        """A caller's frame in GA. Raises ProtocolError."""
        return _bytes(client_event_to_ga(frame))

    def to_caller(self, frame: bytes) -> list[bytes]:
        """A GA frame as the caller understands it; none for what the beta does not say."""
        return server_event_to_beta(decode_server_event(frame))

    def from_upstream(self, frame: bytes) -> list[bytes]:
        """An upstream's frame in GA: more than one where GA says more."""
        return self._server.to_ga(frame)

    def to_upstream(self, frame: bytes) -> bytes:
        """A GA frame as the upstream understands it."""
        return _bytes(client_event_to_beta(frame))


def speaks_beta(header: str, subprotocols: tuple[str, ...]) -> bool:
    """Whether a handshake asks for the beta: by the value of `OpenAI-Beta`, or by a browser's subprotocol."""
    return BETA_VALUE in (part.strip() for part in header.split(",")) or BETA_SUBPROTOCOL in subprotocols


def _bytes(frame: bytes | str) -> bytes:
    return frame.encode() if isinstance(frame, str) else frame
