"""One connected conversation of a session: hands what happens to the director, and does what it decides."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from duologue.agents import effects as do
from duologue.agents.agent import RealtimeAgent
from duologue.agents.config import Cast
from duologue.agents.director import Director
from duologue.agents.events import (
    AnySessionEvent,
    BudgetReached,
    ConnectionLost,
    ConnectionRestored,
    HistoryAdded,
    HistoryUpdated,
    SessionEnded,
    SessionError,
    UsageUpdated,
)
from duologue.agents.history import HIDDEN, readable_one
from duologue.agents.recall import Recall
from duologue.agents.spoken import heard
from duologue.agents.tools import RunContext
from duologue.agents.tracer import Tracer
from duologue.agents.tracker import SpeedOfSpeech
from duologue.agents.working import call, consider, look, make_cast, run_tool
from duologue.client.client import RealtimeClient
from duologue.client.conversation import Update
from duologue.client.payloads import ClientError, UsageUpdate, client_error
from duologue.client.voice import Voice
from duologue.dialogue.cost import Totals
from duologue.dialogue.tools import ToolArguments
from duologue.errors import DuologueError, NotConnected, TransportClosed
from duologue.ids import random_id
from duologue.protocol import server_events as ev
from duologue.protocol.client_events import ConversationItemRetrieve, OutputAudioBufferClear
from duologue.protocol.codec import UnknownEvent
from duologue.protocol.items import FunctionCall, InputText, Message, text_of

if TYPE_CHECKING:
    from duologue.agents.session import RealtimeSession

_UNDONE = 1024
_LATER = 64
_SAY = 'Say exactly: "{words}" Say nothing else.'
_ROOT: ContextVar[asyncio.Task[Any] | None] = ContextVar("the stage's own task that this code runs for", default=None)
_log = logging.getLogger(__name__)


class Stage:
    """Lives from `connect` to the end. What is to be sent goes through one task, in order; functions of the application run
    in tasks of their own, and end with it."""

    def __init__(self, client: RealtimeClient, cast: Cast, base: Mapping[str, Any], session: RealtimeSession) -> None:
        self.client = client
        self.director = Director(cast, base, session.settings.guardrails, session.settings.tool_rules())
        self.over = False
        self.done = asyncio.Event()
        """Nobody speaks any more."""
        self.agent_usage: dict[str, Totals] = {}
        self.tracer = Tracer(client, session)
        self._session = session
        self._voice: Voice | None = None
        self._pace = SpeedOfSpeech(lambda: client.playback)
        self._recall = Recall(lambda item_id: client.conversation.get_item(item_id), random_id)
        self._overdue: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closers: set[asyncio.Task[Any] | None] = set()
        self._undone: deque[Coroutine[Any, Any, None]] = deque()
        self._later: deque[tuple[Message, bool]] = deque(maxlen=_LATER)
        self._doer: asyncio.Task[None] | None = None
        self._begun = False
        if (tracker := session.settings.playback_tracker) is not None:
            tracker.follow(lambda: client.playback)
        client.take_call = self._take_call
        if self.director.spoken.settings.hold_audio:
            client.hold_sound = self.director.hold
        client.on("conversation.event", self._server)
        client.on("conversation.item.appended", self._appended)
        client.on("conversation.item.completed", self._changed)
        client.on("conversation.item.deleted", self._changed)
        client.on("_revised", self._changed)
        client.on("connection.reconnecting", lambda details: self.tell(ConnectionLost(details=details)))
        client.on("connection.restored", lambda details: self.tell(ConnectionRestored(details=details)))
        client.on("usage.updated", self._used)
        client.on("budget.spent", lambda details: self.tell(BudgetReached(details=details)))
        client.on("error", self._refused)
        client.on("close", self._ended)

    # --- life ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The connection is open."""
        self._begun = True
        if self.client.realtime.is_over and self.client.realtime.closed is not None:
            return
        self.tracer.begin()
        self.perform(self.director.begin())

    def give_voice(self, voice: Voice) -> None:
        """Speak and listen through it."""
        self._voice = voice
        self.start(self._listen(voice), "agent: microphone")

    async def _listen(self, voice: Voice) -> None:
        try:
            await voice.run()
        finally:
            self.done.set()

    async def close(self, *, quietly: bool = False) -> None:
        """End everything; the caller's own task is left alone. `quietly`: nobody is told."""
        if quietly:
            self.over = True
        self._closers.add(_ROOT.get() or asyncio.current_task())
        await self.client.disconnect()
        self._finish()
        if tasks := self._tasks - self._closers:
            await asyncio.wait(tasks)

    def _ended(self, why: TransportClosed) -> None:
        if not self.over:
            self.over = True
            ended = SessionEnded(reason=why.reason or str(why), clean=why.code == 1000)
            self.tracer.end(ended.reason, clean=ended.clean)
            self.tell(ended)
            self._session.audience.end()
            self.done.set()
        self._finish()

    def _finish(self) -> None:
        if self._voice is not None:
            self._voice.close()
        for deadline in self._overdue.values():
            deadline.cancel()
        self._overdue.clear()
        for task in self._tasks - self._closers:
            task.cancel()
        while self._undone:
            self._undone.popleft().close()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something beside; what it raises is told."""
        task = asyncio.get_running_loop().create_task(self._guard(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None], name: str) -> None:
        _ROOT.set(asyncio.current_task())
        try:
            await work
        except (TransportClosed, NotConnected):
            _log.debug("%s: the session ended before", name)
        except Exception as problem:
            if not isinstance(problem, DuologueError):
                _log.exception("%s failed", name)
            self.tell(SessionError(error=client_error(problem)))

    # --- what happens ------------------------------------------------------------------------------------------

    def tell(self, event: AnySessionEvent) -> None:
        """Tell the application; nothing after the end."""
        if self.over and not isinstance(event, SessionEnded):
            return
        self.tracer.told(event)
        self._session.audience.tell(event)

    def _server(self, event: ev.ServerEvent | UnknownEvent) -> None:
        if type(event) is ev.ResponseOutputAudioDelta:
            if event.item_id in self.director.spoken.begun:
                # Half of all events are more of the same sound, which decides nothing.
                if not self.over:
                    self._session.audience.tell(heard(event))
                return
            if self._voice is None:
                self._pace.began(event.item_id, self.client.realtime.clock())
        if effects := self.director.server(event):
            self.perform(effects)
        for question in self._recall.server(event) if not self.over else ():
            self._queue(self._ask(question))
        if self._later and isinstance(event, ev.ResponseDone):
            self.start(self._say_later(), "agent: say what waited")

    def _refused(self, problem: ClientError) -> None:
        if problem.event is None or not self._recall.is_answer(problem.event):
            self.tell(SessionError(error=problem))

    def _take_call(self, response_id: str, wire: FunctionCall) -> bool:
        if not isinstance(wire.call_id, str):
            return False
        self.tracer.wished()
        self.perform(self.director.called(response_id, wire))
        return True

    def _appended(self, update: Update) -> None:
        if (item := readable_one(update.item)) is not None:
            self.tell(HistoryAdded(item=item))
        self._changed(update)

    def _changed(self, update: Update) -> None:
        if self._session.audience.heard(HistoryUpdated.type) and not update.item.id.startswith(HIDDEN):
            self.tell(HistoryUpdated(history=self._session.history))

    def _used(self, update: UsageUpdate) -> None:
        agent = self.director.agent_of(update.response_id)
        if update.response_id is not None and not hasattr(update.usage, "seconds"):
            spent: Any = update.usage
            before = self.agent_usage.get(agent.name, Totals())
            self.agent_usage[agent.name] = before.plus(spent, update.cost)
        self.tell(UsageUpdated(agent=agent, update=update))

    # --- what is done --------------------------------------------------------------------------------------------

    def perform(self, effects: list[do.Effect]) -> None:
        """Do what the director decided: tell at once, send in order, run beside."""
        for effect in effects if not self.over else ():
            match effect:
                case do.Tell(event=event):
                    self.tell(event)
                case do.Release(sounds=sounds):
                    for sound in sounds:
                        self.client.release_sound(sound)
                case do.Consider(call=wanted):
                    self.start(self._consider(effect), f"agent: consider {wanted.wire.name}")
                case do.AwaitDecision(call_id=call_id, timeout_s=timeout_s):
                    loop = asyncio.get_running_loop()
                    self._overdue[call_id] = loop.call_later(timeout_s, self._give_up, call_id)
                case do.RunTool(call=wanted):
                    self.start(self._run(effect), f"agent: tool {wanted.wire.name}")
                case do.HandOver(call=wanted, way=way):
                    self.tracer.opened("handoff", wanted.call_id, way.agent.name, wanted.response_id)
                    self.start(self._hand_over(effect), f"agent: {way.name}")
                case do.CheckOutput() | do.CheckInput():
                    self.tracer.check_began(effect)
                    self.start(self._check(effect), "agent: guardrails")
                case do.Hook(agent=agent, name=name) if getattr(agent.hooks, name, None) is None:
                    continue
                case do.Cut(barge_in=barge_in):
                    # Ports and calls are silent at once when the user speaks, without being told.
                    if not (barge_in and (self._voice is not None or self._session.link.sound_elsewhere)):
                        self._queue(self._be_silent())
                case do.Answer(respond=True) | do.Respond():
                    self.tracer.wished()
                    self._queue(self._do_one(effect))
                case _:
                    self._queue(self._do_one(effect))

    def _give_up(self, call_id: str) -> None:
        self._overdue.pop(call_id, None)
        self.perform(self.director.overdue(call_id))
        self.tracer.closed("approval", call_id, "refused", overdue=True)

    def decide(self, call_id: str, settle: Callable[[Director, str], list[do.Effect]], *, allowed: bool) -> None:
        """A person has decided about a call. Raises ConfigError where it does not wait, NotConnected after the end."""
        if self.over:
            raise NotConnected()
        effects = settle(self.director, call_id)
        if deadline := self._overdue.pop(call_id, None):
            deadline.cancel()
        self.tracer.wished()
        self.perform(effects)
        self.tracer.closed("approval", call_id, "ok" if allowed else "refused")

    def _queue(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._undone) >= _UNDONE:
            work.close()
            self.start(self.client.disconnect(), "agent: give up a server that reads nothing")
            return
        self._undone.append(work)
        if self._doer is None or self._doer.done():
            self._doer = asyncio.get_running_loop().create_task(self._work(), name="agent: send")
            self._tasks.add(self._doer)
            self._doer.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while self._undone:
            await self._guard(self._undone.popleft(), "agent: send")

    async def _ask(self, question: ConversationItemRetrieve) -> None:
        if self.client.is_connected:  # a new connection knows the speech only as it was told: as text
            await self.client.send_event(question)

    async def _do_one(self, effect: do.Effect) -> None:
        client = self.client
        match effect:
            case do.Answer(call=wanted, output=output, respond=respond):
                # What the user says meanwhile is not answered along with it before it was checked.
                respond = respond and not self.director.must_wait(committed=False)
                await client.answer_call(wanted.response_id, wanted.wire, output, respond=respond)
            case do.Configure(change=change):
                await client.update_session(**change)
            case do.Note(text=text):
                note = Message(id=random_id(HIDDEN), role="system", content=(InputText(text=text),))
                await client.create_item(note)
            case do.Respond():
                await self._respond(effect)
            case do.SendEvent(event=event):
                await client.send_event(event)
            case do.Hook(agent=agent, name=name, arguments=arguments):
                await call(getattr(agent.hooks, name), self.context(), agent, *arguments)
            case _:
                raise TypeError(f"nothing is known to do about {effect!r}")

    async def _respond(self, wish: do.Respond) -> None:
        overrides: dict[str, Any] = {}
        if wish.verbatim:
            words = " ".join(wish.instructions.replace('"', "'").split())
            overrides = {"instructions": _SAY.format(words=words), "tool_choice": "none"}
        elif wish.instructions:
            own = self.director.cast.instructions
            overrides = {"instructions": f"{own}\n\n{wish.instructions}".strip()}
        if wish.purpose:
            overrides["metadata"] = {"purpose": wish.purpose}
        await self.client.create_response(**overrides)

    def _be_silent(self) -> Coroutine[Any, Any, None]:
        # What is being said now is meant, not what will be when this is sent.
        if (tracker := self._session.settings.playback_tracker) is not None:
            tracker.on_interrupted()
        if self._voice is not None:
            return self._stop(self._voice.interrupt())
        by_the_clock = self._pace.cuts(self.client.realtime.clock())
        speech = self.client.interrupt()
        if by_the_clock:
            self._pace.go_on()
        return self._stop(speech)

    async def _stop(self, speech: Coroutine[Any, Any, None]) -> None:
        await speech
        if self._session.link.sound_elsewhere:
            await self.client.send_event(OutputAudioBufferClear())

    # --- functions of the application ------------------------------------------------------------------------------

    def context(self, call_id: str = "") -> RunContext[Any]:
        """What they get."""
        return RunContext(value=self._session.context, history=self._session.history, call_id=call_id)

    async def _consider(self, wanted: do.Consider) -> None:
        decision = await consider(wanted.call, wanted.tool, self.context(wanted.call.call_id))
        self.perform(self.director.considered(wanted.call, wanted.tool, decision))

    async def _run(self, wanted: do.RunTool) -> None:
        outcome = await run_tool(wanted.call, wanted.tool, self.context(wanted.call.call_id))
        self.perform(self.director.tool_done(wanted.call, outcome))

    async def _hand_over(self, wanted: do.HandOver) -> None:
        way, context = wanted.way, self.context(wanted.call.call_id)
        try:
            arguments = way.arguments(context, wanted.call.wire.arguments)
            if way.on_handoff is not None:
                await call(way.on_handoff, *arguments)
            cast = await self._cast_for(way.agent)
        except ToolArguments as problem:
            self.perform(self.director.handoff_failed(wanted.call, str(problem)))
        except Exception as problem:
            _log.exception("the handoff %r failed", way.name)
            self.perform(self.director.handoff_failed(wanted.call, f"{type(problem).__name__}: {problem}"))
            self.tell(SessionError(error=client_error(problem)))
        else:
            self.perform(self.director.handed_over(wanted.call, cast))
        self.tracer.closed("handoff", wanted.call.call_id, "failed")

    async def _cast_for(self, agent: RealtimeAgent) -> Cast:
        settings = self._session.settings
        return await make_cast(agent, self.context(), settings.output_guardrails, settings.input_guardrails)

    async def _check(self, wanted: do.CheckOutput | do.CheckInput) -> None:
        cast, tripped = wanted.cast, list[str]()
        if isinstance(wanted, do.CheckOutput):
            found = await look(cast.output_guardrails, self.context(), cast.agent, wanted.check.text)
            tripped = [guardrail.name for guardrail, verdict in found if verdict.tripped]
            self.perform(self.director.output_checked(wanted.check, found, cast))
        else:
            heard = await look(cast.input_guardrails, self.context(), cast.agent, wanted.text)
            tripped = [guardrail.name for guardrail, verdict in heard if verdict.tripped]
            self.perform(self.director.input_checked(wanted.item_id, heard, wanted.text, cast))
        self.tracer.checked(wanted, tripped)

    # --- what the application asks for -----------------------------------------------------------------------------

    async def say(self, item: Message, respond: bool) -> None:
        """Put a message into the conversation."""
        await self.client.create_item(item)
        if not respond:
            return
        if item.role != "user":
            self.perform([do.Respond()])
            return
        self.tracer.typed()
        self.perform(self.director.typed(str(item.id), text_of(item)))

    def later(self, item: Message, respond: bool) -> None:
        """The same when the answer under way is over."""
        self._later.append((item, respond))

    async def _say_later(self) -> None:
        while self._later and not self.client.active_response:
            await self.say(*self._later.popleft())

    async def wish(self, instructions: str) -> None:
        """Ask for an answer."""
        client = self.client
        pending = client.get_turn_detection_type() is None and client.conversation.input.pending_bytes > 0
        if self.director.must_wait(committed=pending):
            if pending:
                await client.commit_input_audio()
            return
        await self._respond(do.Respond(instructions=instructions))

    async def speak(self, text: str) -> None:
        """Let the agent say these words."""
        await self._respond(do.Respond(instructions=text, verbatim=True))

    async def interrupt(self) -> None:
        """Be silent now."""
        self.perform(self.director.interrupted())
        await self._be_silent()

    async def change_agent(self, agent: RealtimeAgent) -> None:
        """Another agent takes over."""
        self.perform(self.director.take_over(await self._cast_for(agent)))

    async def configure(self, fields: Mapping[str, Any]) -> None:
        """Change settings."""
        if change := self.director.configured(fields):
            await self.client.update_session(**change)
