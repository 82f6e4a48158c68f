"""The page's program: speak over WebRTC with the thin client, write over a WebSocket with the whole client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from js import document, fetch
from pyodide.ffi import create_proxy

from duologue.client.client import RealtimeClient
from duologue.client.conversation import Update
from duologue.client.thin import ThinClient, ThinOptions
from duologue.errors import DuologueError

_tasks: set[asyncio.Task[None]] = set()


def show(who: str, text: str) -> None:
    """A line of the conversation."""
    line = document.createElement("p")
    line.textContent = f"{who}: {text}"
    document.querySelector("[role=log]").append(line)


def status(text: str) -> None:
    """What is going on."""
    document.querySelector("[role=status]").textContent = text


def enable(**buttons: bool) -> None:
    """Which buttons can be pressed."""
    for name, enabled in buttons.items():
        document.getElementById(name.replace("_", "-")).disabled = not enabled


def on_click(name: str, action: Callable[[], Awaitable[None]]) -> None:
    """Run `action` when the button is pressed; what goes wrong is said in the page."""

    async def run() -> None:
        try:
            await action()
        except DuologueError as problem:
            status(str(problem))
            enable(call=True, stop=False, hang_up=False)

    def pressed(_: Any) -> None:
        task = asyncio.create_task(run(), name=name)
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    document.getElementById(name).addEventListener("click", create_proxy(pressed))


async def session() -> tuple[str, str]:
    """Where to connect, and a key of this visitor's own."""
    told = json.loads(await (await fetch("/session")).text())
    return told["url"], told["key"]


class Voice:
    """A call by the browser's own WebRTC, which is what a page uses by default."""

    def __init__(self) -> None:
        self.wire: ThinClient | None = None

    async def call(self) -> None:
        enable(call=False)
        status("Calling…")
        url, key = await session()
        wire = ThinClient(options=ThinOptions(output_port=document.getElementById("loudspeaker")))
        wire.on("*", self.hear)
        wire.on("close", lambda why: status(f"Call over: {why}"))
        await wire.connect(url=url, api_key=key, initial_session_config={"input_audio_transcription": "whisper-1"})
        self.wire = wire
        status(f"In call {wire.call_id}")
        enable(stop=True, hang_up=True)

    def hear(self, event: Any) -> None:
        match type(event).__name__:
            case "InputAudioTranscriptionCompleted":
                show("You", event.transcript)
            case "ResponseOutputAudioTranscriptDone":
                show("Model", event.transcript)

    async def interrupt(self) -> None:
        if self.wire is not None:
            await self.wire.interrupt()

    async def hang_up(self) -> None:
        if self.wire is not None:
            await self.wire.close()
        enable(call=True, stop=False, hang_up=False)


class Letters:
    """A conversation in writing; it keeps history, and runs a tool in the page."""

    def __init__(self) -> None:
        self.client: RealtimeClient | None = None

    async def send(self) -> None:
        field = document.getElementById("text")
        text, field.value = str(field.value), ""
        show("You", text)
        if self.client is None:
            self.client = await self.open()
        await self.client.send_user_message_content(text)

    async def open(self) -> RealtimeClient:
        url, key = await session()
        client = RealtimeClient(url, api_key=key)
        client.add_tool(get_weather)
        client.on("conversation.item.completed", self.said)
        await client.update_session(modalities=["text"])
        await client.connect()
        return client

    def said(self, update: Update) -> None:
        if update.item.role == "assistant" and update.item.formatted.text:
            show("Model", update.item.formatted.text)


def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Its name.
    """
    show("Tool", f"get_weather({city})")
    return "It is sunny with 21 degrees."


async def main() -> None:
    """Make the page ready."""
    voice, letters = Voice(), Letters()
    on_click("call", voice.call)
    on_click("stop", voice.interrupt)
    on_click("hang-up", voice.hang_up)
    on_click("send", letters.send)
    enable(call=True, text=True, send=True)
    status("Ready")
