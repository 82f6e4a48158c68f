"""A session that lasts all day holds no more at the end than after its first hour: duologue.agents.director and
duologue.agents.tracing, at the speed of a machine."""

from __future__ import annotations

from typing import Any

from stagecraft import OUT, YES, call, created, directing, done, sound, whole, words

from duologue.agents import effects as do
from duologue.agents.agent import RealtimeAgent
from duologue.agents.calls import AT_ONCE, Decision, Outcome, ToolRules
from duologue.agents.director import Director
from duologue.agents.guardrails import GuardrailSettings
from duologue.agents.tracing import Tracing
from duologue.protocol import server_events as ev


def look() -> str:
    """Looks."""
    return "seen"


def held(thing: Any, seen: set[int]) -> int:
    """How many values an object holds in its containers, and those in theirs."""
    if id(thing) in seen or isinstance(thing, str | bytes | int | float | type) or thing is None or callable(thing):
        return 0
    seen.add(id(thing))
    if isinstance(thing, dict):
        return len(thing) + sum(held(each, seen) for each in thing.values())
    if isinstance(thing, list | tuple | set | frozenset) or hasattr(thing, "popleft"):
        return len(thing) + sum(held(each, seen) for each in thing)
    names = [*getattr(thing, "__dict__", {}), *(name for kind in type(thing).__mro__ for name in _slots(kind))]
    return sum(held(getattr(thing, name, None), seen) for name in names)


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


class Day:
    """Turns of every kind, one after the other."""

    def __init__(self) -> None:
        agent = RealtimeAgent("Ann", tools=[look], output_guardrails=[OUT])
        self.director: Director = directing(agent, GuardrailSettings(hold_audio=True), ToolRules(approval_timeout_s=9))
        self.trace = Tracing("t")
        self.turns = 0

    def turn(self) -> None:
        self.turns += 1
        number, director = self.turns, self.director
        response_id, item_id, call_id = f"r{number}", f"i{number}", f"c{number}"
        self.tell(director.server(ev.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id=f"u{number}")))
        self.tell(director.server(created(response_id)))
        director.hold(sound(response_id, item_id))
        effects = self.tell(director.server(words("word " * 30, response_id, item_id)))
        effects += self.tell(director.server(whole("word " * 31, response_id, item_id)))
        checks = [effect for effect in effects if isinstance(effect, do.CheckOutput)]
        self.call(response_id, call_id, number)
        if number % 7 == 0:
            self.looked(checks)
        self.tell(director.server(done(response_id, "cancelled" if number % 3 == 0 else "completed")))
        if number % 7:
            self.looked(checks)

    def looked(self, checks: list[do.CheckOutput]) -> None:
        for number, check in enumerate(checks):
            tripped = [(OUT, YES)] if (self.turns + number) % 5 == 0 else []
            self.tell(self.director.output_checked(check.check, tripped, check.cast))

    def call(self, response_id: str, call_id: str, number: int) -> None:
        director = self.director
        for effect in director.called(response_id, call("look" if number % 4 else "nothing", call_id)):
            if not isinstance(effect, do.Consider):
                continue
            asks = number % 2 == 0
            self.tell(director.considered(effect.call, effect.tool, Decision(kind="ask" if asks else "run")))
            if asks:
                self.tell(director.overdue(call_id))
            else:
                self.tell(director.tool_done(effect.call, Outcome(output="seen")))

    def tell(self, effects: list[do.Effect]) -> list[do.Effect]:
        for effect in effects:
            if isinstance(effect, do.Tell) and self.trace.wants(effect.event):
                self.trace.told(effect.event, self.turns)
        return effects

    def holds(self) -> int:
        seen: set[int] = set()
        return held(self.director, seen) + held(self.trace, seen)


def test_a_session_holds_no_more_after_a_day_than_after_an_hour() -> None:
    day = Day()
    for _ in range(1200):
        day.turn()
    after_an_hour = day.holds()
    for _ in range(1200):
        day.turn()
    # Two turns are not quite alike: what waits in the last of them differs.
    assert abs(day.holds() - after_an_hour) < AT_ONCE
    assert after_an_hour > 1000
