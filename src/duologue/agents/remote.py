"""Tools that the Realtime server runs itself, on MCP servers: which there are, who allows them, what they brought. Pure."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import UNSET

from duologue.agents.agent import RealtimeAgent
from duologue.agents.calls import ToolRules
from duologue.agents.effects import AwaitDecision, Effect, Respond, SendEvent, Tell
from duologue.agents.events import McpToolCallCompleted, McpToolsChanged, ToolApprovalRequired
from duologue.protocol import client_events as ce
from duologue.protocol.items import Item, McpApprovalRequest, McpApprovalResponse, McpCall, McpListTools

_REMEMBERED = 256


class RemoteTools:
    """Those of one session."""

    def __init__(self, rules: ToolRules) -> None:
        self._rules = rules
        self.listed: dict[str, tuple[str, ...]] = {}
        self._waiting: dict[str, McpApprovalRequest] = {}
        self._always: dict[tuple[str, str], bool] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()

    def waits(self, request_id: str) -> bool:
        """Whether the server waits for an answer to this request."""
        return request_id in self._waiting

    def item(self, item: Item, agent: RealtimeAgent) -> list[Effect]:
        """An item is complete; each is told of twice, by the response and by the conversation."""
        match item:
            case McpListTools(server_label=label, tools=tools):
                names = tuple(tool.name for tool in tools)
                if self.listed.get(label) == names:
                    return []
                self.listed = {**self.listed, label: names}
                return [Tell(McpToolsChanged(tools=self.listed))]
            case McpApprovalRequest() if self._first(item):
                self._waiting[str(item.id)] = item
                allowed = self._always.get((item.server_label, item.name))
                if allowed is not None:
                    return self.settle(str(item.id), allowed)
                asked = ToolApprovalRequired(
                    agent=agent,
                    tool=item.name,
                    call_id=str(item.id),
                    arguments=item.arguments,
                    server_label=item.server_label,
                )
                timeout_s = self._rules.approval_timeout_s
                return [Tell(asked), *([AwaitDecision(call_id=str(item.id), timeout_s=timeout_s)] if timeout_s else [])]
            case McpCall() if self._first(item):
                output = item.output if isinstance(item.output, str) else ""
                told = McpToolCallCompleted(
                    tool=item.name, server_label=item.server_label, arguments=item.arguments, output=output
                )
                # The server leaves it to the client to ask the model again.
                return [Tell(told), *([Respond()] if self._rules.respond_to_mcp else [])]
            case _:
                return []

    def settle(self, request_id: str, allowed: bool, *, always: bool = False, reason: str = "") -> list[Effect]:
        """A person has decided; `always`: the next times, too."""
        request = self._waiting.pop(request_id)
        if always:
            self._always[request.server_label, request.name] = allowed
        answer = McpApprovalResponse(approval_request_id=request_id, approve=allowed, reason=reason or UNSET)
        sent = SendEvent(ce.ConversationItemCreate(item=answer))
        return [sent] if allowed else [sent, Respond()]

    def _first(self, item: McpApprovalRequest | McpCall) -> bool:
        if not isinstance(item.id, str) or item.id in self._seen:
            return False
        self._seen[item.id] = None
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True
