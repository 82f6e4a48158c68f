"""The whole decision: a request in, a plan out. Nothing here waits, reads a clock or remembers between calls."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from duologue.engines.base import LlmRequest
from duologue.engines.scripted import questions, smalltalk
from duologue.engines.scripted.fill import Filled, fill
from duologue.engines.scripted.match import Frame, answer, best, follow_up, score, understand
from duologue.engines.scripted.orders import Orders, is_korean, read_orders
from duologue.engines.scripted.results import speak
from duologue.engines.scripted.schema import Tool, fits, minimal, read_tool
from duologue.protocol.items import FunctionCall, FunctionCallOutput, Item, Message, text_of

_TURNS_REMEMBERED = 12
_MAX_TEXT = 1200


class Call(Struct, frozen=True, kw_only=True):
    """A tool call; `arguments` is JSON text."""

    name: str
    arguments: str


class Plan(Struct, frozen=True, kw_only=True):
    """What to answer: text, or calls, or both."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    needed: bool = False
    """Whether the text tells a tool's result or asks for what is missing: brevity must not cut it."""


class _Turn(Struct, frozen=True, kw_only=True):
    """What the user said and what was answered until the user spoke again."""

    user: str
    reply: str


class _Talk(Struct, frozen=True, kw_only=True):
    """A request, read."""

    request: LlmRequest
    tools: tuple[Tool, ...]
    orders: Orders
    turns: tuple[_Turn, ...]
    language: str
    now: datetime

    @property
    def said(self) -> str:
        return self.turns[-1].user if self.turns else ""


def respond(request: LlmRequest, now: datetime) -> Plan:
    """What the scripted responder does with `request` at the local time `now`. Never raises."""
    orders = read_orders(request.instructions)
    turns = _turns(request.items)
    talk = _Talk(
        request=request,
        tools=tuple(read_tool(tool) for tool in request.tools),
        orders=orders,
        turns=turns,
        language=_language(request, orders, turns),
        now=now,
    )
    plan = _decide(talk)
    return Plan(text=_obey(plan, orders), calls=plan.calls)


def _turns(items: Sequence[Item]) -> tuple[_Turn, ...]:
    turns: list[_Turn] = []
    for item in items:
        if not isinstance(item, Message):
            continue
        text = text_of(item)[:_MAX_TEXT].strip()
        if item.role == "user":
            turns.append(_Turn(user=text, reply=""))
        elif item.role == "assistant" and turns:
            turns[-1] = _Turn(user=turns[-1].user, reply=f"{turns[-1].reply} {text}".strip())
    return tuple(turns[-_TURNS_REMEMBERED:])


def _language(request: LlmRequest, orders: Orders, turns: Sequence[_Turn]) -> str:
    if orders.language:
        return orders.language
    said = next((turn.user for turn in reversed(turns) if turn.user), "")
    if said:
        return "ko" if is_korean(said) else "en"
    return "ko" if (request.language or "").lower().startswith("ko") or is_korean(request.instructions) else "en"


def _decide(talk: _Talk) -> Plan:
    choice = talk.request.tool_choice
    tail = _tail(talk.request.items)
    outputs = [item for item in tail if isinstance(item, FunctionCallOutput)]
    forced = choice == "required" or not isinstance(choice, str)
    if forced and not outputs and talk.tools:
        calls = _forced(talk, None if isinstance(choice, str) else getattr(choice, "name", None))
        if calls:
            return Plan(calls=calls)
    if talk.orders.always:
        return Plan(text=talk.orders.always)
    usable = talk.tools if choice != "none" else ()
    if outputs:
        return _report(talk, outputs, usable)
    last = tail[-1] if tail else None
    # An answer that was cut before anything of it was heard is none.
    if not (isinstance(last, Message) and talk.turns and not talk.turns[-1].reply):
        return Plan(text=_unasked(talk))
    if talk.orders.say:
        return Plan(text=talk.orders.say)
    return _answer(talk, usable)


def _tail(items: Sequence[Item]) -> list[Item]:
    """What came since the responder last spoke: the last message of the user or the outputs after it."""
    at = len(items)
    while at > 0 and not isinstance(items[at - 1], Message):
        at -= 1
    return list(items[max(0, at - 1) :])


def _unasked(talk: _Talk) -> str:
    """What to say when asked to speak though the user said nothing new."""
    if talk.orders.say or talk.orders.greeting or not talk.turns:
        return talk.orders.say or smalltalk.greeting(talk.orders, talk.language)
    return _previous(talk.turns) or smalltalk.fallback(talk.language)


def _previous(turns: Sequence[_Turn]) -> str:
    return next((turn.reply for turn in reversed(turns) if turn.reply), "")


def _answer(talk: _Talk, tools: Sequence[Tool]) -> Plan:
    said = talk.said
    if not any(char.isalnum() for char in said):
        return Plan(text=smalltalk.unheard(talk.language))
    frames, text = _frames(talk, tools)
    if frames:
        return _ask_or_call(talk, frames)
    return Plan(text=text or _talk_back(talk))


def _talk_back(talk: _Talk) -> str:
    if smalltalk.greets(talk.said):
        return smalltalk.greeting(talk.orders, talk.language)
    rest = smalltalk.without_greeting(talk.said)
    return smalltalk.information(
        rest,
        orders=talk.orders,
        tools=[tool.name for tool in talk.tools],
        history=[turn.user for turn in talk.turns[:-1]],
        now=talk.now,
        language=talk.language,
    ) or smalltalk.fallback(talk.language)


def _frames(talk: _Talk, tools: Sequence[Tool]) -> tuple[list[Frame], str]:
    """The calls that the last turn asks for, given all turns before; or what to say instead of any call."""
    pending: list[Frame] = []
    recent: list[Frame] = []
    frames: list[Frame] = []
    text = ""
    for index, turn in enumerate(talk.turns):
        frames, text = _understand_turn(turn.user, _previous(talk.turns[:index]), tools, pending, recent)
        recent = frames or recent
        question = _question(frames)
        asked = bool(turn.reply) and any(each in turn.reply or each.startswith(turn.reply) for each in question)
        pending = frames if asked else []
    return frames, text


def _understand_turn(
    user: str, previous: str, tools: Sequence[Tool], pending: Sequence[Frame], recent: Sequence[Frame]
) -> tuple[list[Frame], str]:
    language = "ko" if is_korean(user) else "en"
    said = smalltalk.without_greeting(user)
    if not said:
        return [], ""
    reply = smalltalk.control(said, previous, language)
    yes_or_no = bool(pending) and any(frame.missing and frame.missing[0].kind == "boolean" for frame in pending)
    if reply is not None and not yes_or_no:
        return [], reply
    if pending:
        fresh = best(said, tools)
        if (fresh is None or fresh.name in {frame.tool.name for frame in pending}) and (
            filled := answer(said, pending)
        ) is not None:
            return filled, ""
    return understand(said, tools) or follow_up(said, recent), ""


def _question(frames: Sequence[Frame]) -> list[str]:
    """The question that `frames` raise, in each language; empty where nothing is missing."""
    wanting = next((frame for frame in frames if frame.missing), None)
    if wanting is None:
        return []
    return [questions.ask(wanting.missing[0], language, wanting.tool) for language in ("en", "ko")]


def _ask_or_call(talk: _Talk, frames: Sequence[Frame]) -> Plan:
    ready = [_call(frame) for frame in frames if not frame.missing]
    left = _not_yet_made(talk, ready)
    if left:
        return Plan(calls=tuple(left if talk.request.parallel_tool_calls else left[:1]))
    return Plan(text=_ask(talk, frames) or smalltalk.fallback(talk.language), needed=True)


def _ask(talk: _Talk, frames: Sequence[Frame]) -> str:
    wanting = next((frame for frame in frames if frame.missing), None)
    return "" if wanting is None else questions.ask(wanting.missing[0], talk.language, wanting.tool)


def _call(frame: Frame) -> Call:
    return Call(name=frame.tool.name, arguments=json.dumps(frame.filled.arguments, ensure_ascii=False))


def _not_yet_made(talk: _Talk, calls: Sequence[Call]) -> list[Call]:
    """The calls that have not been made since the user spoke last."""
    made: list[tuple[str, Any]] = []
    for item in _since_user(talk.request.items):
        if isinstance(item, FunctionCall):
            made.append((item.name, _loads(item.arguments)))
    return [call for call in calls if (call.name, json.loads(call.arguments)) not in made]


def _since_user(items: Sequence[Item]) -> Sequence[Item]:
    at = next(
        (index for index in range(len(items) - 1, -1, -1) if (item := items[index]) and isinstance(item, Message)
         and item.role == "user"), -1,
    )  # fmt: skip
    return items[at + 1 :]


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _report(talk: _Talk, outputs: Sequence[FunctionCallOutput], tools: Sequence[Tool]) -> Plan:
    """Speaks what the tools answered, after making the calls that had to wait for one another."""
    frames, _ = _frames(talk, tools) if tools else ([], "")
    if frames and not talk.request.parallel_tool_calls:
        waiting = _not_yet_made(talk, [_call(frame) for frame in frames if not frame.missing])
        if waiting and _made_any(talk, frames):
            return Plan(calls=(waiting[0],))
        outputs = [item for item in _since_user(talk.request.items) if isinstance(item, FunctionCallOutput)] or outputs
    calls = {item.call_id: item for item in talk.request.items if isinstance(item, FunctionCall)}
    told = []
    for output in outputs:
        call = calls.get(output.call_id)
        told.append(
            speak(
                output.output[:50_000],
                tool=call.name if call is not None else "",
                arguments=call.arguments if call is not None else "",
                language=talk.language,
            )
        )
    told.append(_ask(talk, frames))
    return Plan(text=" ".join(each for each in told if each), needed=True)


def _made_any(talk: _Talk, frames: Sequence[Frame]) -> bool:
    ready = [_call(frame) for frame in frames if not frame.missing]
    return len(_not_yet_made(talk, ready)) < len(ready)


def _forced(talk: _Talk, name: str | None) -> tuple[Call, ...]:
    """The calls that `tool_choice` demands, with plain values where the words give none."""
    tools = [tool for tool in talk.tools if name is None or tool.name == name]
    if not tools:
        return ()
    frames, _ = _frames(talk, tools) if talk.said else ([], "")
    if not frames:
        tool = max(tools, key=lambda each: score(each, talk.said))
        frames = [Frame(tool=tool, filled=each) for each in fill(tool, talk.said)]
    calls = [_call(Frame(tool=frame.tool, filled=_completed(frame, talk.said))) for frame in frames]
    return tuple(calls if talk.request.parallel_tool_calls else calls[:1])


def _completed(frame: Frame, said: str) -> Filled:
    arguments = dict(frame.filled.arguments)
    for slot in frame.missing:
        value = minimal(slot.schema)
        free = value == "unknown" and slot.kind == "string" and said and fits(said, slot.schema)
        arguments[slot.name] = said if free else value
    return Filled(arguments=arguments)


def _obey(plan: Plan, orders: Orders) -> str:
    """The text as the instructions want it: brief, with the words that must be there."""
    text = plan.text
    if orders.always or not text:
        return text
    if orders.brief and not plan.needed:
        text = _first_sentence(text)
    for words in orders.mention:
        if words.lower() not in text.lower():
            text = f"{text} {words[0].upper()}{words[1:]}{'' if words[-1] in '.!?' else '.'}"
    if orders.prefix and not text.startswith(orders.prefix):
        text = f"{orders.prefix} {text}"
    if orders.suffix and not text.endswith(orders.suffix):
        text = f"{text} {orders.suffix}"
    return text


def _first_sentence(text: str) -> str:
    """The beginning up to the first sentence of more than two words."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    long = next((index for index, each in enumerate(sentences) if len(each.split()) > 2), len(sentences))
    return " ".join(sentences[: long + 1])
