"""A conversation with an agent: does what the director decides, on a RealtimeClient over any transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, overload

import msgspec

from duologue.agents.agent import RealtimeAgent
from duologue.agents.audience import Audience
from duologue.agents.config import base_fields, fields_of
from duologue.agents.events import AnySessionEvent, RawModelEvent, SessionEvent, ToolApprovalRequired
from duologue.agents.history import HistoryItem, edits, readable
from duologue.agents.link import Link
from duologue.agents.settings import SessionSettings, settings_of
from duologue.agents.span import Span
from duologue.agents.stage import Stage
from duologue.agents.tools import RunContext
from duologue.agents.wire import Wire
from duologue.agents.working import make_cast
from duologue.audio.port import MediaPort
from duologue.client.api import ApiKey
from duologue.client.client import RealtimeClient
from duologue.client.payloads import client_error, content_part
from duologue.client.thin import ThinClient
from duologue.dialogue.cost import Totals
from duologue.dialogue.playback import PlaybackLedger
from duologue.errors import ConfigError, NotConnected
from duologue.ids import random_id
from duologue.protocol.items import Content, InputText, Message, OutputText, Role
from duologue.transports.base import EventTransport

_Event = TypeVar("_Event", bound=SessionEvent)
_Handler = TypeVar("_Handler", bound=Callable[..., Any])
When = Literal["now", "after_response", "interrupt"]
Transport = Literal["websocket", "webrtc"] | EventTransport | MediaPort | ThinClient | Callable[[], Any]


class RealtimeSession:
    """One conversation with an agent and those that it hands over to.

    `transport`: `websocket`, `webrtc`, an open EventTransport, or a function that opens one (each time anew: then a drop is
    mended); by default `webrtc` in a page, where the ports are a MediaStream and an audio element, `websocket` elsewhere.
    A telephone call (PhonePort) stands for a WebSocket with that port, a thin client for its address, options and ports.
    `config` holds session settings by today's names or those of 2024; None turns a setting off. `context` is the
    application's own object, for its functions. `input_port` and `output_port` are spoken from and played to; they may be
    the same. Without an `output_port` sound comes as events; it counts as heard at the speed of speech, where neither
    `playback` nor a `playback_tracker` is told. `options` are fields of SessionSettings.

        async with RealtimeSession(agent) as session:
            await session.send_message("Hello!")
            async for event in session:
                ...
    """

    def __init__(
        self,
        agent: RealtimeAgent,
        transport: Transport | None = None,
        *,
        model: str | None = None,
        config: Mapping[str, Any] | None = None,
        context: Any = None,
        settings: SessionSettings | None = None,
        input_port: MediaPort | None = None,
        output_port: MediaPort | None = None,
        **options: Any,
    ) -> None:
        if isinstance(transport, str) and transport not in ("websocket", "webrtc"):
            raise ConfigError(f"there is no transport {transport!r}: websocket, webrtc or one of your own")
        self.initial_agent = agent
        self.settings = settings_of(settings, options)
        self.context = context
        self.model = model or (config or {}).get("model_name")
        self._link = Link(transport, self.settings, input_port, output_port)
        self._base = base_fields({**self._link.formats(), **self.settings.tracing(), **(config or {})})
        self._audience = Audience(client_error)
        self._wire = Wire(self)
        self._stage: Stage | None = None
        self._past: tuple[HistoryItem, ...] = ()
        self._saved: str | Path | None = None
        self._raw = False

    def __repr__(self) -> str:
        return f"<RealtimeSession {self.current_agent.name!r} {self._wire.status}>"

    # --- life ------------------------------------------------------------------------------------------------

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str = "",
        history: Sequence[HistoryItem] | None = None,
    ) -> None:
        """Open the conversation; does nothing while it is open. `call_id`: join a call that exists, beside its own peer.
        `history` is told to the model first; without it, what was said before the last `close`.

        Raises ConnectFailed, ConfigError, MissingExtra. Cancelling it leaves nothing open.
        """
        if self._stage is not None and not self._stage.over:
            return
        client = self._link.client(url, api_key, model or self.model, call_id)
        cast = await make_cast(
            self.current_agent,
            RunContext(value=self.context, history=self.history),
            self.settings.output_guardrails,
            self.settings.input_guardrails,
        )
        past = self.history if history is None else history
        if self._saved is not None:
            client.load(self._saved)
        stage = Stage(client, cast, self._base, self)
        await client.update_session(**stage.director.fields)
        before, self._stage = self._stage, stage
        self._wire.attach(client)
        self._audience.begin()
        try:
            await client.connect()
            self._wire.opened(self._link.call)
            if past and not call_id and self._saved is None:
                await self._retell(client, past)
        except BaseException:
            self._stage = before
            await stage.close(quietly=True)
            raise
        self._saved = None
        self._link.plug(stage)
        stage.begin()

    async def answer_webrtc_offer(
        self, offer: str, *, api_key: ApiKey | None = None, model: str | None = None, url: str | None = None
    ) -> str:
        """Begin a call for a browser that has sent its SDP offer, join it from here, and return the SDP answer for the
        browser: its sound goes to the provider, tools and guardrails run here. Raises ConnectFailed, ConfigError."""
        from duologue.agents.answering import hand_on  # HTTP is for those who need it: a page has none

        client = self._link.client(url, api_key, model or self.model, "")
        answer, call_id = await hand_on(client, offer, await self.get_initial_session_config())
        await self.connect(api_key=api_key, model=model, url=url, call_id=call_id)
        return answer

    async def _retell(self, client: RealtimeClient, past: Sequence[HistoryItem]) -> None:
        fresh = [msgspec.structs.replace(item, item_id="") for item in past]
        for step in edits([], fresh, random_id):
            await client.send_event(step)

    async def close(self) -> None:
        """End the conversation with all that runs for it, also from inside a tool or handler; harmless when it is over.
        The history stays readable."""
        if self._stage is not None:
            await self._stage.close()
            await self._audience.finish()

    async def hang_up(self) -> None:
        """Ends the call, when what is being said has been heard."""
        # The first line is also what a model reads of it as a tool: agent.tools.append(session.hang_up).
        await self._link.hang_up(self._live)
        await self.close()

    async def finished(self) -> None:
        """Wait until the session has ended, or its `input_port` has nothing more to say: the caller hung up."""
        await self._live.done.wait()

    async def enter(self) -> Self:
        """The same as entering `async with`."""
        return await self.__aenter__()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def save(self, path: str | Path) -> None:
        """Write the conversation to a file, for `load`. Raises OSError, NotConnected before the first `connect`."""
        self._client.save(path)

    def load(self, path: str | Path) -> None:
        """The next `connect` goes on with a saved conversation."""
        self._saved = path

    # --- talking ---------------------------------------------------------------------------------------------

    async def send_message(
        self,
        message: str | Mapping[str, Any],
        *,
        respond: bool = True,
        role: Role = "user",
        when: When = "now",
    ) -> None:
        """Put a message into the conversation: text, or `{"role": …, "content": [parts]}` with parts as the wire has them.

        `respond`: ask for an answer, as soon as one may be asked for. `when`: `now`, `after_response` (the message, too,
        waits until the answer under way is over) or `interrupt` (stop that answer first). Raises ConfigError, NotConnected,
        TransportClosed.
        """
        item = _message(message, role)
        stage = self._live
        if when == "interrupt":
            await self.interrupt()
        if when == "after_response" and stage.client.active_response:
            stage.later(item, respond)
        else:
            await stage.say(item, respond)

    async def add_image(self, image_url: str, *, respond: bool = True) -> None:
        """Show a picture, a `data:` URI of PNG or JPEG."""
        part = {"type": "input_image", "image_url": image_url}
        await self.send_message({"content": [part]}, respond=respond)

    async def send_audio(self, audio: bytes, *, commit: bool = False) -> None:
        """Send sound of the user in the session's input format; `commit`: the user's turn ends here, which asks for no
        answer. While muted the sound is dropped. Raises ValueError, NotConnected, TransportClosed."""
        stage = self._live
        if not self.muted:
            if self._link.sound_elsewhere:
                self._link.write(audio)
            else:
                await stage.client.append_input_audio(audio)
        if commit:
            await stage.client.commit_input_audio()

    async def respond(self, instructions: str = "") -> None:
        """Ask for an answer; `instructions` come on top of the agent's, for this answer only."""
        await self._live.wish(instructions)

    async def say(self, text: str) -> None:
        """Let the agent say these words, as soon as it may speak."""
        await self._live.speak(text)

    async def interrupt(self) -> None:
        """Be silent now: cancels the answer under way, drops what still comes of it, and lets the model know how much of
        it was heard. Also ends speech whose answer is complete."""
        await self._live.interrupt()

    def mute(self, muted: bool = True) -> None:
        """Let the model hear silence instead of the user."""
        self._link.mute(muted)

    async def update_history(
        self, change: Sequence[HistoryItem] | Callable[[tuple[HistoryItem, ...]], Sequence[HistoryItem]]
    ) -> None:
        """Make the conversation what is given, or what the function makes of the history. See `history.edits`."""
        wanted = change(self.history) if callable(change) else change
        client = self._live.client
        for step in edits(client.conversation.items, wanted, random_id):
            await client.send_event(step)

    async def update_agent(self, agent: RealtimeAgent) -> None:
        """From now on this agent speaks; with the current one: its tools and instructions are looked at anew. Raises
        ConfigError, and what its functions raise."""
        stage = self._live
        await stage.change_agent(agent)

    async def update_config(self, **fields: Any) -> None:
        """Change settings of the session; only what differs is sent. Raises ConfigError."""
        await self._live.configure(fields)

    # --- approval --------------------------------------------------------------------------------------------

    async def approve(self, call: str | ToolApprovalRequired, *, always: bool = False) -> None:
        """Allow a call that waits, by its event or `call_id`; `always`: that tool from now on. Raises ConfigError
        where it does not wait (any more), and NotConnected."""
        self._live.decide(_call_id(call), lambda it, call_id: it.approve(call_id, always=always), allowed=True)

    async def reject(self, call: str | ToolApprovalRequired, *, always: bool = False, message: str = "") -> None:
        """Forbid a call that waits; `message` is what the model reads."""
        self._live.decide(
            _call_id(call), lambda it, call_id: it.reject(call_id, always=always, message=message), allowed=False
        )

    async def approve_tool_call(self, call_id: str, *, always: bool = False) -> None:
        """The same as `approve`."""
        await self.approve(call_id, always=always)

    async def reject_tool_call(self, call_id: str, *, always: bool = False, rejection_message: str = "") -> None:
        """The same as `reject`."""
        await self.reject(call_id, always=always, message=rejection_message)

    # --- what is -----------------------------------------------------------------------------------------------

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """The conversation as people read it; also after its end."""
        if self._stage is None:
            return self._past
        return readable(self._stage.client.conversation.items, audio=self.settings.history_audio)

    @property
    def usage(self) -> Totals:
        """Tokens and dollars so far."""
        return self._stage.client.usage if self._stage is not None else Totals()

    @property
    def agent_usage(self) -> dict[str, Totals]:
        """The same for each agent that spoke, by name."""
        return dict(self._stage.agent_usage) if self._stage is not None else {}

    @property
    def spans(self) -> tuple[Span, ...]:
        """The trace: what happened when, as far as it is kept (2048 spans), also after the end; `on("span", …)` tells of
        each span when it begins and when it ends. Empty where tracing is disabled."""
        return self._stage.tracer.spans if self._stage is not None else ()

    @property
    def current_agent(self) -> RealtimeAgent:
        """Who speaks now."""
        return self._stage.director.cast.agent if self._stage is not None else self.initial_agent

    @property
    def muted(self) -> bool:
        """Whether the model hears silence."""
        return self._link.muted

    @property
    def transport(self) -> Wire:
        """Raw events: `transport.on("*", fn)`, `transport.send_event(...)`."""
        return self._wire

    @property
    def playback(self) -> PlaybackLedger:
        """What was played, where no port tells it: `playback.played_item(item_id, samples)`. Raises NotConnected."""
        return self._client.playback

    @property
    def available_mcp_tools(self) -> dict[str, tuple[str, ...]]:
        """Tools of MCP servers that the Realtime server has listed, by the servers' labels."""
        return dict(self._stage.director.remote.listed) if self._stage is not None else {}

    async def get_initial_session_config(self) -> dict[str, Any]:
        """The settings that `connect` sends."""
        context = RunContext(value=self.context, history=self.history)
        guards = self.settings.input_guardrails
        cast = await make_cast(self.initial_agent, context, input_guardrails=guards)
        return fields_of(self._base, cast, gate=bool(cast.input_guardrails))

    @staticmethod
    async def compute_initial_session_config(
        agent: RealtimeAgent, *, config: Mapping[str, Any] | None = None, context: Any = None, **options: Any
    ) -> dict[str, Any]:
        """The settings of a session with this agent, for who opens it elsewhere: a client secret, a call to be accepted."""
        return await RealtimeSession(agent, config=config, context=context, **options).get_initial_session_config()

    # --- events --------------------------------------------------------------------------------------------

    @overload
    def on(self, name: type[_Event], handler: Callable[[_Event], Any]) -> Callable[[_Event], Any]: ...

    @overload
    def on(self, name: type[_Event], handler: None = None) -> Callable[[_Handler], _Handler]: ...

    @overload
    def on(self, name: str, handler: Callable[[Any], Any] | None = None) -> Any: ...

    def on(self, name: Any, handler: Callable[[Any], Any] | None = None) -> Any:
        """Call `handler(event)` at every event of that name (`*`: all), plain or asynchronous; without a handler a
        decorator. With a class of `agents.events` in place of the name, type checkers know what the handler gets. The names
        of the agents SDK for JavaScript are understood. Raises ConfigError for a name that is none."""
        name = name if isinstance(name, str) else name.type
        registered = self._audience.on(name, handler)
        if name in ("raw_model_event", "transport_event") and not self._raw:
            self._raw = True
            self._wire.on("*", lambda event: self._audience.whisper(RawModelEvent(data=event)))
        return registered

    def off(self, name: str | type[SessionEvent], handler: Callable[[Any], Any] | None = None) -> None:
        """Forget a handler, or all of that name."""
        self._audience.off(name if isinstance(name, str) else name.type, handler)

    def __aiter__(self) -> AsyncIterator[AnySessionEvent]:
        """Every event until the session ends, for this loop alone; a loop that is 4096 events behind loses the oldest.
        Raw events come to handlers only."""
        return self._audience.events()

    # --- inside ------------------------------------------------------------------------------------------------

    @property
    def audience(self) -> Audience:
        """Who listens."""
        return self._audience

    @property
    def link(self) -> Link:
        """What carries the conversation."""
        return self._link

    @property
    def _client(self) -> RealtimeClient:
        if self._stage is None:
            raise NotConnected()
        return self._stage.client

    @property
    def _live(self) -> Stage:
        if self._stage is None:
            raise NotConnected()
        return self._stage


def _call_id(call: str | ToolApprovalRequired) -> str:
    return call if isinstance(call, str) else call.call_id


def _message(message: str | Mapping[str, Any], role: Role) -> Message:
    if isinstance(message, str):
        message = {"content": [{"type": "input_text", "text": message}]}
    role = message.get("role", role)
    parts: list[Content] = []
    for part in message.get("content", ()):
        text = part.get("text")
        if role == "assistant":
            parts.append(OutputText(text=str(text or "")))
        elif role == "system":
            parts.append(InputText(text=str(text or "")))
        else:
            image = part.get("image")  # the agents SDK for JavaScript has this name
            parts.append(content_part(part if image is None else {**part, "image_url": image}))
    return Message(id=random_id("item"), role=role, content=tuple(parts))
