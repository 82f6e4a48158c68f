"""A conversation with a Realtime API: the wire, the conversation's state, the tools and the turns in one object."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar, overload

import pybase64
from msgspec import UNSET

from duologue.audio.pcm16 import sound_bytes
from duologue.client.conversation import Update
from duologue.client.core import ClientCore, Sound
from duologue.client.items import ConversationItem
from duologue.client.payloads import content_part
from duologue.client.settings import response_of
from duologue.client.toolbox import TIMEOUT_S
from duologue.dialogue.playback import Truncation
from duologue.errors import ConfigError, TransportClosed
from duologue.protocol import client_events as ce
from duologue.protocol import server_events as ev
from duologue.protocol.items import FunctionCall, InputAudio, Item, Message
from duologue.protocol.session import AnySession, FunctionTool

_APPEND = b'{"type":"input_audio_buffer.append","audio":"'
_APPEND_END = b'"}'
_Function = TypeVar("_Function", bound=Callable[..., Any])


class RealtimeClient(ClientCore):
    """Talk to a Realtime API.

    `url`, `api_key`, `model` and `debug` are those of RealtimeAPI. A connection that drops, or whose session nears its end,
    is replaced by another that is told the conversation so far; `reconnect=False` leaves that out, and so does a
    `transport` of one's own. `budget_usd` ends the conversation with a `goodbye` when it has cost so much by `prices`.

    Events: `conversation.updated`, `conversation.item.appended`, `conversation.item.completed`,
    `conversation.item.deleted` (payload Update: `item`, `delta`), `conversation.interrupted` (the speech_started event),
    `conversation.event` (every server event that counts: no sound of a stopped answer, no echo of what was replayed),
    `connection.reconnecting` (Reconnecting), `connection.restored` (Restored), `usage.updated` (UsageUpdate),
    `budget.spent` (BudgetSpent), `realtime.event` (RealtimeEvent), `error` (ClientError), `close` (TransportClosed: it is
    over for good). `async for event in client` gives every server event. Turn detection is off until
    `update_session(turn_detection="server_vad")`.
    """

    # Settings and tools

    async def update_session(self, **fields: Any) -> None:
        """Change settings, now or for the next connection: `instructions`, `voice`, `turn_detection`, `modalities`,
        `input_audio_transcription`, `tools`, … or GA's own names (`audio=…`, `output_modalities=…`). Tools given here
        stand beside those of `add_tool`. Raises ConfigError, TransportClosed."""
        change = self._profile.change(fields)
        if not self._finished:
            await self._change_session(change)

    def get_turn_detection_type(self) -> str | None:
        """`server_vad`, `semantic_vad`, or None: the client says when a turn ends."""
        return self._profile.turn_detection_type

    def add_tool(
        self,
        definition: FunctionTool | Mapping[str, Any] | Callable[..., Any],
        handler: Callable[..., Any] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        background: bool = False,
    ) -> None:
        """Offer a tool: a definition (name, description, parameters) and its function, or a function alone. The server
        learns of it at once when connected. A call that takes longer than `timeout_s` is answered as failed; `background`:
        the model is told at once that the call runs, and gets the result as news. Raises ConfigError."""
        how: dict[str, Any] = {"timeout_s": timeout_s, "background": background}
        if callable(definition) and handler is None:
            self._toolbox.add(None, definition, **how)
        elif handler is None or callable(definition):
            raise ConfigError("a definition needs a handler: add_tool(definition, handler)")
        else:
            self._toolbox.add(definition, handler, **how)
        self._offer_tools()

    @overload
    def tool(self, function: _Function) -> _Function: ...

    @overload
    def tool(
        self, function: None = None, *, timeout_s: float = TIMEOUT_S, background: bool = False
    ) -> Callable[[_Function], _Function]: ...

    def tool(
        self, function: _Function | None = None, *, timeout_s: float = TIMEOUT_S, background: bool = False
    ) -> _Function | Callable[[_Function], _Function]:
        """Decorator: offer the function as a tool, described by its signature and docstring; `@client.tool` or
        `@client.tool(background=True)`."""
        if function is None:

            def offer(later: _Function) -> _Function:
                self.add_tool(later, timeout_s=timeout_s, background=background)
                return later

            return offer
        self.add_tool(function, timeout_s=timeout_s, background=background)
        return function

    def remove_tool(self, name: str) -> None:
        """Take a tool back. Raises ConfigError where there is none of that name."""
        self._toolbox.remove(name)
        self._offer_tools()

    async def answer_call(self, response_id: str, call: FunctionCall, output: str, *, respond: bool = True) -> None:
        """Answer a call that `take_call` took. When all calls of its response are answered, one response is asked for;
        none where all of them were answered with `respond=False`. A second answer to a call does nothing."""
        await self._turns.answer(response_id, call, output, respond=respond)

    def release_sound(self, event: Sound) -> None:
        """Take in sound that `hold_sound` kept back."""
        self._accept(event)

    # Talking

    @property
    def active_response(self) -> str | None:
        """The id of the answer under way, None where there is none."""
        return self._turns.sequencer.active

    async def send_user_message_content(
        self, content: str | Sequence[Mapping[str, Any]], *, respond: bool = True
    ) -> None:
        """Say something as the user: text, or parts `{"type": "input_text", "text": …}`, `{"type": "input_audio", "audio":
        bytes or base64}`, `{"type": "input_image", "image_url": …}`; asks for a response. Raises ConfigError, and
        ValueError on half a sample."""
        given = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
        parts = tuple(content_part(part) for part in given)
        for part in parts:
            if isinstance(part, InputAudio) and isinstance(part.audio, bytes):
                self._check_samples(part.audio)
        item = Message(role="user", content=parts)
        await self.create_item(item)
        if respond:
            await self.create_response()

    async def create_item(self, item: Item, previous_item_id: str | None = None) -> None:
        """Put any item into the conversation, at the end or after `previous_item_id` (`root`: first)."""
        previous = UNSET if previous_item_id is None else previous_item_id
        await self._send(ce.ConversationItemCreate(item=item, previous_item_id=previous))

    async def append_input_audio(self, audio: bytes | bytearray | memoryview | array[int] | Any) -> None:
        """Send sound of the user: mono in the session's input format (PCM16, 24 kHz), as bytes, `array('h')` or an int16
        ndarray; nothing is sent for no sound. While the connection is being restored it is kept, up to a minute of it.
        Raises ValueError on half a sample, TypeError, TransportClosed.

        Cancelling it leaves the piece sent whole or not at all.
        """
        piece = sound_bytes(audio)
        if not piece:
            return
        self._check_samples(piece)
        if self._lasting.hold(piece):
            return
        if self._tools_changed:
            await self._flush_tools()
        speech = self.conversation.input
        speech.append(piece)
        try:
            if self.heard("realtime.event") or self.realtime.heard("client.*"):
                await self._write(ce.InputAudioBufferAppend(audio=piece))
            else:
                await self.realtime.send_frame(_APPEND + pybase64.b64encode(piece) + _APPEND_END)
        except TransportClosed:
            # Where another connection will come it gets the piece, which counts as said.
            if not self._lasting.will_return:
                raise

    def _check_samples(self, sound: bytes) -> None:
        if len(sound) & 1 and self.conversation.input.bytes_per_ms != 8:
            raise ValueError(f"{len(sound)} bytes hold half a sample: PCM16 has two bytes each")

    async def commit_input_audio(self) -> None:
        """Make an item of the sound sent so far; asks for no response."""
        await self._lasting.ready()
        self.conversation.input.mark_commit()
        await self._send(ce.InputAudioBufferCommit())

    async def clear_input_audio(self) -> None:
        """Let the server forget the sound that it has not made an item of."""
        self._lasting.forget_sound()
        await self._lasting.ready()
        self.conversation.input.mark_clear()
        await self._send(ce.InputAudioBufferClear())

    async def create_response(self, **overrides: Any) -> None:
        """Ask for an answer, now or when the one under way is over. Without turn detection the sound sent so far is
        committed first. Raises ConfigError, TransportClosed."""
        params = response_of(overrides) if overrides else None
        await self._lasting.ready()
        if self.get_turn_detection_type() is None and self.conversation.input.pending_bytes:
            await self.commit_input_audio()
        await self._turns.want(params)

    async def cancel_response(self, item_id: str | None = None, sample_count: int = 0) -> ConversationItem | None:
        """Stop the answer under way; with an item's id also cut its speech after `sample_count` heard samples.

        Returns the item. Raises ConfigError for an item that is not speech of the assistant.
        """
        if item_id is None:
            await self._turns.cancel()
            return None
        item = self.conversation.get_item(item_id)
        if item is None:
            raise ConfigError(f"there is no item {item_id!r}")
        if item.role != "assistant":
            raise ConfigError(f"item {item_id!r} is not the assistant's: only its speech can be cut")
        self.playback.played_item(item_id, sample_count)
        await self.interrupt()
        return item

    def interrupt(self) -> Coroutine[Any, Any, None]:
        """The listener has heard enough: stop the answer, and let the model forget what `playback` did not report as heard.

        Sound of the stopped answer that is still on its way is dropped. Where nothing ever reported playing, nothing is
        cut. What is stopped is what is under way when this is called, however late it is awaited.
        """
        return self._stop(self._turns.cancelling(), self.playback.interrupt() if self.playback.reported else [])

    async def _stop(self, cancel: ce.ResponseCancel | None, cuts: Sequence[Truncation]) -> None:
        if cancel is not None:
            await self._send(cancel)
        for cut in cuts:
            item, part, end_ms = cut.item_id, cut.content_index, cut.audio_end_ms
            if self._lasting.retold(item):
                # Speech of an earlier connection is text at this one: it can only be cut where it is kept.
                cut_here = ev.ConversationItemTruncated(
                    event_id="local", item_id=item, content_index=part, audio_end_ms=end_ms
                )
                self._apply(cut_here)
                continue
            await self._send(ce.ConversationItemTruncate(item_id=item, content_index=part, audio_end_ms=end_ms))

    async def send_event(self, event: ce.ClientEvent) -> None:
        """Send any client event; waits while the connection is being restored. Raises NotConnected, TransportClosed."""
        await self._send(event)

    async def delete_item(self, item_id: str) -> None:
        """Remove an item from the conversation; it leaves when the server confirms."""
        await self._send(ce.ConversationItemDelete(item_id=item_id))

    # Waiting

    async def wait_for_session_created(self, timeout_s: float | None = None) -> AnySession:
        """The session as the server made it. Raises TimeoutError, NotConnected, TransportClosed."""
        if self.session is None:
            if self._finished:
                raise self.realtime.over()
            await self.wait_for_next("_session", timeout_s)
        assert self.session is not None
        return self.session

    async def wait_for_next_item(self, timeout_s: float | None = None) -> ConversationItem:
        """The next item that enters the conversation. Raises TimeoutError, TransportClosed."""
        update: Update = await self.wait_for_next("conversation.item.appended", timeout_s)
        return update.item

    async def wait_for_next_completed_item(self, timeout_s: float | None = None) -> ConversationItem:
        """The next item that becomes final. Raises TimeoutError, TransportClosed."""
        update: Update = await self.wait_for_next("conversation.item.completed", timeout_s)
        return update.item
