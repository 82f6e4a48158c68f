"""The remote MCP servers of one session: what they offer, and the calls that wait for the client's approval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from duologue.errors import ProtocolError
from duologue.protocol import server_events as wire
from duologue.protocol.items import (
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    McpListTools,
    McpTool,
)
from duologue.protocol.session import AnySession, McpServerTool, RealtimeSession
from duologue.server import config, mcp
from duologue.server.commands import CallRemote, ListRemote
from duologue.server.conversation import Conversation
from duologue.server.inputs import RemoteListed
from duologue.server.outbox import Outbox


class _Listing(Struct, kw_only=True):
    item_id: str
    server: McpServerTool
    tools: tuple[McpTool, ...] | None = None
    over: bool = False


class RemoteServers:
    """Lists servers once, however often they are named, and runs what was approved outside of any response."""

    def __init__(self, outbox: Outbox, conversation: Conversation) -> None:
        self._out = outbox
        self._conversation = conversation
        self._listings: dict[bytes, _Listing] = {}
        self._asked: dict[str, mcp.RemoteTool] = {}
        self._approved: dict[str, McpCall] = {}

    # --- what is offered -------------------------------------------------------------------------------------

    def name(self, servers: Iterable[McpServerTool], *, again: bool = False) -> None:
        """List the servers that are not known yet; `again`: those as well that could not be asked the last time."""
        for server in servers:
            known = self._listings.get(mcp.identity(server))
            if known is None or (again and known.over and known.tools is None):
                self._list(server)

    def _list(self, server: McpServerTool) -> None:
        item_id = self._out.new_id("item")
        self._listings[mcp.identity(server)] = _Listing(item_id=item_id, server=server)
        self._add(McpListTools(id=item_id, server_label=server.server_label))
        self._out.emit(wire.McpListToolsInProgress, item_id=item_id)
        self._out.do(ListRemote(item_id=item_id, server=server))

    def pending(self, servers: Iterable[McpServerTool]) -> set[str]:
        """Ids of the listings that are still under way."""
        found = (self._listings.get(mcp.identity(server)) for server in servers)
        return {listing.item_id for listing in found if listing is not None and not listing.over}

    def listed(self, news: RemoteListed) -> None:
        """A server told what it offers, or could not be asked."""
        listing = next((each for each in self._listings.values() if each.item_id == news.item_id), None)
        if listing is None or listing.over:
            return
        listing.over = True
        if news.tools is None:
            self._out.emit(wire.McpListToolsFailed, item_id=news.item_id)
        else:
            listing.tools = mcp.allowed_tools(listing.server, news.tools)
            self._out.emit(wire.McpListToolsCompleted, item_id=news.item_id)
        label = listing.server.server_label
        self._done(McpListTools(id=news.item_id, server_label=label, tools=listing.tools or ()))

    def offer(self, servers: Iterable[McpServerTool], taken: Iterable[str], *, may_ask: bool = True) -> mcp.Offer:
        """The tools of these servers as functions, beside those whose names are `taken`."""
        # The entry of today says what needs approval, that of the listing who is asked: both mean the same server.
        known = ((server, self._listings.get(mcp.identity(server))) for server in servers)
        listed = ((server, listing.tools or ()) for server, listing in known if listing is not None)
        return mcp.make_offer(listed, taken, may_ask=may_ask)

    def as_heard(self, session: AnySession) -> AnySession:
        """The session with remote tools as functions, for whom it matters what the user may want to say."""
        servers = mcp.servers_of(session)
        if not isinstance(session, RealtimeSession) or not servers:
            return session
        functions = config.tools_of(session)
        return replace(session, tools=functions + self.offer(servers, (tool.name for tool in functions)).tools)

    # --- approval --------------------------------------------------------------------------------------------

    def asked(self, requests: Mapping[str, mcp.RemoteTool]) -> None:
        """A response asks for approval, by the ids of its requests."""
        self._asked.update(requests)

    def check(self, answer: McpApprovalResponse) -> None:
        """Refuse an answer that nobody waits for. Raises ProtocolError."""
        if answer.approval_request_id not in self._asked:
            raise ProtocolError(
                f"Error creating item: no approval request with id '{answer.approval_request_id}' waits for an answer.",
                code="invalid_value",
                param="item.approval_request_id",
            )

    def decided(self, answer: McpApprovalResponse) -> None:
        """The client's answer is in the conversation: run the call, or let it fail with the client's reason."""
        request_id = answer.approval_request_id
        tool = self._asked.pop(request_id)
        request = self._conversation.history.get(request_id)
        text = request.arguments if isinstance(request, McpApprovalRequest) else ""
        call = mcp.new_call(self._out.new_id("item"), tool, text, request_id)
        item_id = str(call.id)
        self._add(call)
        self._approved[item_id] = call
        self._out.emit(wire.ResponseMcpCallInProgress, output_index=0, item_id=item_id)
        arguments = mcp.arguments_of(text)
        if answer.approve and arguments is not None:
            self._out.do(CallRemote(item_id=item_id, server=tool.server, name=tool.name, arguments=arguments))
        else:
            reason = f"The user did not approve the call{f': {answer.reason}' if answer.reason else ''}."
            self.answered(item_id, mcp.failure("tool_execution_error", reason))

    def answered(self, item_id: str, result: str | McpError) -> bool:
        """Something came of a call; False where it is none of these."""
        call = self._approved.pop(item_id, None)
        if call is None:
            return False
        kind = wire.ResponseMcpCallFailed if isinstance(result, McpError) else wire.ResponseMcpCallCompleted
        self._out.emit(kind, output_index=0, item_id=item_id)
        self._done(mcp.ended(call, result))
        return True

    # --- items -----------------------------------------------------------------------------------------------

    def _add(self, item: Item) -> None:
        history = self._conversation.history
        previous = history.last_id
        history.append(str(item.id), item)
        self._out.emit(wire.ConversationItemAdded, previous_item_id=previous, item=item)

    def _done(self, item: Item) -> None:
        """The item is what it will be, unless the client deleted it meanwhile."""
        history, item_id = self._conversation.history, str(item.id)
        if item_id in history:
            history.replace(item_id, item)
            self._out.emit(wire.ConversationItemDone, previous_item_id=history.previous_id(item_id), item=item)
