"""The console's shell: one conversation at a time, in which the user talks and hears and everything shows in the feed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from duologue.client.items import ConversationItem
from duologue.console import frames, sound
from duologue.console import items as item_views
from duologue.console import settings as session_settings
from duologue.console.chores import Chores
from duologue.console.embedded import Embedded
from duologue.console.feed import Feed
from duologue.console.hub import Hub, Speaker
from duologue.console.line import Line
from duologue.console.notices import Notices
from duologue.console.purse import Purse
from duologue.console.recording import new_trace
from duologue.console.refusal import Refused
from duologue.console.tools import ConsoleTools
from duologue.console.upstream import Upstream
from duologue.console.views import By, CallView, SessionView, Settings
from duologue.console.voice import Voice
from duologue.dialogue.playback import Truncation
from duologue.errors import DuologueError, EngineError, NotConnected, TransportClosed
from duologue.ids import random_id
from duologue.inspector.trace import Trace
from duologue.protocol.responses import Response

log = logging.getLogger(__name__)

GREETING = "Hello!"
AWAY_SECONDS = 30.0
"""A call whose page is gone ends after this long: nobody hears it, and it may cost money."""
FAREWELL_SECONDS = 20.0
MIN_TURN_MS = 100
"""The protocol takes no shorter turn."""


class CallConfig(Struct, frozen=True, kw_only=True):
    """What a call needs to know from outside. `key` gives the OpenAI key or None; it is asked for at each connect."""

    upstream: Upstream
    sessions: Path
    weather_url: str
    key: Callable[[], str | None]


class Call:
    """The conversation of this process, and the one place that changes its state."""

    def __init__(self, config: CallConfig, hub: Hub, embedded: Embedded) -> None:
        self._config = config
        self._hub = hub
        self._embedded = embedded
        self.feed = Feed(random_id("feed"), hub.touch)
        self.notices = Notices(self.feed)
        self._upstream = config.upstream
        self._settings = session_settings.DEFAULTS
        self._effective: Settings | None = None
        self._state = CallView()
        self._tools = ConsoleTools(self._show_tools, weather_url=config.weather_url)
        self._purse = Purse()
        self._voice = Voice(self._truncate)
        self._line: Line | None = None
        self._trace: Trace | None = None
        self._task: asyncio.Task[None] | None = None
        self._why = ""
        self._ending = False
        self._chores = Chores()
        self._turn_bytes = 0
        self.feed.show("call", self._state)
        self._show_upstream()
        self._show_session()
        self._show_tools()
        self._show_money()

    @property
    def owner(self) -> str:
        """The tab that has the microphone, empty if none."""
        return self._state.owner

    @property
    def speaker(self) -> Speaker | None:
        """The page that plays, if one does."""
        return self._voice.speaker

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the web server runs; at the end the call is over and nothing is left behind."""
        async with self._embedded.running():
            try:
                yield
            finally:
                await self.disconnect("the console was stopped")

    def frame(self, number: int) -> bytes:
        """Event `number` as it was on the wire. Raises Refused if it is gone."""
        if self._trace is None or not 0 <= number < len(self.feed.events):
            raise Refused("gone", "This event is not there any more.", "")
        return self._trace.frame_at(self.feed.events[number].trace_offset)

    def item_sound(self, item_id: str) -> bytes:
        """All sound of an item as PCM16 at 24 kHz, of either side; of the model also what was cut."""
        if said := self._voice.received(item_id):
            return said
        known = next((item for item in self._items() if item.id == item_id), None)
        return known.formatted.audio if known else b""

    # --- commands ---------------------------------------------------------------------------------------------

    async def connect(self, viewer: str) -> None:
        """Begin a call for the tab `viewer`. While one is under way this does nothing: there is only one."""
        if self._task is not None and not self._task.done():
            return
        key = self._config.key() if self._upstream.kind == "openai" else None
        if self._upstream.kind == "openai" and not key:
            raise Refused(
                "no-key", "There is no OpenAI key.", "Put OPENAI_API_KEY into .env, or choose another server."
            )
        self.notices.clear()
        self.feed.clear()
        self._line = None
        self._effective = None
        self._voice = Voice(self._truncate)
        self._purse = Purse(budget_usd=self._purse.budget_usd)
        self._show_money()
        self._ending, self._why = False, ""
        number = self._state.number + 1
        self._state = CallView(state="connecting", number=number, owner=viewer, mode=self._state.mode)
        self._update()
        self._task = asyncio.create_task(self._hold(key), name="console-call")
        self.viewer_left(viewer)  # it may have closed before its wish was read

    async def disconnect(self, reason: str = "") -> None:
        """End the call; log, conversation and sound stay. Does nothing without a call."""
        if self._task is None or self._task.done():
            return
        if not self._ending:  # A second cancellation would cut the hanging up short.
            self._ending, self._why = True, reason
            self._task.cancel()
        await asyncio.wait([self._task])
        if self._state.state == "connecting":  # cancelled before its first step
            self._update(state="closed", reason=reason)

    async def take(self, viewer: str) -> None:
        """The tab `viewer` takes microphone and loudspeaker over from whichever has them."""
        if not self._hub.present(viewer):
            raise Refused("unknown-tab", "This tab is not connected to the console.", "Load the page again.")
        self._chores.cancel("away")
        old, self._voice.speaker = self._voice.speaker, None
        self._update(owner=viewer, recording=False)
        if old is not None:
            await old.dismiss()

    async def say(self, text: str) -> None:
        """A typed message; what is being said stops."""
        line = self._connected()
        await self._interrupt(line)
        await line.say(text)

    async def change_session(self, changes: dict[str, Any]) -> None:
        """Change settings now and for later calls. Raises ValueError for settings that do not exist."""
        before, self._settings = self._settings, session_settings.change(self._settings, changes)
        mode = session_settings.mode_of(self._settings)
        self._show_session()
        self._update(mode=mode, recording=self._state.recording and mode == "manual")
        fields = session_settings.changed(before, self._settings)
        if self._line is None or self._state.state != "connected" or not fields:
            return
        if mode == "manual" and session_settings.mode_of(before) == "vad":
            await self._line.clear_input()
            self._update(user_speaking=False)
        await self._line.update(session_settings.to_session(self._settings, only=fields))

    def set_upstream(self, upstream: Upstream) -> None:
        """Who answers the next call."""
        if self._state.state in ("connecting", "connected"):
            raise Refused("in-call", "A call is under way.", "Disconnect first.")
        self._upstream = upstream
        self._show_upstream()

    def set_budget(self, usd: float | None) -> None:
        """End the call politely once it has cost this much; None: no limit."""
        self._purse.budget_usd = usd
        self._show_money()

    async def delete_item(self, item_id: str) -> None:
        """Delete an item from the conversation; after the call, from what is shown."""
        if self._line is None:
            return
        if self._state.state == "connected":
            await self._line.delete(item_id)
        else:
            self._line.drop(item_id)

    # --- the page's sound -------------------------------------------------------------------------------------

    async def attach(self, speaker: Speaker) -> None:
        """The owner's page can play now; what was said and not heard yet is said to it."""
        self._chores.cancel("away")
        old = self._voice.speaker
        self._voice.attach(speaker)
        if old is not None:
            await old.dismiss()

    async def detach(self, speaker: Speaker) -> None:
        """The page's sound is gone."""
        if self._voice.speaker is not speaker:
            return
        self._voice.speaker = None
        recording = self._state.recording
        self._update(recording=False)
        if recording and self._line is not None and self._state.state == "connected":
            await self._line.clear_input()

    def viewer_left(self, name: str) -> None:
        """A tab is gone; a call without its tab ends after a while, in which it may come back or another take over."""
        if name == self.owner and not self._hub.present(name) and self._state.state in ("connecting", "connected"):
            self._chores.after("away", AWAY_SECONDS, lambda: self._end_if_alone(name))

    async def _end_if_alone(self, name: str) -> None:
        if name == self.owner and not self._hub.present(name):
            await self.disconnect("its page was closed")

    async def hear(self, seen: sound.PageFrame) -> None:
        """A frame of the page: sound, a report of what was heard, or the button."""
        line = self._line
        if line is None or self._state.state != "connected":
            return
        try:
            await self._heard(line, seen)
        except (TransportClosed, NotConnected) as gone:
            log.debug("the call ended while the page still talked: %s", gone)

    async def _heard(self, line: Line, seen: sound.PageFrame) -> None:
        match seen:
            case sound.Microphone(pcm):
                if self._state.mode == "vad" or self._state.recording:
                    self._turn_bytes += len(pcm)
                    await line.append(pcm)
            case sound.Button(True):
                await self._press(line)
            case sound.Button(False):
                await self._release(line)
            case sound.Played(samples, None):
                for item_id in self._voice.heard(samples):
                    self._show_item(item_id)
            case sound.Played(samples):
                self._voice.settle(samples)

    async def _press(self, line: Line) -> None:
        if self._state.mode != "manual" or self._state.recording:
            return
        self._turn_bytes = 0
        self._update(recording=True)
        await self._interrupt(line, page_knows=True)

    async def _release(self, line: Line) -> None:
        if not self._state.recording:
            return
        self._update(recording=False)
        if self._turn_bytes < MIN_TURN_MS * sound.BYTES_PER_MS:
            await line.clear_input()
        else:
            await line.answer()

    async def _interrupt(self, line: Line, *, page_knows: bool = False) -> None:
        """The user has the word: what is being said stops, what is being made is cancelled."""
        self._voice.stop(page_knows=page_knows)
        if self._state.responding:
            await line.cancel()

    def _truncate(self, cuts: list[Truncation]) -> None:
        line = self._line
        if line is None or self._state.state != "connected":
            return

        async def tell() -> None:
            for cut in cuts:
                await line.truncate(cut)

        if self._trace is not None:
            self._trace.note("heard", [msgspec.to_builtins(cut) for cut in cuts])
        self._chores.do(tell(), "truncate")

    # --- what the line tells ----------------------------------------------------------------------------------

    def frame_passed(self, by: By, frame: bytes | str, now_ms: int) -> None:
        """Record and show one frame."""
        if self._trace is None:
            return
        try:
            offset = self._trace.append(by, frame, now_ms)
        except OSError as problem:
            offset = -1
            self.notices.add(
                "recording", f"The session file cannot be written: {problem.strerror}", "Make room on the disk."
            )
        self.feed.record(frames.summarise(frame, by=by, t_ms=now_ms - self._trace.zero_ms, trace_offset=offset))

    def session_in_force(self, effective: Settings) -> None:
        """The server has told its settings."""
        self._effective = effective
        self._show_session()

    def item_changed(self, item: ConversationItem | None) -> None:
        """One item is different; None: items came, went or moved."""
        if item is not None:
            self._put(item)
            return
        items = self._items()
        for known in items:
            self._put(known)
        self.feed.set_order(tuple(known.id for known in items))

    def spoken(self, part: sound.PartKey, pcm: bytes) -> None:
        """Sound of the model."""
        self._voice.say(part, pcm)

    def spoken_all(self, part: sound.PartKey) -> None:
        """No more sound of this part."""
        self._voice.said_all(part)

    def user_speaks(self, speaking: bool) -> None:
        """The server's voice detection has heard the user begin or stop."""
        self._update(user_speaking=speaking)
        if speaking and (self._effective is None or self._effective.interrupt_response is not False):
            self._voice.stop()

    def responding(self, active: bool) -> None:
        """The model begins or has finished an answer."""
        self._update(responding=active)

    def paid(self, response: Response) -> None:
        """A response is done: its usage goes on the bill; a spent budget ends the call with a goodbye."""
        self._purse.add(response, model=self._line.model if self._line else "", local=self._upstream.kind == "embedded")
        self._show_money()
        if self._chores.due("farewell"):
            seconds = self._voice.pending_ms / 1000 + 0.5
            self._chores.after("farewell", seconds, lambda: self.disconnect("the budget is spent"))
        elif self._purse.exhausted and self._line is not None:
            self.notices.add("budget", "The budget is spent; the call ends.", "Raise it and connect again.")
            self._chores.after("farewell", FAREWELL_SECONDS, lambda: self.disconnect("the budget is spent"))
            self._chores.do(self._line.farewell(), "farewell")

    def failed(self, code: str, cause: str, step: str) -> None:
        """The server had a problem that the user should know of."""
        self.notices.add(code, cause, step)

    # --- the call itself --------------------------------------------------------------------------------------

    async def _hold(self, key: str | None) -> None:
        reason = ""
        try:
            if self._trace is not None:
                self._trace.close()
            self._trace = new_trace(self._config.sessions, self._upstream)
            self._line = Line(self._upstream, self, self._tools)
            await self._line.open(self._embedded, key, self._settings)
            self._update(
                state="connected", started_unix_ms=time.time_ns() // 1_000_000, session_file=str(self._trace.path)
            )
            await self._line.say(GREETING)
            reason = str(await self._line.ended())
        except asyncio.CancelledError:
            reason = self._why
        except TransportClosed as closed:
            reason = str(closed)
        except EngineError as problem:
            reason = "could not connect"
            self.notices.add("engine", f"{problem.engine}: {problem.reason}", problem.remedy)
        except (DuologueError, OSError) as problem:
            reason = "could not connect"
            again = getattr(problem, "retryable", False)
            step = "Try again." if again else "Check the server's address, model and key."
            self.notices.add("upstream", str(problem), step)
        except Exception:
            reason = "an error in the console"
            log.exception("the call ended by a defect")
        finally:
            await self._hang_up(reason)

    async def _hang_up(self, reason: str) -> None:
        self._ending = True
        self._chores.close()
        self._voice.close()
        try:
            if self._line is not None:
                await self._line.close()
        except Exception:
            log.exception("the line could not be closed")
        if self._trace is not None:
            self._trace.close()
        self._update(state="closed", reason=reason, recording=False, user_speaking=False, responding=False)

    def _connected(self) -> Line:
        if self._line is None or self._state.state != "connected":
            raise Refused("not-connected", "There is no call.", "Connect first.")
        return self._line

    # --- showing ----------------------------------------------------------------------------------------------

    def _update(self, **changes: Any) -> None:
        before, self._state = self._state, msgspec.structs.replace(self._state, **changes)
        if before.state != self._state.state:
            log.info("call %d: %s -> %s %s", self._state.number, before.state, self._state.state, self._state.reason)
        self.feed.show("call", self._state)

    def _items(self) -> list[ConversationItem]:
        return [] if self._line is None else self._line.items

    def _show_item(self, item_id: str) -> None:
        item = next((item for item in self._items() if item.id == item_id), None)
        if item is not None:
            self._put(item)

    def _put(self, item: ConversationItem) -> None:
        transcribed = self._effective is None or self._effective.transcription_model is not None
        self.feed.put_item(
            item_views.view(
                item,
                heard_ms=self._voice.heard_ms(item.id),
                received_ms=self._voice.received_ms(item.id),
                transcribed=transcribed,
            )
        )

    def _show_session(self) -> None:
        self.feed.show("session", SessionView(wanted=self._settings, effective=self._effective))

    def _show_upstream(self) -> None:
        self.feed.show("upstream", self._upstream.view(has_key=bool(self._config.key())))

    def _show_tools(self) -> None:
        self.feed.show("weather", self._tools.places)
        self.feed.show("memory", self._tools.memory)

    def _show_money(self) -> None:
        self.feed.show("money", self._purse.view())
