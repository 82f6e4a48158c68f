"""Which tools a sentence asks for. No tool is known by name: names, descriptions, choices and values decide."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from duologue.engines import places
from duologue.engines.scripted import values
from duologue.engines.scripted.fill import Filled, fill
from duologue.engines.scripted.schema import Slot, Tool
from duologue.engines.scripted.words import ACTION_VERBS, STOP_WORDS, related, stem, stems, tokens

_CLAUSES = re.compile(r"\s*(?:[,.;!?]\s+|\s)(?:and then|and also|and|then|also|plus)\s+|[.;!?]\s+|그리고\s+|\s+and\s+")
_FOLLOW_UP = re.compile(r"^\W*(?:and|what about|how about|or|also|then|what of|그럼|그러면)\b", re.IGNORECASE)
_KOREAN_FOLLOW_UP = re.compile(r"(?:은|는)(?:요)?\s*\??\s*$|어때")
_STORING = frozenset(map(stem, ("memory", "remember", "save", "store", "note", "record")))
_BARE_STEMS = frozenset(map(stem, STOP_WORDS)) - {"on", "off"}
THRESHOLD = 2.5


class Frame(Struct, frozen=True, kw_only=True):
    """One call of a tool that the user wants, as far as it is known."""

    tool: Tool
    filled: Filled

    @property
    def missing(self) -> tuple[Slot, ...]:
        return self.filled.missing


def score(tool: Tool, text: str) -> float:
    """How much `text` speaks for `tool`: 4 for the whole name, less for parts and for the description's words."""
    found = stems(text)
    have = set(found)
    wide = {other for one in have for other in related(one)}
    name = [one for one in tool.name_stems if one not in _BARE_STEMS] or list(tool.name_stems)
    exact = sum(one in have for one in name)
    near = sum(one in wide and one not in have for one in name)
    total = 4.0 * (exact + 0.8 * near) / max(1, len(name))
    content = have - _BARE_STEMS
    total += min(2.0, float(len(content & tool.description_stems)))
    total += 0.5 * sum(bool(content & slot.stems) for slot in tool.slots)
    if name and found[:1] == [name[0]]:
        total += 1.0
    if len(name) > 1 and tool.words[0] in ACTION_VERBS and stem(tool.words[0]) not in wide:
        total -= 1.0
    for slot in tool.slots:
        if slot.kind == "enum" and values.choices(text, slot.values):
            total += 1.5
    return total + _storing(tool, text)


def _storing(tool: Tool, text: str) -> float:
    """A tool that keeps a key and a value is meant by "my name is Anna" too, and not by a question."""
    if tool.key is None:
        return 0.0
    pair = values.pair(text, whole=True)
    keeps = not _STORING.isdisjoint({*tool.name_stems, *tool.description_stems})
    if pair is None:
        return -4.0 if values.asks(text) else 0.0
    return 3.0 if keeps or pair.explicit else 0.0


def best(text: str, tools: Sequence[Tool]) -> Tool | None:
    """The tool that the text asks for, None where it asks for none. Equal scores: the one whose slots it fills."""
    scored = [(score(tool, text), tool) for tool in tools]
    scored = [each for each in scored if each[0] >= THRESHOLD]
    if not scored:
        return None
    highest = max(points for points, _ in scored)
    close = [tool for points, tool in scored if points >= highest - 0.25]
    return close[0] if len(close) == 1 else max(close, key=lambda tool: _worth(tool, text))


def _worth(tool: Tool, text: str) -> float:
    filled = fill(tool, text)[0]
    return score(tool, text) + 0.5 * filled.evidence - 0.5 * len(filled.missing)


def understand(text: str, tools: Sequence[Tool]) -> list[Frame]:
    """The calls that `text` asks for, in its order; empty where it asks for none."""
    if not tools:
        return []
    frames: list[Frame] = []
    for clause in _merge(_split(text), tools):
        tool = best(clause, tools)
        if tool is not None:
            frames += [Frame(tool=tool, filled=filled) for filled in fill(tool, clause)]
    return frames


def _split(text: str) -> list[str]:
    parts, start = [], 0
    for match in _CLAUSES.finditer(text):
        parts.append(text[start : match.start()])
        start = match.end()
    return [part for part in (*parts, text[start:]) if part.strip()] or [text]


def _merge(clauses: list[str], tools: Sequence[Tool]) -> list[str]:
    """Joins clauses that name no tool themselves to the one before: "rock and roll" is one song."""
    merged: list[str] = []
    for clause in clauses:
        if not merged or (best(clause, tools) is not None and best(merged[-1], tools) is not None):
            merged.append(clause)
        else:
            merged[-1] = f"{merged[-1]} and {clause}"
    return merged


def follow_up(text: str, frames: Sequence[Frame]) -> list[Frame]:
    """The last call again with what `text` changes ("and in London?", "what about the kitchen?"), or nothing."""
    starts = _FOLLOW_UP.match(text) or _KOREAN_FOLLOW_UP.search(text) or _only_a_place(text)
    if not frames or not starts or len(tokens(text)) > 6:
        return []
    last = frames[-1]
    changed = []
    for filled in fill(last.tool, _FOLLOW_UP.sub("", text)):
        loose = {slot.name for slot in last.tool.slots if slot.kind in ("string", "array")}
        new = {name: value for name, value in filled.arguments.items() if name not in loose}
        if new and new != last.filled.arguments:
            arguments = last.filled.arguments | new
            missing = tuple(slot for slot in last.missing if slot.name not in arguments)
            changed.append(Frame(tool=last.tool, filled=Filled(arguments=arguments, missing=missing)))
    return changed


def _only_a_place(text: str) -> bool:
    found = places.find_spans(text)
    return len(found) == 1 and not any(char.isalnum() for char in text[: found[0].start] + text[found[0].end :])


def answer(text: str, pending: Sequence[Frame]) -> list[Frame] | None:
    """`pending` with its first missing slot filled from the user's answer; None where the text is no such answer."""
    at = next((index for index, frame in enumerate(pending) if frame.missing), None)
    if at is None:
        return None
    frame = pending[at]
    slot = frame.missing[0]
    filled = [
        Frame(tool=frame.tool, filled=_merged(frame, each))
        for each in fill(frame.tool, text, answer_to=slot)
        if slot.name in each.arguments
    ]
    return [*pending[:at], *filled, *pending[at + 1 :]] if filled else None


def _merged(frame: Frame, new: Filled) -> Filled:
    arguments = {**new.arguments, **frame.filled.arguments}
    ordered = {slot.name: arguments[slot.name] for slot in frame.tool.slots if slot.name in arguments}
    return Filled(arguments=ordered, missing=tuple(slot for slot in frame.missing if slot.name not in ordered))
