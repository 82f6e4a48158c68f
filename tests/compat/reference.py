"""The reference client of October 2024, as it uses the wire: a small state machine with all of its assumptions.

It keeps a table of items and appends each delta to the fields that the server gave. Where the server does not do what
it takes for granted it breaks, here as there.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import websockets
from realserver import chunks, clip

WAIT_S = 20
SAMPLE_RATE_HZ = 24_000
MODEL = "gpt-4o-realtime-preview-2024-10-01"
SESSION: dict[str, Any] = {
    "modalities": ["text", "audio"],
    "instructions": "",
    "voice": "verse",
    "input_audio_format": "pcm16",
    "output_audio_format": "pcm16",
    "input_audio_transcription": None,
    "turn_detection": None,
    "tools": [],
    "tool_choice": "auto",
    "temperature": 0.8,
    "max_response_output_tokens": 4096,
}
Tool = Callable[[dict[str, Any]], Any]


class ReferenceClient:
    """One connection with a conversation that is kept as the reference client kept it."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self.types: list[str] = []
        self.items: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.responses: dict[str, list[str]] = {}
        self.errors: list[dict[str, Any]] = []
        self.interruptions = 0
        self._early_transcripts: dict[str, str] = {}
        self._tools: dict[str, Tool] = {}
        self._session = dict(SESSION)

    # --- what it sends ---------------------------------------------------------------------------------------

    async def send(self, kind: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"event_id": f"evt_{len(self.types)}", "type": kind, **fields}))

    async def update_session(self, **changes: Any) -> None:
        """The whole session goes out, every time."""
        self._session.update(changes)
        await self.send("session.update", session=self._session)

    async def add_tool(self, definition: dict[str, Any], tool: Tool) -> None:
        self._tools[definition["name"]] = tool
        await self.update_session(tools=[{"type": "function", **definition}])

    async def send_user_message(self, *content: dict[str, Any]) -> None:
        item = {"type": "message", "role": "user", "content": list(content)}
        await self.send("conversation.item.create", item=item)
        await self.send("response.create")

    async def speak(self, name: str, *, silence_ms: int = 0) -> None:
        for chunk in chunks(clip(name, silence_ms=silence_ms)):
            await self.send("input_audio_buffer.append", audio=b64encode(chunk).decode())

    async def cancel_response(self, item_id: str, sample_count: int) -> None:
        """Stop speaking, and forget what was not heard."""
        item = self.items[item_id]
        assert (item["type"], item["role"]) == ("message", "assistant")
        await self.send("response.cancel")
        content_index = [part["type"] for part in item["content"]].index("audio")
        heard_ms = sample_count * 1000 // SAMPLE_RATE_HZ
        await self.send(
            "conversation.item.truncate", item_id=item_id, content_index=content_index, audio_end_ms=heard_ms
        )

    # --- what it receives ------------------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await asyncio.wait_for(self._socket.recv(), WAIT_S))
        assert event["event_id"], event
        self.types.append(event["type"])
        handler = getattr(self, "_on_" + event["type"].replace(".", "_"), None)
        if handler is not None:
            await handler(event)
        return event

    async def until(self, kind: str) -> dict[str, Any]:
        while (event := await self.receive())["type"] != kind:
            assert event["type"] != "error", event
        return event

    async def _on_error(self, event: dict[str, Any]) -> None:
        self.errors.append(event["error"])

    async def _on_conversation_item_created(self, event: dict[str, Any]) -> None:
        item = event["item"]
        assert item["id"] not in self.items, f"announced twice: {item}"
        self.items[item["id"]] = item
        self.order.append(item["id"])
        item["formatted"] = {"audio": b"", "text": "", "transcript": ""}
        if item["type"] == "message":
            for part in item["content"]:
                if part["type"] in ("text", "input_text"):
                    item["formatted"]["text"] += part["text"]
            if item["role"] == "user":
                item["formatted"]["transcript"] = self._early_transcripts.pop(item["id"], "")
        elif item["type"] == "function_call":
            item["formatted"]["tool"] = {"name": item["name"], "call_id": item["call_id"], "arguments": ""}
        elif item["type"] == "function_call_output":
            item["formatted"]["output"] = item["output"]

    async def _on_conversation_item_truncated(self, event: dict[str, Any]) -> None:
        item = self.items[event["item_id"]]
        item["formatted"]["transcript"] = ""
        item["formatted"]["audio"] = item["formatted"]["audio"][: 48 * event["audio_end_ms"]]

    async def _on_conversation_item_deleted(self, event: dict[str, Any]) -> None:
        del self.items[event["item_id"]]
        self.order.remove(event["item_id"])

    async def _on_conversation_item_input_audio_transcription_completed(self, event: dict[str, Any]) -> None:
        item = self.items.get(event["item_id"])
        if item is None:
            self._early_transcripts[event["item_id"]] = event["transcript"]
            return
        item["content"][event["content_index"]]["transcript"] = event["transcript"]
        item["formatted"]["transcript"] = event["transcript"] or " "

    async def _on_input_audio_buffer_speech_started(self, event: dict[str, Any]) -> None:
        assert isinstance(event["audio_start_ms"], int)
        self.interruptions += 1

    async def _on_response_created(self, event: dict[str, Any]) -> None:
        output = event["response"]["output"]
        assert isinstance(output, list)
        self.responses[event["response"]["id"]] = output

    async def _on_response_output_item_added(self, event: dict[str, Any]) -> None:
        self.responses[event["response_id"]].append(event["item"]["id"])

    async def _on_response_output_item_done(self, event: dict[str, Any]) -> None:
        item = self.items[event["item"]["id"]]
        item["status"] = event["item"]["status"]
        tool = item["formatted"].get("tool")
        if tool:
            result = self._tools[tool["name"]](json.loads(tool["arguments"]))
            output = {"type": "function_call_output", "call_id": tool["call_id"], "output": json.dumps(result)}
            await self.send("conversation.item.create", item=output)
            await self.send("response.create")

    async def _on_response_content_part_added(self, event: dict[str, Any]) -> None:
        self.items[event["item_id"]]["content"].append(event["part"])

    async def _on_response_audio_transcript_delta(self, event: dict[str, Any]) -> None:
        item = self.items[event["item_id"]]
        item["content"][event["content_index"]]["transcript"] += event["delta"]
        item["formatted"]["transcript"] += event["delta"]

    async def _on_response_audio_delta(self, event: dict[str, Any]) -> None:
        self.items[event["item_id"]]["formatted"]["audio"] += b64decode(event["delta"])

    async def _on_response_text_delta(self, event: dict[str, Any]) -> None:
        item = self.items[event["item_id"]]
        item["content"][event["content_index"]]["text"] += event["delta"]
        item["formatted"]["text"] += event["delta"]

    async def _on_response_function_call_arguments_delta(self, event: dict[str, Any]) -> None:
        item = self.items[event["item_id"]]
        item["arguments"] += event["delta"]
        item["formatted"]["tool"]["arguments"] += event["delta"]

    def conversation(self) -> list[tuple[str, str]]:
        """Role or type of each item, with what it says."""
        told = []
        for item_id in self.order:
            item = self.items[item_id]
            shown = item["formatted"]
            told.append((item.get("role", item["type"]), shown["transcript"] or shown["text"]))
        return told


@asynccontextmanager
async def reference(host: str, *, key: str = "null") -> AsyncIterator[ReferenceClient]:
    """Connected the way a browser did it."""
    offered = ["realtime", f"openai-insecure-api-key.{key}", "openai-beta.realtime-v1"]
    url = f"ws://{host}/v1/realtime?model={MODEL}"
    async with websockets.connect(url, subprotocols=offered, max_size=2**20) as socket:  # type: ignore[arg-type]
        assert socket.subprotocol == "realtime"
        yield ReferenceClient(socket)
