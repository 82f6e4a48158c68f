"""The relay: who is let in, the calls that run, what they cost, and how all of it ends."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from duologue.clock import unix_s
from duologue.errors import ConfigError, ProtocolError
from duologue.ids import random_id
from duologue.protocol.codec import encode
from duologue.protocol.server_events import Error, ErrorDetails
from duologue.relay.call import TRY_LATER, Call, Report, Terms
from duologue.relay.callers import Knock, identify
from duologue.relay.commands import Allowance, Caller
from duologue.relay.dialects import Beta, Ga, speaks_beta
from duologue.relay.lines import NOWHERE, Ear, Line, Refusal, Request, Sender, Welcome, never
from duologue.relay.metrics import Metrics
from duologue.relay.redact import Recording, Redacted, Redaction
from duologue.relay.seats import Seats, check_room
from duologue.relay.setup import Setup
from duologue.relay.sockets import Socket, connect
from duologue.relay.spend import Ledger, Spending

PATHS = ("/", "/v1/realtime")
UPSTREAM_BYTES = 16 * 1024 * 1024
"""The longest message of an upstream."""
SWEEP_SECONDS = 10.0
"""Twice that without a sign of life, and a peer is asked for one; twice again, and it is cut off."""
FLUSH_SECONDS = 2.0
TOOL_THREADS = 16
RETRY_AFTER_S = "5"
SUBPROTOCOL = "realtime"
NO_KEY, REFUSED = 3000, 4000
DRAINED = 1001
_FORBIDDEN = ("host_not_allowed", "origin_not_allowed")
_log = logging.getLogger(__name__)
call_log = logging.getLogger("duologue.relay.calls")
"""One JSON object for each call. Never a key, and nothing that was said."""

Recorder = Callable[[str, Caller], Recording | None]
"""Where a call is to be recorded, by its id and its caller; None: nowhere."""


class Relay:
    """Holds the calls of one process. `running` has to be entered before calls come in."""

    def __init__(self, setup: Setup, *, recorder: Recorder | None = None) -> None:
        """Raises ConfigError where the ledger cannot be opened."""
        self.setup = setup
        self.metrics = Metrics()
        self.draining = False
        self.tools = ThreadPoolExecutor(TOOL_THREADS, thread_name_prefix="relay-tool")
        self.ledger = Ledger(setup.ledger)
        self.seats = Seats(self.ledger, random_id("relay"))
        self._recorder = recorder
        self._calls: set[Call] = set()
        self._sockets: set[Socket] = set()
        self._users: Counter[str] = Counter()
        self._chores: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._tls: ssl.SSLContext | None = None

    @property
    def calls(self) -> int:
        """How many calls run."""
        return len(self._calls)

    @property
    def lines(self) -> int:
        """How many fast sockets are open, of both sides."""
        return len(self._sockets)

    @property
    def most_bytes(self) -> int:
        """The longest message of a caller."""
        return self.setup.settings.limits.event_bytes

    def reload(self, setup: Setup) -> None:
        """Calls that begin from now on begin with this; those that run keep what they have.

        Raises ConfigError where what cannot change in a running relay has changed: its address and its ledger.
        """
        old, new = self.setup.settings, setup.settings
        if (old.listen, old.ledger) != (new.listen, new.ledger):
            raise ConfigError("[listen] and [ledger] cannot change while the relay runs. Start it anew.")
        self.setup = setup

    async def running(self) -> None:
        """Watch over the calls until cancelled; then end what still runs."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sweep(), name="relay-sweep")
                group.create_task(self._account(), name="relay-account")
        finally:
            for call in tuple(self._calls):
                call.end(DRAINED, "the relay is shutting down", "relay")
            for socket in tuple(self._sockets):
                socket.abort()
            for task in tuple(self._chores):
                task.cancel()
            self.tools.shutdown(wait=False, cancel_futures=True)
            self.seats.close()

    async def drain(self, grace_s: float) -> None:
        """Take no more calls; those that run have so long, then they are closed with 1001."""
        self.draining = True
        try:
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        except TimeoutError:
            for call in tuple(self._calls):
                call.end(DRAINED, "the relay is shutting down", "relay")
            try:
                async with asyncio.timeout(grace_s or 1):
                    await self._empty.wait()
            except TimeoutError:
                for socket in tuple(self._sockets):
                    socket.abort()

    def gate(self, request: Request) -> Refusal | Welcome:
        """Decide about a WebSocket. All but strange hosts, pages and paths are told in an event, as clients understand."""
        if request.path not in PATHS:
            return refusal(ProtocolError("There is nothing here.", code="not_found"), 404)
        if self.draining:
            self.metrics.refused("relay_shutting_down")
            error = ProtocolError("The relay is shutting down.", type="server_error", code="relay_shutting_down")
            return refusal(error, 503)
        offered = request.subprotocols
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
        beta = speaks_beta(request.headers.get("openai-beta", ""), offered)
        setup = self.setup
        try:
            knock = Knock(headers=request.headers, peer=request.peer, subprotocols=offered)
            caller = identify(knock, setup.settings.callers, setup.keys, unix_s())
        except ProtocolError as error:
            self.metrics.refused(error.code or "no_key")
            if error.code in _FORBIDDEN:
                return refusal(error, 403)
            return Welcome(subprotocol=subprotocol, meet=farewell(error, NO_KEY))
        try:
            check_room(setup.settings.limits, self.calls, self._users[caller.user])
            terms = self._terms(setup, caller, dict(parse_qsl(request.query)), beta)
        except ProtocolError as error:
            self.metrics.refused(error.code or error.type)
            code = TRY_LATER if error.type == "server_error" else REFUSED
            return Welcome(subprotocol=subprotocol, meet=farewell(error, code))
        return Welcome(subprotocol=subprotocol, meet=lambda line: self._begin(terms, line))

    async def take_seat(self, setup: Setup, caller: Caller, seat: str, *, begun: int = 0) -> None:
        """Raises ProtocolError where one more call would be too many, in all processes together.

        `begun`: 1 where this process counts the call already.
        """
        try:
            await self.seats.take(seat, caller.user, setup.settings.limits)
        except ProtocolError as error:
            self.metrics.refused(error.code or error.type)
            raise
        except sqlite3.Error as problem:
            # what this process knows of itself is held all the same
            _log.error("the ledger cannot be used: %s", problem)
            check_room(setup.settings.limits, self.calls - begun, self._users[caller.user] - begun)

    def leave_seat(self, seat: str) -> None:
        """The call that had it is over."""
        self.seats.leave(seat)
        self.chore(self.seats.give_back(), f"leave {seat}")

    def _terms(self, setup: Setup, caller: Caller, query: dict[str, str], beta: bool) -> Terms:
        settings = setup.settings
        if "call_id" in query:
            raise ProtocolError("Calls cannot be joined through this relay.", code="refused_by_policy", param="call_id")
        intent = query.get("intent", "")
        if intent and (intent != "transcription" or "transcription" not in settings.policy.session_types):
            raise ProtocolError("Sessions of this intent are not offered here.", code="invalid_value", param="intent")
        model = settings.upstream.model
        if "model" not in settings.policy.locked and query.get("model"):
            model = query["model"]
        return Terms(
            setup=setup,
            caller=caller,
            to_caller=Beta() if beta else Ga(),
            to_upstream=Beta() if settings.upstream.dialect == "beta" else Ga(),
            address=setup.address(model=model, intent=intent),
            first=first_event(caller),
        )

    def _begin(self, terms: Terms, line: Line) -> Ear:
        call = Call(terms, self)
        self.took(call)
        return self._watched(line, call.meet_caller(line))

    def took(self, call: Call) -> None:
        """A call has begun: from now on it counts, and is recorded where calls are."""
        terms, setup = call.terms, call.terms.setup
        sink = self._recorder(call.call_id, terms.caller) if self._recorder else None
        if sink is not None:
            redaction = Redaction(setup.settings.recording, setup.settings.policy.locked, setup.policy.secrets)
            call.terms = msgspec.structs.replace(terms, sink=Redacted(sink, redaction))
        self._calls.add(call)
        self._users[call.terms.caller.user] += 1
        self._empty.clear()
        self.metrics.began()

    def chore(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do something that a call's end leaves behind."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _watched(self, line: Line, ear: Ear) -> Ear:
        if isinstance(line, Socket):
            self._sockets.add(line)
            line.on_over = self._sockets.discard
        return ear

    async def enter(self, call: Call) -> None:
        """As in `Desk`."""
        if call.terms.seat is None:
            await self.take_seat(call.terms.setup, call.terms.caller, call.call_id, begun=1)

    async def allowance(self, setup: Setup, user: str) -> Allowance:
        """As in `Desk`."""
        limits = setup.settings.limits
        if limits.tokens_per_user_day is None and limits.usd_per_user_day is None:
            return Allowance()
        spent = await self.ledger.today(user)
        tokens = None if limits.tokens_per_user_day is None else limits.tokens_per_user_day - spent.tokens
        usd = None if limits.usd_per_user_day is None else limits.usd_per_user_day - spent.usd
        return Allowance(tokens=tokens, usd=usd)

    async def connect(self, setup: Setup, address: str, meet: Callable[[Line], Ear]) -> object:
        """As in `Desk`."""
        if address.startswith("wss:") and self._tls is None:
            self._tls = await asyncio.get_running_loop().run_in_executor(None, ssl.create_default_context)
        tls = self._tls if address.startswith("wss:") else None

        def met(line: Line) -> Ear:
            return self._watched(line, meet(line))

        return await connect(address, setup.headers, met, most_bytes=UPSTREAM_BYTES, tls=tls)

    def spent(self, call: Call, spending: Spending) -> None:
        """As in `Desk`."""
        self.metrics.spent(spending)
        self.ledger.add(call.terms.caller.user, spending)

    def over(self, call: Call, report: Report) -> None:
        """As in `Desk`."""
        self._calls.discard(call)
        self._users[report.user] -= 1
        if self._users[report.user] <= 0:
            del self._users[report.user]
        if not self._calls:
            self._empty.set()
        self.leave_seat(call.terms.seat or call.call_id)
        self.metrics.over(report)
        call_log.info("%s", msgspec.json.encode(report).decode())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for socket in tuple(self._sockets):
                socket.sweep()

    async def _account(self) -> None:
        """Write what was spent, and tell the other calls of those users what is left."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.seats.alive()
                await self.ledger.flush()
                for call in tuple(self._calls):
                    # another process may have spent on the user's account as well
                    call.allow(await self.allowance(call.terms.setup, call.terms.caller.user))
            except sqlite3.Error as problem:
                _log.error("the ledger cannot be used: %s", problem)


class _Deaf:
    """Listens to a line on which everything has been said."""

    def __init__(self) -> None:
        self.passes: Callable[[bytes, float], bool] = never
        """As in `Ear`."""
        self.onto: Sender = NOWHERE
        self.passed = 0

    def heard(self, frame: bytes) -> None:
        """As in `Ear`."""

    def heard_binary(self) -> None:
        """As in `Ear`."""

    def full(self) -> None:
        """As in `Ear`."""

    def room(self) -> None:
        """As in `Ear`."""

    def ended(self, code: int, reason: str) -> None:
        """As in `Ear`."""


def farewell(error: ProtocolError, code: int) -> Callable[[Line], Ear]:
    """Says why in an event, then closes: SDKs show events, and rarely the body of a refused handshake."""

    def meet(line: Line) -> Ear:
        details = ErrorDetails(type=error.type, code=error.code, message=error.message, param=error.param)
        line.send(encode(Error(event_id=random_id("event"), error=details)))
        line.close(code, ".".join(filter(None, (error.type, error.code))))
        return _Deaf()

    return meet


def refusal(error: ProtocolError, status: int) -> Refusal:
    """An error as HTTP says it. 503 says when to come back."""
    details = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    headers = {"Content-Type": "application/json"}
    if status == 503:
        headers["Retry-After"] = RETRY_AFTER_S
    return Refusal(status=status, body=msgspec.json.encode({"error": details}), headers=headers)


def first_event(caller: Caller) -> bytes | None:
    """The session that a client secret carries, as an event of the caller's: judged like every other one."""
    session = caller.claims.get("session") if caller.how == "secret" else None
    return None if session is None else msgspec.json.encode({"type": "session.update", "session": session})
