"""What callers may ask for: the rules over one decoded event of theirs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from duologue.errors import ProtocolError
from duologue.protocol.client_events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ResponseCreate,
    SessionUpdate,
)
from duologue.protocol.items import FunctionCallOutput, InputImage, InputItem, ItemReference, Message, item_id
from duologue.protocol.session import ChooseFunction, ChooseMcp, FunctionTool, McpServerTool, RealtimeSession, Tool
from duologue.relay.hidden_tools import Hidden
from duologue.relay.locks import unlocked_response, unlocked_session
from duologue.relay.settings import Rules


class Inbound:
    """Judges the events of one caller. `own_tools` and `own_instructions` are what the caller itself has set."""

    def __init__(self, rules: Rules, secret_tools: tuple[Tool, ...], hidden: Hidden) -> None:
        self.own_tools: frozenset[str] = frozenset()
        self.own_instructions: str | None = None
        self._rules = rules
        self._secret_tools = secret_tools
        self._secret_names = frozenset(map(tool_name, secret_tools))
        self._hidden = hidden
        self._refuse = rules.on_locked == "refuse"

    def judged(self, event: ClientEvent) -> ClientEvent:
        """The event as it may be sent. Raises ProtocolError for one that may not."""
        match event:
            case SessionUpdate():
                return self._session_update(event)
            case ResponseCreate():
                return self._response_create(event)
            case ConversationItemCreate(item=item, previous_item_id=before):
                self._check_visible(before, "previous_item_id", "item_create_invalid_previous_item_id")
                self._check_item(item, "item")
            case ConversationItemRetrieve(item_id=named):
                self._check_visible(named, "item_id", "item_retrieve_invalid_item_id")
            case ConversationItemTruncate(item_id=named):
                self._check_visible(named, "item_id", "item_truncate_invalid_item_id")
            case ConversationItemDelete(item_id=named):
                self._check_visible(named, "item_id", "item_delete_invalid_item_id")
            case _:
                pass
        return event

    def _session_update(self, event: SessionUpdate) -> SessionUpdate:
        kind = str(event.session.__struct_config__.tag)
        if kind not in self._rules.session_types:
            raise ProtocolError(
                f"Sessions of type '{kind}' are not offered here.", code="invalid_value", param="session.type"
            )
        session = unlocked_session(event.session, self._rules.locked, refuse=self._refuse)
        if isinstance(session, RealtimeSession):
            if session.tools is not UNSET:
                tools = self._checked_tools(session.tools, "session.tools")
                self.own_tools = frozenset(map(tool_name, tools))
                session = replace(session, tools=(*tools, *self._secret_tools))
            self._check_choice(session.tool_choice, "session.tool_choice")
            if session.instructions is not UNSET:
                self.own_instructions = session.instructions
        return replace(event, session=session)

    def _response_create(self, event: ResponseCreate) -> ResponseCreate:
        params = event.response
        if params is None or params is UNSET:
            return event
        params = unlocked_response(params, self._rules.locked, refuse=self._refuse)
        if params.tools is not UNSET and params.tools is not None:
            tools = self._checked_tools(params.tools, "response.tools")
            params = replace(params, tools=(*tools, *self._secret_tools))
        self._check_choice(params.tool_choice, "response.tool_choice")
        for index, item in enumerate(() if params.input is None or params.input is UNSET else params.input):
            self._check_item(item, f"response.input[{index}]")
        return replace(event, response=params)

    def _checked_tools(self, tools: Iterable[Tool] | None, param: str) -> tuple[Tool, ...]:
        checked = tuple(tools or ())
        for index, tool in enumerate(checked):
            if isinstance(tool, McpServerTool) and not self._rules.caller_mcp:
                raise ProtocolError(
                    "MCP tools are not offered here.", code="invalid_value", param=f"{param}[{index}].type"
                )
            if tool_name(tool) in self._secret_names:
                raise ProtocolError(
                    f"The tool name '{tool_name(tool)}' is taken.", code="invalid_value", param=f"{param}[{index}].name"
                )
        return checked

    def _check_choice(self, choice: object, param: str) -> None:
        name = choice.name if isinstance(choice, ChooseFunction) else None
        if isinstance(choice, ChooseMcp):
            name = choice.server_label
        if name is not None and name in self._secret_names:
            raise ProtocolError(f"There is no tool '{name}'.", code="invalid_value", param=param)

    def _check_item(self, item: InputItem, param: str) -> None:
        self._check_visible(item_id(item), f"{param}.id", "item_create_duplicate_item_id")
        if isinstance(item, ItemReference):
            return
        kind = str(item.__struct_config__.tag)
        if kind not in self._rules.item_types:
            raise ProtocolError(
                f"Items of type '{kind}' may not be created here.", code="refused_by_policy", param=f"{param}.type"
            )
        if isinstance(item, Message):
            self._check_message(item, param)
        if isinstance(item, FunctionCallOutput) and item.call_id in self._hidden.call_ids:
            raise ProtocolError(
                f"No function call with call_id '{item.call_id}' exists in the conversation.",
                code="invalid_value", param=f"{param}.call_id",
            )  # fmt: skip

    def _check_message(self, item: Message, param: str) -> None:
        if item.role not in self._rules.roles:
            raise ProtocolError(
                f"Messages of role '{item.role}' may not be created here.",
                code="refused_by_policy", param=f"{param}.role",
            )  # fmt: skip
        for index, part in enumerate(item.content):
            if isinstance(part, InputImage) and not part.image_url.startswith("data:image/"):
                where = f"{param}.content[{index}].image_url"
                raise ProtocolError("Images travel as data URIs.", code="invalid_value", param=where)

    def _check_visible(self, named: str | None | UnsetType, param: str, code: str) -> None:
        """Hidden items are answered as the upstream answers ids that do not exist."""
        if isinstance(named, str) and named in self._hidden.ids:
            raise ProtocolError(f"The item with id '{named}' does not exist.", code=code, param=param)


def tool_name(tool: Tool) -> str:
    """What a tool goes by: a function's name, an MCP server's label."""
    return tool.name if isinstance(tool, FunctionTool) else tool.server_label


def check_allowed(kind: str, allowed: frozenset[str]) -> None:
    """Raises ProtocolError for an event type that may not pass."""
    if kind not in allowed:
        raise ProtocolError(f"Events of type '{kind[:100]}' may not be sent here.", code="refused_by_policy",
                            param="type")  # fmt: skip
