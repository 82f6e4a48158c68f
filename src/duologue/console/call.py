"""The console's shell: one conversation at a time, in which the user talks and hears and everything shows in the feed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from duologue.client.items import ConversationItem
from duologue.console import frames, sound
from duologue.console import items as item_views
from duologue.console import settings as session_settings
from duologue.console.chores import Chores
from duologue.console.config import CallConfig
from duologue.console.embedded import Embedded
from duologue.console.endings import Ending, of_closing, of_failure, of_trouble
from duologue.console.feed import Feed
from duologue.console.hub import Hub, Speaker
from duologue.console.line import Line, is_farewell
from duologue.console.notices import Notices
from duologue.console.pane import Pane
from duologue.console.panel import Panel
from duologue.console.purse import Purse
from duologue.console.recording import Recording
from duologue.console.refusal import Refused
from duologue.console.tools import ConsoleTools
from duologue.console.upstream import Upstream
from duologue.console.views import By, CallView, Settings
from duologue.console.voice import Voice
from duologue.dialogue.playback import Truncation
from duologue.errors import DuologueError, NotConnected, TransportClosed
from duologue.ids import random_id
from duologue.protocol.responses import Response

log = logging.getLogger(__name__)

GREETING = "Hello!"
AWAY_SECONDS = 30.0
"""A call whose page is gone ends after this long: nobody hears it, and it may cost money."""
VACANT_SECONDS = 1.2
"""A reloading page is back by then; after it the microphone is free for another tab."""
FAREWELL_SECONDS = 20.0


class Call:
    """The conversation of this process, and the one place that changes its state."""

    def __init__(self, config: CallConfig, hub: Hub, embedded: Embedded) -> None:
        self._config = config
        self._hub = hub
        self._embedded = embedded
        self.feed = Feed(random_id("feed"), hub.touch)
        self.notices = Notices(self.feed)
        self._upstream = config.upstream
        self._panel = Panel(self.feed)
        self._state = CallView()
        self._tools = ConsoleTools(self._show_tools, weather_url=config.weather_url)
        self._purse = Purse()
        self._voice = Voice(self._truncate)
        self._pane = Pane(self.feed, self._panel, self._voice)
        self._line: Line | None = None
        self._recording = Recording(config.sessions, self._unrecorded)
        self._task: asyncio.Task[None] | None = None
        self._why = ("", "")
        self._ending = False
        self._chores = Chores()
        self._turn_bytes = 0
        self.feed.show("call", self._state)
        self._show_upstream()
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
                await self.disconnect("stopped", "the console was stopped")

    def frame(self, number: int) -> bytes:
        """Event `number` as it was on the wire. Raises Refused if it is gone."""
        known = 0 <= number < len(self.feed.events)
        frame = self._recording.frame_at(self.feed.events[number].trace_offset) if known else b""
        if not frame:
            raise Refused("gone", "This event is not there any more.", "")
        return frame

    def item_sound(self, item_id: str) -> bytes:
        """All sound of an item as PCM16 at 24 kHz, of either side; of the model also what was cut."""
        return self._pane.sound(item_id, self._recording)

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
        self._panel.forget()
        self._voice = Voice(self._truncate)
        self._pane = Pane(self.feed, self._panel, self._voice)
        self._purse = Purse(self._purse.budget_usd, local=self._upstream.local)
        self._show_money()
        self._ending, self._why = False, ("", "")
        number = self._state.number + 1
        self._state = CallView(state="connecting", number=number, owner=viewer, mode=self._state.mode)
        self._update()
        self._task = asyncio.create_task(self._hold(key), name="console-call")
        self.viewer_left(viewer)  # it may have closed before its wish was read

    async def disconnect(self, code: str = "", reason: str = "") -> None:
        """End the call; log, conversation and sound stay. Does nothing without a call. `code` names the reason."""
        if self._task is None or self._task.done():
            return
        if not self._ending:  # A second cancellation would cut the hanging up short.
            self._ending, self._why = True, (code, reason)
            self._task.cancel()
        await asyncio.wait([self._task])
        if self._state.state == "connecting":  # cancelled before its first step
            self._update(state="closed", reason=reason, reason_code=code)

    async def take(self, viewer: str) -> None:
        """The tab `viewer` takes microphone and loudspeaker over from whichever has them."""
        if not self._hub.present(viewer):
            raise Refused("unknown-tab", "This tab is not connected to the console.", "Load the page again.")
        self._chores.cancel("away")
        self._chores.cancel("vacant")
        old, self._voice.speaker = self._voice.speaker, None
        self._update(owner=viewer, vacant=False, recording=False)
        if old is not None:
            await old.dismiss()

    async def say(self, text: str) -> None:
        """A typed message; what is being said stops."""
        line = self._connected()
        await self._interrupt(line)
        await line.say(text)

    async def change_session(self, changes: dict[str, Any]) -> None:
        """Change settings now and for later calls. Raises ValueError for settings that do not exist."""
        before = self._panel.mode
        fields = self._panel.change(changes)
        mode = self._panel.mode
        self._update(mode=mode, recording=self._state.recording and mode == "manual")
        self._settle_refusals()
        if self._line is None or self._state.state != "connected" or not fields:
            return
        if mode == "manual" and before == "vad":
            await self._line.clear_input()
            self._update(user_speaking=False)
        await self._line.update(session_settings.to_session(self._panel.wanted, only=fields))

    def set_upstream(self, upstream: Upstream) -> None:
        """Who answers the next call."""
        if self._state.state in ("connecting", "connected"):
            raise Refused("in-call", "A call is under way.", "Disconnect first.")
        self._upstream = self._upstream.changed_to(upstream)
        self.notices.solved("upstream", "upstream-again", "engine", self._state.reason_code)
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
            self._chores.after("vacant", VACANT_SECONDS, lambda: self._vacate(name))

    def viewer_came(self, name: str) -> None:
        """A tab follows the feed; its owner's name gives it the microphone back."""
        if name == self.owner:
            self._chores.cancel("away")
            self._chores.cancel("vacant")
            self._update(vacant=False)

    async def _vacate(self, name: str) -> None:
        if name == self.owner and not self._hub.present(name):
            self._update(vacant=True)

    async def _end_if_alone(self, name: str) -> None:
        if name == self.owner and not self._hub.present(name):
            await self.disconnect("page-closed", "its page was closed")

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
                    self._pane.heard(item_id)
            case sound.Played(samples, request):
                self._voice.settle(samples, request or 0)

    async def _press(self, line: Line) -> None:
        if self._state.mode != "manual" or self._state.recording:
            return
        self._turn_bytes = 0
        self._update(recording=True)
        await self._interrupt(line)

    async def _release(self, line: Line) -> None:
        if not self._state.recording:
            return
        self._update(recording=False)
        if self._turn_bytes < sound.MIN_TURN_BYTES:
            await line.clear_input()
        else:
            await line.answer()

    async def _interrupt(self, line: Line) -> None:
        """The user has the word: what is being said stops, what is being made is cancelled."""
        self._voice.stop()
        if self._state.responding:
            await line.cancel()

    def _truncate(self, cuts: list[Truncation]) -> None:
        line = self._line
        if line is None or self._state.state != "connected":
            return

        async def tell() -> None:
            for cut in cuts:
                await line.truncate(cut)

        self._recording.note("heard", [msgspec.to_builtins(cut) for cut in cuts])
        self._chores.do(tell(), "truncate")

    # --- what the line tells ----------------------------------------------------------------------------------

    def frame_passed(self, by: By, frame: bytes | str, now_ms: int) -> None:
        """Record and show one frame."""
        offset, t_ms = self._recording.frame(by, frame, now_ms), self._recording.since_begin(now_ms)
        self.feed.record(frames.summarise(frame, by=by, t_ms=t_ms, trace_offset=offset))

    def _unrecorded(self, problem: OSError) -> None:
        step = "The call goes on without. See that there is room, and that --sessions names a folder to write to."
        self.notices.add("recording", f"The session file cannot be written: {problem.strerror}", step)

    def session_in_force(self, effective: Settings) -> None:
        """The server has told its settings."""
        self._panel.take(effective)
        self._settle_refusals()

    def setting_refused(self, field: str, why: str) -> None:
        """The server does not take a setting: told beside its field, and where the panel is not in sight too."""
        self._panel.refuse(field, why)
        self.notices.add("setting", why, "The field in the session panel says more.")

    def _settle_refusals(self) -> None:
        if not self._panel.refused:
            self.notices.solved("setting")

    def transcribed(self) -> None:
        """The recognizer works."""
        self.notices.solved(*item_views.PROBLEMS.values(), "transcription")

    def item_changed(self, item: ConversationItem) -> None:
        """The item is new, or different now."""
        self._pane.put(item)

    def items_moved(self) -> None:
        """Items came, went or changed places."""
        self._pane.moved()

    def spoken(self, part: sound.PartKey, pcm: bytes) -> None:
        """Sound of the model."""
        self._voice.say(part, pcm)

    def spoken_all(self, part: sound.PartKey) -> None:
        """No more sound of this part."""
        self._voice.said_all(part)

    def user_speaks(self, speaking: bool) -> None:
        """The server's voice detection has heard the user begin or stop."""
        self._update(user_speaking=speaking)
        if speaking and self._panel.interrupts:
            self._voice.stop()

    def responding(self, active: bool) -> None:
        """The model begins or has finished an answer."""
        self._update(responding=active)

    def paid(self, response: Response) -> None:
        """A response is done: its usage goes on the bill; a spent budget ends the call with a goodbye."""
        self._purse.add(response, self._upstream.priced_model)
        if response.status == "completed":
            self.notices.solved("response")
        self._show_money()
        if self._chores.due("farewell"):
            if is_farewell(response):  # other answers may be over before it
                seconds = self._voice.pending_ms / 1000 + 0.5
                self._chores.after("farewell", seconds, self._end_of_money)
        elif self._purse.exhausted and self._line is not None:
            self.notices.add("budget", "The budget is spent; the call ends.", "Raise it and connect again.")
            self._chores.after("farewell", FAREWELL_SECONDS, self._end_of_money)
            self._chores.do(self._line.farewell(), "farewell")

    async def _end_of_money(self) -> None:
        await self.disconnect("budget", "the budget is spent")

    def failed(self, code: str, cause: str) -> None:
        """The server had a problem that the user should know of."""
        self.notices.add(code, cause, "")

    # --- the call itself --------------------------------------------------------------------------------------

    async def _hold(self, key: str | None) -> None:
        reason = ("", "")
        try:
            self._recording.begin(self._upstream)
            self._line = self._pane.line = Line(self._upstream, self, self._tools)
            await self._line.open(self._embedded, key, self._panel.wanted)
            started = time.time_ns() // 1_000_000
            self._update(state="connected", started_unix_ms=started, session_file=self._recording.path)
            await self._line.say(GREETING)
            reason = self._ended(of_closing(await self._line.ended()))
        except asyncio.CancelledError:
            reason = self._why
        except TransportClosed as closed:
            reason = self._ended(of_closing(closed))
        except (DuologueError, OSError) as problem:
            if self._state.state == "connected":
                reason = self._ended(of_trouble(problem))
            else:
                reason = ("no-connection", "could not connect")
                why = of_failure(problem)
                self.notices.add(why.code, why.cause, why.step)
        except Exception:
            reason = ("defect", "an error in the console")
            log.exception("the call ended by a defect")
        finally:
            await self._hang_up(reason)

    def _ended(self, why: Ending) -> tuple[str, str]:
        """The call was cut off: say so with the next step."""
        self.notices.add(why.code, why.told, why.step)
        return why.code, why.cause

    async def _hang_up(self, reason: tuple[str, str]) -> None:
        self._ending = True
        self._chores.close()
        self._voice.close()
        try:
            if self._line is not None:
                await self._line.close()
        except Exception:
            log.exception("the line could not be closed")
        self._recording.close()
        code, words = reason
        self._update(
            state="closed", reason=words, reason_code=code, recording=False, user_speaking=False, responding=False
        )
        self._pane.close()

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

    def _show_upstream(self) -> None:
        self.feed.show("upstream", self._upstream.view(has_key=bool(self._config.key())))

    def _show_tools(self) -> None:
        self.feed.show("weather", self._tools.places)
        self.feed.show("memory", self._tools.memory)

    def _show_money(self) -> None:
        self.feed.show("money", self._purse.view())
