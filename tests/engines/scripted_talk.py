"""A conversation with the scripted responder as a script: what the user says, what comes back."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from duologue.engines.base import LlmRequest
from duologue.engines.scripted.respond import Plan, respond
from duologue.protocol.items import FunctionCall, FunctionCallOutput, InputText, Item, Message, OutputText
from duologue.protocol.session import FunctionTool

NOW = datetime(2026, 11, 21, 14, 5)


def tool(name: str, description: str = "", required: list[str] | None = None, **properties: Any) -> FunctionTool:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return FunctionTool(name=name, description=description, parameters=schema)


WEATHER = tool(
    "get_weather",
    "Retrieves the weather for a given lat, lng coordinate pair. Specify a label for the location.",
    lat={"type": "number", "description": "Latitude"},
    lng={"type": "number", "description": "Longitude"},
    location={"type": "string", "description": "Name of the location"},
)
MEMORY = tool(
    "set_memory",
    "Saves important data about the user into memory.",
    key={
        "type": "string",
        "description": "The key of the memory value. Always use lowercase and underscores, no other characters.",
    },
    value={"type": "string", "description": "Value can be anything represented as a string"},
)
LIGHT = tool(
    "turn_on_light",
    "Turns on the light in a room",
    ["room"],
    room={"type": "string", "enum": ["kitchen", "living_room", "bedroom"]},
    brightness={"type": "integer", "minimum": 0, "maximum": 100},
)
TABLE = tool("book_table", "Books a table at a restaurant", people={"type": "integer"}, city={"type": "string"})
MONEY = {"type": "string", "enum": ["EUR", "USD", "GBP"]}
CONVERT = tool("convert", "Converts an amount of money", **{"amount": {"type": "number"}, "from": MONEY, "to": MONEY})
SONG = tool("play_song", "Plays a song", title={"type": "string"})
SEND = tool("sendMessage", "", recipient={"type": "string"}, message={"type": "string"})
FLIGHT = tool(
    "find_flight",
    "Finds flights",
    origin_city={"type": "string"},
    destination_city={"type": "string"},
    date={"type": "string"},
)
CONSOLE = (WEATHER, MEMORY)
ALL = (*CONSOLE, LIGHT, TABLE, CONVERT, SONG, SEND, FLIGHT)


def user(text: str) -> Message:
    return Message(role="user", content=(InputText(text=text),))


def assistant(text: str) -> Message:
    return Message(role="assistant", content=(OutputText(text=text),))


class Talk:
    """Keeps the items of a conversation; tools answer with `outputs` by name, `{"ok": true}` where there is none."""

    def __init__(self, *tools: FunctionTool, outputs: dict[str, str] | None = None, **request: Any) -> None:
        self.items: list[Item] = []
        self.tools = tools
        self.outputs = outputs or {}
        self.request = request

    def plan(self) -> Plan:
        return respond(LlmRequest(items=tuple(self.items), tools=self.tools, **self.request), NOW)

    def calls(self, text: str) -> list[tuple[str, dict[str, Any]]]:
        """The calls that follow the user's sentence; the tools answer them all."""
        self.items.append(user(text))
        return self.step()

    def step(self) -> list[tuple[str, dict[str, Any]]]:
        """One response: keeps its text or runs its calls."""
        plan = self.plan()
        if plan.text:
            self.items.append(assistant(plan.text))
        made = []
        for call in plan.calls:
            call_id = f"call_{len(self.items)}"
            self.items.append(FunctionCall(call_id=call_id, name=call.name, arguments=call.arguments))
            made.append((call.name, json.loads(call.arguments)))
        for item in [item for item in self.items if isinstance(item, FunctionCall)][
            -len(plan.calls) or len(self.items) :
        ]:
            output = self.outputs.get(item.name, '{"ok": true}')
            self.items.append(FunctionCallOutput(call_id=str(item.call_id), output=output))
        return made

    def says(self, text: str) -> str:
        """The spoken answer to the user's sentence, with tools run in between."""
        self.calls(text)
        return self.spoken()

    def spoken(self) -> str:
        for _ in range(10):
            last = self.items[-1]
            if isinstance(last, Message) and last.role == "assistant":
                return last.content[0].text  # type: ignore[union-attr]
            self.step()
        raise AssertionError("the responder calls tools without end")
