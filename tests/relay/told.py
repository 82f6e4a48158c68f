"""A call told as a script: `call >> event` is the caller speaking, `call << event` the upstream; both give what follows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from duologue.ids import CountingIds
from duologue.protocol.session import FunctionTool
from duologue.relay.commands import Allowance, Caller, CloseCall, Command, RunTool, Spent, ToCaller, ToUpstream
from duologue.relay.policy import Judge, Policy
from duologue.relay.settings import Limits, Rules

Json = dict[str, Any]
CALLER = Caller(user="ann", how="token")
SECRET = "You sell umbrellas of Brolly & Sons. Never tell that the margin is 43 percent."
LOOKUP = FunctionTool(name="find_order", description="Looks into the order book of Brolly.", parameters={})


def policy(*, limits: Limits | None = None, **rules: Any) -> Policy:
    """A policy that injects nothing."""
    return Policy(rules=Rules(**rules), limits=limits or Limits())


def secret_policy(*, limits: Limits | None = None, **rules: Any) -> Policy:
    """A policy with instructions, a voice, and a tool that runs in the relay."""
    return Policy(
        rules=Rules(**rules),
        limits=limits or Limits(),
        session={"instructions": SECRET, "audio": {"output": {"voice": "marin"}}},
        server_tools=(LOOKUP,),
        secrets=("sk-live-0123456789",),
        model="gpt-realtime",
    )


class Call:
    """One call at a time that stands still until it is moved."""

    def __init__(self, rules: Policy, allowance: Allowance | None = None) -> None:
        self.judge = Judge(rules, CALLER, allowance or Allowance(), CountingIds())
        self.now_ms = 0
        self.opening = read(self.judge.begin(0))

    def __rshift__(self, event: Json | bytes) -> list[Any]:
        frame = event if isinstance(event, bytes) else json.dumps(event, separators=(",", ":")).encode()
        if self.judge.caller_passes(frame, self.now_ms):
            return [("pass", json.loads(frame)["type"])]
        return read(self.judge.from_caller(frame, self.now_ms))

    def __lshift__(self, event: Json | bytes) -> list[Any]:
        frame = event if isinstance(event, bytes) else json.dumps(event, separators=(",", ":")).encode()
        if self.judge.upstream_passes(frame, self.now_ms):
            return [("pass", json.loads(frame)["type"])]
        return read(self.judge.from_upstream(frame, self.now_ms))

    def tool(self, call_id: str, output: str) -> list[Any]:
        """The tool has answered."""
        return read(self.judge.tool_done(call_id, output, self.now_ms))

    def wake(self) -> list[Any]:
        """The timer has rung."""
        return read(self.judge.wake(self.now_ms))

    def opened(self) -> Call:
        """Past the upstream's greeting."""
        self << {"type": "session.created", "event_id": "e", "session": {"type": "realtime", "id": "s"}}
        self << {"type": "session.updated", "event_id": "e", "session": {"type": "realtime", "id": "s"}}
        return self


def read(commands: Iterable[Command]) -> list[Any]:
    """Commands as tuples that are easy to compare."""
    told: list[Any] = []
    for command in commands:
        match command:
            case ToUpstream(frame):
                told.append(("up", json.loads(frame)))
            case ToCaller(frame):
                told.append(("down", json.loads(frame)))
            case RunTool(call_id, name, arguments):
                told.append(("run", call_id, name, arguments))
            case Spent(usage, usd):
                told.append(("spent", getattr(usage, "total_tokens", None), usd))
            case CloseCall(code, reason, who):
                told.append(("close", code, reason, who))
    return told


def errors(told: Sequence[Any]) -> list[tuple[str | None, str | None, str | None]]:
    """Code, param and event id of the errors that the caller gets, when that is all there is."""
    for one in told:
        assert one[0] == "down", told
        assert one[1]["type"] == "error", told
    return [(one[1]["error"]["code"], one[1]["error"]["param"], one[1]["error"]["event_id"]) for one in told]


def update(**session: Any) -> Json:
    """A `session.update` of the caller."""
    return {"type": "session.update", "event_id": "mine", "session": {"type": "realtime", **session}}


def said(text: str, role: str = "user", **more: Any) -> Json:
    """A message that the caller creates."""
    kind = "output_text" if role == "assistant" else "input_text"
    item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
    return {"type": "conversation.item.create", "event_id": "mine", "item": item, **more}


def respond(**params: Any) -> Json:
    """A `response.create` of the caller."""
    return {"type": "response.create", "event_id": "mine", **({"response": params} if params else {})}


def function_call(item_id: str, call_id: str, name: str = "find_order", status: str = "completed") -> Json:
    """A call of the model's."""
    done = status == "completed"
    return {"id": item_id, "type": "function_call", "status": status, "name": name, "call_id": call_id,
            "arguments": '{"n":1}' if done else ""}  # fmt: skip


def message(item_id: str, text: str = "") -> Json:
    """Something the model says."""
    return {"id": item_id, "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_audio", "transcript": text}]}  # fmt: skip


def response(kind: str, response_id: str = "r", *, output: Sequence[Json] = (), **more: Any) -> Json:
    """`response.created` or `response.done`."""
    status = "in_progress" if kind == "created" else "completed"
    body = {"id": response_id, "object": "realtime.response", "status": status, "conversation_id": "conv",
            "output": list(output), **more}  # fmt: skip
    return {"type": f"response.{kind}", "event_id": "e", "response": body}


def output_item(kind: str, item: Json, index: int = 0, response_id: str = "r") -> Json:
    """`response.output_item.added` or `.done`."""
    return {"type": f"response.output_item.{kind}", "event_id": "e", "response_id": response_id,
            "output_index": index, "item": item}  # fmt: skip


def item_event(kind: str, item: Json, before: str | None = None) -> Json:
    """`conversation.item.added`, `.done` …"""
    return {"type": f"conversation.item.{kind}", "event_id": "e", "previous_item_id": before, "item": item}
