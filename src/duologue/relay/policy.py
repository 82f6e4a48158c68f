"""The judge of a call: every event of both directions comes here, and one decision goes out. Pure.

What is judged is what is sent: an event either has an exact shape that cannot mean anything else, and the shell forwards
the very bytes (`caller_passes`, `upstream_passes`), or it is decoded, judged, and encoded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from duologue.dialogue.cost import PriceTable
from duologue.protocol.session import FunctionTool
from duologue.relay.commands import Allowance, Caller, Command
from duologue.relay.settings import Limits, Rules


class Refuse(Struct, frozen=True):
    """What a hook returns to refuse an event: the `error` that the caller gets."""

    message: str
    code: str = "refused_by_policy"
    param: str | None = None


class Hooks(Struct, frozen=True, kw_only=True):
    """Functions of one's own. `session` sees the session before it is opened; the others each event before the rules."""

    session: Callable[[dict[str, Any], Caller], dict[str, Any]] | None = None
    caller_event: Callable[[dict[str, Any], Caller], dict[str, Any] | None | Refuse] | None = None
    upstream_event: Callable[[dict[str, Any], Caller], dict[str, Any] | None] | None = None
    audio: bool = False


class Policy(Struct, frozen=True, kw_only=True):
    """Everything a judge goes by. `session`: the opening session; `secrets`: strings that no caller may ever see."""

    rules: Rules = Rules()
    limits: Limits = Limits()
    session: Mapping[str, Any] = {}
    server_tools: tuple[FunctionTool, ...] = ()
    hooks: Hooks = Hooks()
    secrets: tuple[str, ...] = ()
    model: str = ""
    prices: PriceTable | None = None


def opening_session(policy: Policy, caller: Caller) -> dict[str, Any]:
    """The GA session object that a call opens with: what the policy says, with the server's tools, after the hook."""
    raise NotImplementedError


class Judge:
    """One for each call. Speaks GA on both sides; every method returns what is to be done, in order.

    After a `CloseCall` nothing more may be asked of it.
    """

    def __init__(self, policy: Policy, caller: Caller, allowance: Allowance, new_id: Callable[[str], str]) -> None:
        raise NotImplementedError

    def begin(self, now_ms: int) -> Sequence[Command]:
        """The call begins: what the upstream gets before anything of the caller's."""
        raise NotImplementedError

    def caller_passes(self, frame: bytes | bytearray | memoryview, now_ms: int) -> bool:
        """True: forward this very frame to the upstream; it is judged, counted and metered.

        False says nothing yet: hand the frame to `from_caller`.
        """
        raise NotImplementedError

    def upstream_passes(self, frame: bytes | bytearray | memoryview, now_ms: int) -> bool:
        """True: forward this very frame to the caller. False says nothing yet: hand it to `from_upstream`."""
        raise NotImplementedError

    def from_caller(self, frame: bytes, now_ms: int) -> Sequence[Command]:
        """Judge a text frame of the caller that did not pass as it was."""
        raise NotImplementedError

    def from_upstream(self, frame: bytes, now_ms: int) -> Sequence[Command]:
        """Judge a text frame of the upstream that did not pass as it was."""
        raise NotImplementedError

    def tool_done(self, call_id: str, output: str, now_ms: int) -> Sequence[Command]:
        """A server-side tool has answered; failures are answers too, in words for the model."""
        raise NotImplementedError

    def allow(self, allowance: Allowance, now_ms: int) -> Sequence[Command]:
        """The user's allowance has changed, as by another call of theirs."""
        raise NotImplementedError

    def wake(self, now_ms: int) -> Sequence[Command]:
        """`wake_at_ms` has come. It moves with every event, so a wake may find nothing to do: read it again."""
        raise NotImplementedError

    @property
    def wake_at_ms(self) -> int | None:
        """When to call `wake`."""
        raise NotImplementedError
