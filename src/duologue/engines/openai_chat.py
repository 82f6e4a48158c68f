"""A language model behind an OpenAI-compatible `/v1/chat/completions`: Ollama, llama.cpp, vLLM, LiteLLM, OpenAI."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import msgspec
from msgspec import UNSET

from duologue.engines.base import LlmDone, LlmEvent, LlmRequest, SpeechHints, TextDelta, ToolCallDelta
from duologue.engines.openai_http import Endpoint, error_message
from duologue.errors import EngineError
from duologue.protocol.items import (
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    Item,
    Message,
    text_of,
)
from duologue.protocol.session import ChooseFunction, FunctionTool, ToolChoice

_REASONS = {"length": "length", "content_filter": "content_filter"}


class ChatLlm:
    """`url` is the base or the full address, `model` the server's name for the model."""

    name = "chat"
    sees_images = True
    """Pictures are passed on; a model that cannot see refuses them in its own words."""

    def __init__(self, url: str, model: str, key: str | None = None, *, silence_seconds: float = 60) -> None:
        self.model = model
        self._endpoint = Endpoint(
            self.name, url, "/chat/completions", option="--llm-url", key=key, silence_seconds=silence_seconds
        )

    async def start(self) -> None:
        """Nothing: the server is asked with the first request, so that it may come up later."""

    async def close(self) -> None:
        await self._endpoint.close()

    def hints(self, tools: tuple[FunctionTool, ...], prompt: str | None) -> SpeechHints:
        return SpeechHints()

    def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        return self._stream(request)

    async def _stream(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        answer = _Answer()
        async with (
            self._endpoint.post(json=_body(self.model, request)) as response,
            aclosing(_payloads(response)) as payloads,
        ):
            async for payload in payloads:
                for event in self._events(answer, payload):
                    yield event
        if not answer.anything:
            raise self._endpoint.broken("without a single chunk of a completion")
        for event in answer.rest():
            yield event
        yield answer.done()

    def _events(self, answer: _Answer, payload: bytes) -> list[LlmEvent]:
        try:
            chunk = msgspec.json.decode(payload)
        except msgspec.DecodeError:
            raise self._endpoint.broken("something that is not JSON") from None
        if not isinstance(chunk, dict):
            return []
        if chunk.get("error"):
            said = error_message(payload.decode(errors="replace"))
            raise EngineError(self.name, f"the model failed: {said}.", code="engine_failed", retryable=True)
        return answer.add(chunk)


class _Answer:
    """Chunks put together, whatever their server left out or said twice."""

    def __init__(self) -> None:
        self.anything = False
        self._reason = "stop"
        self._usage: dict[str, Any] = {}
        self._calls: list[_ToolCall] = []
        self._thinking = False

    def add(self, chunk: dict[str, Any]) -> list[LlmEvent]:
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = usage
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            self.anything = self.anything or "choices" in chunk
            return []
        self.anything = True
        choice = choices[0]
        self._reason = _REASONS.get(choice.get("finish_reason") or "", self._reason)
        # A server that does not stream answers with `message`; its fields are those of a delta.
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, dict):
            return []
        events: list[LlmEvent] = []
        if isinstance(text := delta.get("content"), str) and (text := self._spoken(text)):
            events.append(TextDelta(text=text))
        for call in delta.get("tool_calls") or ():
            if isinstance(call, dict):
                events += self._add_call(call)
        return events

    def rest(self) -> list[LlmEvent]:
        """Calls whose server sent no arguments at all: an empty object."""
        return [ToolCallDelta(index=number, arguments="{}") for number, call in enumerate(self._calls) if not call.text]

    def done(self) -> LlmDone:
        details = self._usage.get("prompt_tokens_details")
        return LlmDone(
            reason="length" if self._reason == "length" else "content_filter" if self._reason != "stop" else "stop",
            input_tokens=_count(self._usage.get("prompt_tokens")),
            output_tokens=_count(self._usage.get("completion_tokens")),
            cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else None,
        )

    def _add_call(self, call: dict[str, Any]) -> list[LlmEvent]:
        function = call.get("function")
        if not isinstance(function, dict):
            return []
        name = function.get("name") or None
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode() if arguments else ""
        number = self._find_call(call.get("index"), call.get("id") or None, name)
        if number is None:
            if name is None:
                return []  # Pieces of a call that was never named cannot be run.
            self._calls.append(_ToolCall(call.get("index"), call.get("id") or None, name, text))
            return [ToolCallDelta(index=len(self._calls) - 1, name=name, arguments=text)]
        known = self._calls[number]
        if isinstance(arguments, dict) and known.text:
            return []  # The whole call, said again.
        known.text += text
        return [ToolCallDelta(index=number, arguments=text)] if text else []

    def _find_call(self, index: Any, call_id: str | None, name: str | None) -> int | None:
        """Which call a piece continues: by id, by index, or the last. Another id, or a finished call, begins a new one."""
        for number, known in reversed(list(enumerate(self._calls))):
            if call_id is not None and known.id == call_id:
                return number
            if index is not None and known.index != index:
                continue
            if call_id is not None and known.id is not None:
                continue
            if name is not None and (name != known.name or known.whole):
                continue
            return number
        return None

    def _spoken(self, text: str) -> str:
        """Text without the `<think>` passages that some servers leave in it; the tags come as chunks of their own."""
        spoken = ""
        while text:
            tag = "</think>" if self._thinking else "<think>"
            before, found, text = text.partition(tag)
            spoken += "" if self._thinking else before
            if found:
                self._thinking = not self._thinking
        return spoken


class _ToolCall:
    def __init__(self, index: Any, call_id: str | None, name: str, text: str) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.text = text

    @property
    def whole(self) -> bool:
        """Whether the arguments are complete: nothing can be added to a JSON object."""
        try:
            return isinstance(msgspec.json.decode(self.text.encode()), dict)
        except msgspec.DecodeError:
            return False


async def _payloads(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The data of server-sent events, or the whole body of a server that ignores `stream`."""
    if "json" in response.headers.get("content-type", ""):
        yield await response.aread()
        return
    async for line in response.aiter_lines():
        field, _, value = line.partition(":")
        value = value.strip()
        if field == "data" and value == "[DONE]":
            return
        if field == "data" and value:
            yield value.encode()


def _body(model: str, request: LlmRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages(request),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = _choice(request.tool_choice)
        if not request.parallel_tool_calls:
            body["parallel_tool_calls"] = False
    if request.max_output_tokens is not None:
        body["max_tokens"] = request.max_output_tokens
    return body


def _messages(request: LlmRequest) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if request.instructions:
        messages.append({"role": "system", "content": request.instructions})
    for number, item in enumerate(request.items):
        message = _message(item, number)
        if message is None:
            continue
        before = messages[-1] if messages else {}
        if "tool_calls" in message and "tool_calls" in before:
            before["tool_calls"] += message["tool_calls"]  # Calls of one turn are one message.
        else:
            messages.append(message)
    return messages


def _message(item: Item, number: int) -> dict[str, Any] | None:
    match item:
        case Message():
            images = [part for part in item.content if isinstance(part, InputImage)]
            text = text_of(item)
            if images:
                parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
                parts += [{"type": "image_url", "image_url": _picture(image)} for image in images]
                return {"role": item.role, "content": parts}
            return {"role": item.role, "content": text} if text else None
        case FunctionCall():
            call_id = item.call_id if item.call_id is not UNSET else f"call_{number}"
            function = {"name": item.name, "arguments": item.arguments or "{}"}
            call = {"id": call_id, "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case FunctionCallOutput():
            return {"role": "tool", "tool_call_id": item.call_id, "content": item.output}
        case _:
            return None


def _picture(image: InputImage) -> dict[str, str]:
    return {"url": image.image_url} if image.detail is UNSET else {"url": image.image_url, "detail": image.detail}


def _tool(tool: FunctionTool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not UNSET and tool.description is not None:
        function["description"] = tool.description
    parameters = tool.parameters if tool.parameters is not UNSET else None
    function["parameters"] = parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice) -> Any:
    if isinstance(choice, str):
        return choice
    return {"type": "function", "function": {"name": choice.name}} if isinstance(choice, ChooseFunction) else "auto"


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
