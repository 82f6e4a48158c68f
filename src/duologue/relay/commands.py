"""What the judge of a call is told and what it answers: the caller, the allowance, and commands for the shell. Pure."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from duologue.protocol.responses import TranscriptionUsage, Usage

Party = Literal["caller", "upstream", "relay"]


class Caller(Struct, frozen=True, kw_only=True):
    """Who calls. `claims`: what a JWT said besides, or the payload of a client secret; never the credential itself."""

    user: str
    how: Literal["token", "secret", "jwt", "loopback"]
    claims: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Caller({self.user!r}, by {self.how})"


class Allowance(Struct, frozen=True, kw_only=True):
    """What the user may still spend today, over all of their calls. None: no bound."""

    tokens: int | None = None
    usd: float | None = None

    @property
    def spent(self) -> bool:
        """True where nothing is left of one of the two."""
        return (self.tokens is not None and self.tokens <= 0) or (self.usd is not None and self.usd <= 0)


class ToUpstream(Struct, frozen=True):
    """Send this text frame to the upstream."""

    frame: bytes


class ToCaller(Struct, frozen=True):
    """Send this text frame to the caller."""

    frame: bytes


class RunTool(Struct, frozen=True):
    """Run a server-side tool; the answer, or what went wrong, comes back through `Judge.tool_done`.

    `arguments` is the model's JSON text, unchecked.
    """

    call_id: str
    name: str
    arguments: str


class Spent(Struct, frozen=True):
    """Something was billed. `usd` is None where no price is known."""

    usage: Usage | TranscriptionUsage
    usd: float | None


class CloseCall(Struct, frozen=True):
    """End the call on both sides with this close code and reason; nothing more is to be asked of the judge.

    `who` ended it: a caller that broke a rule, an upstream that refused the policy, or the relay's own limits. `detail` is
    for the operator's log and must not reach the caller.
    """

    code: int
    reason: str
    who: Party
    detail: str = ""


Command = ToUpstream | ToCaller | RunTool | Spent | CloseCall
