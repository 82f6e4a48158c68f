"""One call: the caller's line, the upstream's line, the judge between them, and whatever has to end with it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Protocol, assert_never

import msgspec
from msgspec import Struct

from duologue.access.redaction import redacted
from duologue.clock import monotonic_ms
from duologue.dialogue.tools import error_text
from duologue.errors import ConnectFailed, ProtocolError
from duologue.ids import random_id
from duologue.protocol.codec import encode
from duologue.protocol.responses import DurationUsage
from duologue.protocol.server_events import Error, ErrorDetails
from duologue.relay.commands import Allowance, Caller, CloseCall, Command, Party, RunTool, Spent, ToCaller, ToUpstream
from duologue.relay.dialects import Ga
from duologue.relay.ears import CallerEar, UpstreamEar
from duologue.relay.lines import VANISHED, Ear, Line
from duologue.relay.policy import Judge
from duologue.relay.redact import Recording
from duologue.relay.setup import Setup
from duologue.relay.spend import Spending
from duologue.relay.tools import run_tool

EARLY_BYTES = 256 * 1024
"""What a caller may send before the upstream is open; then it is not read from any more."""
FRAME_BYTES = 64
"""What keeping a frame costs beside its bytes: nobody is to be kept busy with a million of nothing."""
LOOK_SECONDS = 0.5
"""How often the system is asked whether a caller that is not read from is still there."""
BILL_SECONDS = 3.0
"""How long an upstream may take to say what a response cost that was cut short."""
SLOW_SECONDS = 20.0
"""How long a side may read nothing while the other one is made to wait."""
CANCEL = b'{"type":"response.cancel"}'
NORMAL, GOING_AWAY, FAULT, TRY_LATER = 1000, 1001, 1011, 1013
SLOW = 1008
REFUSED_KEY = 3000
REFUSED = 4000
_log = logging.getLogger(__name__)


class Terms(Struct, frozen=True, kw_only=True):
    """What a call begins with. `first`: a caller's event to judge before all that it sends; `judge`: who judges."""

    setup: Setup
    caller: Caller
    to_caller: Ga
    to_upstream: Ga
    address: str
    first: bytes | None = None
    seat: str | None = None
    """The seat that was taken for this call before it began; None where it takes its own."""
    sink: Recording | None = None
    judge: type[Judge] = Judge


class Report(Struct, frozen=True, kw_only=True):
    """How a call went, for the log and the meters. Holds no secrets and nothing that was said."""

    call: str
    user: str
    how: str
    seconds: float
    from_caller: int
    from_upstream: int
    tokens: int
    usd: float
    code: int
    reason: str
    by: Party
    detail: str = ""


class Desk(Protocol):
    """What a call needs of the relay."""

    @property
    def tools(self) -> Executor:
        """Where tools run that do not await."""

    async def enter(self, call: Call) -> None:
        """Take a seat, which `over` gives back. Raises ProtocolError where there is none."""

    async def allowance(self, setup: Setup, user: str) -> Allowance:
        """What the user may still spend today."""

    async def connect(self, setup: Setup, address: str, meet: Callable[[Line], Ear]) -> object:
        """Open the upstream's line. Raises ConnectFailed."""

    def spent(self, call: Call, spending: Spending) -> None:
        """The call has cost something."""

    def over(self, call: Call, report: Report) -> None:
        """The call has ended, and nothing of it is left."""


class Call:
    """Runs from the caller's handshake until both lines have ended and all of its tasks are done."""

    def __init__(self, terms: Terms, desk: Desk) -> None:
        self.call_id = random_id("rtc")
        self.terms = terms
        self.judge: Judge | None = None
        self.caller: Line | None = None
        self.upstream: Line | None = None
        self.from_caller = self.from_upstream = 0
        self.spending = Spending()
        self._desk = desk
        self._begun_ms = monotonic_ms()
        self._end: CloseCall | None = None
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._early_full = False
        self._before: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake: asyncio.TimerHandle | None = None
        self._wake_ms = 0
        self._slow: dict[Party, asyncio.TimerHandle] = {}
        self._bill: asyncio.TimerHandle | None = None
        self._goodbye = (NORMAL, "")
        self._over = False

    @property
    def plain(self) -> bool:
        """True where audio may be handed on as it came: both ends speak GA and nobody records."""
        terms = self.terms
        return terms.to_caller.plain and terms.to_upstream.plain and terms.sink is None

    def meet_caller(self, line: Line) -> Ear:
        """The caller's line is open: the call begins."""
        self.caller = line
        self._own(self._open(), "open")
        return CallerEar(self)

    def meet_upstream(self, line: Line) -> Ear:
        """The upstream's line is open: what waited for it goes out, in order."""
        self.upstream = line
        if self._end is not None:
            line.close(NORMAL)
            return UpstreamEar(self)
        if self.caller is not None:
            self.caller.resume()
        before, self._before = self._before, []
        for frame in before:
            self._send_upstream(frame)
        early, self._early = self._early, []
        for frame in early:
            self.judge_caller(frame)
        return UpstreamEar(self)

    def judge_caller(self, frame: bytes) -> None:
        """A frame of the caller that did not pass as it was."""
        judge = self.judge
        if self._end is not None:
            return
        if judge is None or self.upstream is None:
            self._keep(frame)
            return
        self.from_caller += 1
        now_ms = monotonic_ms()
        with suppress(ProtocolError):  # the judge refuses it as well, and counts that
            frame = self.terms.to_caller.from_caller(frame)
        if judge.caller_passes(frame, now_ms):
            self._send_upstream(frame)
        else:
            self._do(judge.from_caller(frame, now_ms))

    def judge_upstream(self, frame: bytes) -> None:
        """A frame of the upstream that did not pass as it was."""
        judge = self.judge
        if self._end is not None or judge is None:
            self._settle_bill(frame)
            return
        self.from_upstream += 1
        now_ms = monotonic_ms()
        for each in self.terms.to_upstream.from_upstream(frame):
            if judge.upstream_passes(each, now_ms):
                self._send_caller(each)
            else:
                self._do(judge.from_upstream(each, now_ms))

    def record(self, by_caller: bool, frame: bytes) -> None:
        """Show the sink what was on the caller's line."""
        sink = self.terms.sink
        if sink is None:
            return
        try:
            sink.record("sent" if by_caller else "received", frame, monotonic_ms())
        except OSError as problem:
            # a full disk is no reason to end a call
            _log.error("call %s is not recorded any more: %s", self.call_id, problem)
            self.terms = msgspec.structs.replace(self.terms, sink=None)
            sink.close()

    def allow(self, allowance: Allowance) -> None:
        """The user's allowance has been counted anew."""
        if self.judge is not None and self._end is None:
            self._do(self.judge.allow(allowance, monotonic_ms()))

    def full(self, slow: Party, other: Line | None) -> None:
        """One side does not read: the other one is to feel it, and after a while this one has to go."""
        if other is not None:
            other.pause()
        if slow not in self._slow:
            loop = asyncio.get_running_loop()
            self._slow[slow] = loop.call_later(SLOW_SECONDS, self.end, SLOW, f"the {slow} reads too slowly", slow)

    def room(self, slow: Party, other: Line | None) -> None:
        """It reads again."""
        if (timer := self._slow.pop(slow, None)) is not None:
            timer.cancel()
        if other is not None:
            other.resume()

    def end(self, code: int, reason: str, by: Party, detail: str = "") -> None:
        """Close both lines; the caller gets `code`. The first end counts."""
        if self._end is not None:
            return
        self._end = CloseCall(code, reason, by, detail)
        self._early.clear()
        for timer in (self._wake, *self._slow.values()):
            if timer is not None:
                timer.cancel()
        self._slow.clear()
        for task in self._tasks:
            task.cancel()
        if self.caller is not None:
            self.caller.close(code, reason)
        if self.upstream is not None:
            passed_on = by == "caller" and code not in (VANISHED, SLOW)
            self._goodbye = (code, reason) if passed_on else self._goodbye
            if by == "upstream" or self.judge is None or not self.judge.owes:
                self.upstream.close(*self._goodbye)
            else:
                self._ask_for_bill(self.upstream)
        self._settle()

    def _ask_for_bill(self, upstream: Line) -> None:
        """Hanging up in the middle of a response must not be a way to talk for nothing: hear first what it cost."""
        upstream.resume()
        upstream.send(self.terms.to_upstream.to_upstream(CANCEL))
        self._bill = asyncio.get_running_loop().call_later(BILL_SECONDS, upstream.close, *self._goodbye)

    def _settle_bill(self, frame: bytes) -> None:
        if self._bill is None or self.judge is None or self.upstream is None:
            return
        for each in self.terms.to_upstream.from_upstream(frame):
            self._do(self.judge.settle(each))
        if not self.judge.owes:
            self._bill.cancel()
            self.upstream.close(*self._goodbye)

    def caller_gone(self, code: int, reason: str) -> None:
        """The caller's line has ended."""
        self.caller = None
        if code == VANISHED:
            self.end(GOING_AWAY, "the caller is gone", "caller", "vanished")
        self.end(code, reason, "caller")
        self._settle()

    def upstream_gone(self, code: int, reason: str) -> None:
        """The upstream's line has ended."""
        self.upstream = None
        if self._bill is not None:
            self._bill.cancel()
        if code == VANISHED:
            self.end(FAULT, "the upstream is gone", "upstream", "vanished")
        self.end(code, reason, "upstream")
        self._settle()

    def refuse(self, error: ProtocolError) -> None:
        """Tell the caller in an event."""
        details = ErrorDetails(type=error.type, code=error.code, message=error.message, param=error.param)
        self._send_caller(encode(Error(event_id=random_id("event"), error=details)))

    async def _open(self) -> None:
        setup, caller = self.terms.setup, self.terms.caller
        try:
            await self._desk.enter(self)
        except ProtocolError as problem:
            self.refuse(problem)
            self.end(TRY_LATER, f"{problem.type}.{problem.code}", "relay")
            return
        try:
            allowance = await self._desk.allowance(setup, caller.user)
            self.judge = self.terms.judge(setup.policy, caller, allowance, random_id)
            self._do(self.judge.begin(monotonic_ms(), self.terms.first))
            if self._end is None:
                await self._desk.connect(setup, self.terms.address, self.meet_upstream)
        except ConnectFailed as problem:
            self._not_connected(problem)
        except (sqlite3.Error, ValueError) as problem:
            _log.error("a call could not begin: %s", redacted(str(problem)))
            self.refuse(ProtocolError("The call could not begin.", type="server_error", code="server_error"))
            self.end(FAULT, "server_error", "relay", redacted(str(problem)))

    def _not_connected(self, problem: ConnectFailed) -> None:
        """The caller is told what the upstream answered; whatever looks like a key is taken out."""
        body = problem.body
        if self.terms.setup.upstream_key:
            body = body.replace(self.terms.setup.upstream_key, "[redacted]")
        answer = redacted(body).strip()
        detail = f"HTTP {problem.status}" if problem.status else redacted(problem.reason)
        if problem.status is None:
            error = ProtocolError("The upstream cannot be reached.", type="server_error", code="upstream_unreachable")
            code = TRY_LATER
        else:
            said = f"The upstream refused the call with HTTP status {problem.status}" + (
                f": {answer}" if answer else "."
            )
            error = ProtocolError(said, code="upstream_refused")
            code = REFUSED_KEY if problem.status in (401, 403) else TRY_LATER if problem.retryable else REFUSED
        self.refuse(error)
        self.end(code, f"{error.type}.{error.code}", "upstream", detail)

    def _keep(self, frame: bytes) -> None:
        """The upstream is not open yet."""
        self._early.append(frame)
        self._early_bytes += len(frame) + FRAME_BYTES
        if self._early_bytes > EARLY_BYTES and self.caller is not None and not self._early_full:
            self._early_full = True
            self.caller.pause()
            self._own(self._look_after_paused(), "paused")

    async def _look_after_paused(self) -> None:
        """Who is not read from cannot be heard leaving."""
        while self.upstream is None and self.caller is not None:
            if self.caller.gone:
                self.end(GOING_AWAY, "the caller is gone", "caller", "vanished")
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _do(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case ToUpstream(frame):
                    self._send_upstream(frame)
                case ToCaller(frame):
                    self._send_caller(frame)
                case Spent(usage, usd):
                    tokens = 0 if isinstance(usage, DurationUsage) else max(usage.total_tokens, 0)
                    cost = Spending(tokens, usd or 0.0)
                    self.spending += cost
                    self._desk.spent(self, cost)
                case RunTool(call_id, name, arguments):
                    self._own(self._run_tool(call_id, name, arguments), f"tool {name}")
                case CloseCall(code, reason, who, detail):
                    self.end(code, reason, who, detail)
                case _:
                    assert_never(command)
        self._arm()

    def _send_upstream(self, frame: bytes) -> None:
        if self.upstream is None:
            self._before.append(frame)
        else:
            self.upstream.send(self.terms.to_upstream.to_upstream(frame))

    def _send_caller(self, frame: bytes) -> None:
        if self.caller is None:
            return
        for each in self.terms.to_caller.to_caller(frame):
            self.record(False, each)
            self.caller.send(each)

    def _arm(self) -> None:
        """Wake the judge in time. Its time mostly moves away, so the timer finds out when it fires."""
        judge = self.judge
        if judge is None or self._end is not None or (at_ms := judge.wake_at_ms) is None:
            return
        if self._wake is not None:
            if at_ms >= self._wake_ms:
                return
            self._wake.cancel()
        self._wake_ms = at_ms
        delay_s = max(at_ms - monotonic_ms(), 0) / 1000
        self._wake = asyncio.get_running_loop().call_later(delay_s, self._woken)

    def _woken(self) -> None:
        self._wake = None
        if self.judge is not None:
            self._do(self.judge.wake(monotonic_ms()))

    async def _run_tool(self, call_id: str, name: str, arguments: str) -> None:
        tool = self.terms.setup.tools.get(name)
        if tool is None:
            output = error_text(f"there is no tool {name}")
        else:
            output = await run_tool(tool, arguments, self._desk.tools)
        if self.judge is not None:
            self._do(self.judge.tool_done(call_id, output, monotonic_ms()))

    def _own(self, work: Awaitable[None], name: str) -> None:
        async def watched() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except Exception:
                _log.exception("a call's task failed: %s", name)
                self.end(FAULT, "internal error", "relay", f"task failed: {name}")

        task = asyncio.get_running_loop().create_task(watched(), name=f"{self.call_id} {name}")
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._settle()

    def _settle(self) -> None:
        """Once everything has ended, say so."""
        end = self._end
        if end is None or self._over or self.caller is not None or self.upstream is not None or self._tasks:
            return
        self._over = True
        terms = self.terms
        self.judge = None
        if terms.sink is not None:
            terms.sink.close()
        report = Report(
            call=self.call_id, user=terms.caller.user, how=terms.caller.how,
            seconds=round((monotonic_ms() - self._begun_ms) / 1000, 3),
            from_caller=self.from_caller, from_upstream=self.from_upstream,
            tokens=self.spending.tokens, usd=round(self.spending.usd, 6),
            code=end.code, reason=redacted(end.reason), by=end.who, detail=redacted(end.detail),
        )  # fmt: skip
        self._desk.over(self, report)
