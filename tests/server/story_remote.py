"""Phrases of stories: remote MCP servers are listed, called, asked about, and come too late."""

from __future__ import annotations

from typing import Any

from story_items import Items
from story_teller import DROP, FIND, READ

from duologue.protocol.items import McpError
from duologue.server import inputs

DOCS = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example/mcp"}


class Teller(Items):
    """Tells every phrase there is."""

    def _servers(self, choice: int) -> list[dict[str, Any]]:
        rules: tuple[Any, ...] = ("never", "always", {"always": {"tool_names": ["drop"]}, "never": {}})
        docs = {**DOCS, "require_approval": rules[choice % 3]}
        if choice % 4 == 3:
            docs["allowed_tools"] = ["find", "drop"]
        other = {**DOCS, "server_label": "other", "server_url": f"https://other.example/{choice % 2}"}
        return [{"type": "function", "name": "look"}, docs, *([other] if choice % 5 == 4 else [])]

    def _connect(self, choice: int) -> None:
        self.update(tools=self._servers(choice))

    def _connect_for_once(self, choice: int) -> None:
        self._aside({"tools": self._servers(choice)[1:]})

    def _list_tools(self, choice: int) -> None:
        for item_id in self.listings()[:1]:
            self.script.give(inputs.RemoteListed(item_id=item_id, tools=(FIND, DROP, READ)))
            self.too_late(inputs.RemoteListed(item_id=item_id, tools=()), "late listing dropped")

    def _fail_to_list(self, choice: int) -> None:
        for item_id in self.listings()[:1]:
            self.script.give(inputs.RemoteListed(item_id=item_id, tools=None))

    def _call_remotely(self, choice: int) -> None:
        name, arguments = ("find", "drop", "read")[choice % 3], ("", '{"a":1}', '{"a":', "[]")[choice % 4]
        for number in range(1 + choice % 2):
            self.model(
                choice, lambda r, n=number: inputs.ModelToolCall(response_id=r, index=n, name=name, arguments=arguments)
            )

    def _answer_remotely(self, choice: int) -> None:
        failed = McpError(type="tool_execution_error", message="it broke")
        calls = self.calls()
        if not calls:
            return
        item_id = calls[-1 - choice % min(3, len(calls))]
        happened = inputs.RemoteAnswered(item_id=item_id, result=failed if choice % 4 == 3 else "found")
        if item_id in self.calls_over():
            self.too_late(happened, "late answer of a remote tool dropped")
        else:
            assert self.script.give(happened) != []
            self.reached["remote tool failed" if choice % 4 == 3 else "remote tool answered"] += 1

    def _decide(self, choice: int) -> None:
        """The client approves a call or does not; now and then one that is decided already."""
        added = [event["item"] for event in self.events("conversation.item.added")]
        asked = [item["id"] for item in added if item["type"] == "mcp_approval_request"]
        answers = [item["approval_request_id"] for item in added if item["type"] == "mcp_approval_response"]
        request_id = asked[-1 - choice % min(2, len(asked))] if asked else "nobody"
        answer = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": choice % 4 > 1}
        out = self.send("conversation.item.create", item={**answer, "reason": "so"})
        if request_id in answers or request_id == "nobody":
            assert out == ["error"], "a decision was taken twice"
        elif out != ["error"]:
            assert ("<CallRemote>" in out) == answer["approve"]
            self.reached["approved" if answer["approve"] else "not approved"] += 1

    def _take_a_remote_turn(self, choice: int) -> None:
        """From the listing to the call; what comes of it is left to other phrases."""
        self._connect(choice)
        self._list_tools(choice)
        if not self.running():
            self._ask(choice)
        for response_id in self.running()[-1:]:
            name = "drop" if choice % 2 else "find"
            self.script.give(inputs.ModelToolCall(response_id=response_id, index=0, name=name, arguments='{"q":1}'))
            if choice % 3:
                self.script.give(inputs.ModelDone(response_id=response_id, reason="stop"))

    def _take_a_remote_turn_and_decide(self, choice: int) -> None:
        self._take_a_remote_turn(choice)
        self._decide(choice)
        self._answer_remotely(choice)

    def _stop_in_mid_call(self, choice: int) -> None:
        """The response ends before its remote call does, whose answer is then nobody's."""
        self._take_a_remote_turn(choice)
        stop = (self._cancel, self._interrupt, self._break_down, self._delete)[choice % 4]
        stop(choice)
        self._answer_remotely(choice)
