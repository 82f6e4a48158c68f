"""What the director wants done: the session's shell does it, in this order. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from duologue.agents.agent import Handoff, RealtimeAgent
from duologue.agents.config import Cast
from duologue.agents.events import AnySessionEvent
from duologue.agents.guardrails import Check, Sound
from duologue.agents.tools import AgentTool
from duologue.protocol.client_events import ClientEvent
from duologue.protocol.items import FunctionCall


class Call(Struct, frozen=True, kw_only=True):
    """A tool call: which response and which agent made it."""

    response_id: str
    agent: RealtimeAgent
    wire: FunctionCall

    @property
    def call_id(self) -> str:
        """The model's own id of it."""
        return str(self.wire.call_id)


class Tell(Struct, frozen=True):
    """Tell the application."""

    event: AnySessionEvent


class Consider(Struct, frozen=True, kw_only=True):
    """May this call run? To be answered with `considered`."""

    call: Call
    tool: AgentTool


class AwaitDecision(Struct, frozen=True, kw_only=True):
    """A person decides about this call; where nobody has after `timeout_s`, `overdue` is to be told."""

    call_id: str
    timeout_s: float


class RunTool(Struct, frozen=True, kw_only=True):
    """Run it; to be answered with `tool_done`."""

    call: Call
    tool: AgentTool


class HandOver(Struct, frozen=True, kw_only=True):
    """Make the other agent ready; to be answered with `handed_over` or `handoff_failed`."""

    call: Call
    way: Handoff


class Answer(Struct, frozen=True, kw_only=True):
    """Give the model the output of its call."""

    call: Call
    output: str
    respond: bool = True


class Configure(Struct, frozen=True):
    """Change the session's settings: only these."""

    change: dict[str, Any]


class Hook(Struct, frozen=True, kw_only=True):
    """Call one of the agent's hooks, if it is set."""

    agent: RealtimeAgent
    name: str
    arguments: tuple[Any, ...] = ()


class CheckOutput(Struct, frozen=True, kw_only=True):
    """Run the output guardrails; to be answered with `output_checked`."""

    check: Check
    cast: Cast


class CheckInput(Struct, frozen=True, kw_only=True):
    """Run the input guardrails on what the user said; to be answered with `input_checked`."""

    item_id: str
    text: str
    cast: Cast


class Cut(Struct, frozen=True):
    """Stop speaking."""

    barge_in: bool = False
    """The user has begun to speak: a port does it by itself."""


class Release(Struct, frozen=True):
    """This sound may be heard now."""

    sounds: tuple[Sound, ...]


class Note(Struct, frozen=True, kw_only=True):
    """Tell the model something. `hidden`: people do not see it in the history."""

    text: str
    hidden: bool = True


class Respond(Struct, frozen=True, kw_only=True):
    """Ask for an answer, with more instructions than the session's where there are any."""

    instructions: str = ""
    purpose: str = ""
    """Marks the answer in its metadata."""
    verbatim: bool = False
    """`instructions` are the words to say."""


class SendEvent(Struct, frozen=True):
    """Send a client event as it is."""

    event: ClientEvent


Effect = (
    Tell
    | Consider
    | AwaitDecision
    | RunTool
    | HandOver
    | Answer
    | Configure
    | Hook
    | CheckOutput
    | CheckInput
    | Cut
    | Release
    | Note
    | Respond
    | SendEvent
)
