"""Filling a tool's slots from a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET, Struct

from duologue.engines import places
from duologue.engines.scripted import values
from duologue.engines.scripted.schema import Slot, Tool, default_of, fits
from duologue.engines.scripted.values import Spot
from duologue.engines.scripted.words import HANGUL, numbers, related, stem, tokens, word_set

_TEXTS = word_set(
    "message text body content note comment reason query question description task reminder subject topic"
)
_PEOPLE = word_set("recipient person contact to who guest friend receiver")
_SAYING = re.compile(
    r"\b(?:saying|that says|which says|telling \w+ that|that|about|with the text)\b[:,]?\s+", re.IGNORECASE
)
_PERSON = re.compile(r"\b(?:to|for|with|named|called|under the name(?: of)?)\s+(?:my |the )?(\w+(?: [A-Z]\w+)?)")
_STOP_AT = re.compile(r"\s+(?:saying|that|about|at|on|in|for|and|with|from|to|by|then)\b|[,.;!?]")
_WHERE = {
    role: re.compile(rf"\b(?:{words})\s+(?:the )?(\w[\w' ]*)", re.IGNORECASE)
    for role, words in {"": "in|at|near", "origin": "from|in", "target": "to|in"}.items()
}
_POLITE = re.compile(
    r"^\W*(?:(?:please|hey|hi|hello|okay|ok|now|so|and|then|also|can you|could you|would you|will you"
    r"|i want(?: you)? to|i want|"
    r"i'd like(?: you)? to|i'd like|i would like to|let's|let us|i need to|i need|go ahead and)\b[\s,]*)+",
    re.IGNORECASE,
)
_FILLERS = word_set("the a an me my for some of to us please in on into with by about is")
_MAX_CALLS = 8


class Filled(Struct, frozen=True, kw_only=True):
    """Arguments found for one call, the required slots that are still empty, and how many slots the words filled."""

    arguments: dict[str, Any]
    missing: tuple[Slot, ...] = ()
    evidence: int = 0


class _Finder:
    """Collects what a sentence gives; every character is used for one value only."""

    def __init__(self, tool: Tool, text: str, asked: Slot | None) -> None:
        self.tool = tool
        self.text = text
        self.asked = asked
        self.arguments: dict[str, Any] = {}
        self.alternatives: list[dict[str, Any]] = []
        self.used: list[tuple[int, int]] = []

    def slots(self, *kinds: str) -> list[Slot]:
        """The empty slots of these kinds, the one that the user was asked for first."""
        slots = [slot for slot in self.tool.slots if slot.kind in kinds and slot.name not in self.arguments]
        return sorted(slots, key=lambda slot: self.asked is None or slot.name != self.asked.name)

    def free(self, spots: Sequence[Spot]) -> list[Spot]:
        return [spot for spot in spots if all(spot.end <= start or spot.start >= end for start, end in self.used)]

    def take(self, slot: Slot, value: Any, start: int, end: int) -> bool:
        """Whether `value` fits `slot`, which then holds it."""
        if not fits(value, slot.schema):
            return False
        self.arguments[slot.name] = value
        self.used.append((start, end))
        return True

    def words_before(self, start: int, count: int = 3) -> list[str]:
        return [token.low for token in tokens(self.text[max(0, start - 60) : start])[-count:]]


def fill(tool: Tool, text: str, *, answer_to: Slot | None = None) -> list[Filled]:
    """What `text` says about the tool's slots: one entry for each call it asks for, at least one.

    With `answer_to`, `text` is the answer to a question about that slot. A slot filled from the schema's default is
    not missing; optional slots that the text does not speak of are left out.
    """
    finder = _Finder(tool, text, answer_to)
    if tool.key is not None and tool.value is not None:
        _pairs(finder, tool.key, tool.value, answer_to)
    for step in (_places, _enums, _dates, _numbers, _booleans, _arrays):
        step(finder)
    _strings(finder)
    if answer_to is not None and answer_to.name not in finder.arguments:
        _answer(finder, answer_to)
    return [_finish(tool, {**finder.arguments, **extra}) for extra in finder.alternatives or [{}]]


def _finish(tool: Tool, found: dict[str, Any]) -> Filled:
    arguments = dict(found)
    for slot in tool.slots:
        if slot.required and slot.name not in arguments and (value := default_of(slot)) is not UNSET:
            arguments[slot.name] = value
    missing = tuple(slot for slot in tool.slots if slot.required and slot.name not in arguments)
    ordered = {slot.name: arguments[slot.name] for slot in tool.slots if slot.name in arguments}
    return Filled(arguments=ordered, missing=missing, evidence=len(found))


def slug(words: str) -> str:
    """A key as programs like it: lower case, underscores, no other characters (Hangul stays)."""
    return re.sub(r"[^0-9a-z가-힣]+", "_", words.lower()).strip("_")


def _pairs(finder: _Finder, key: Slot, value: Slot, answer_to: Slot | None) -> None:
    found = values.pair(finder.text, whole=True)
    if found is None:
        if answer_to is not None and answer_to.name == key.name and (bare := slug(values.tidy(finder.text))):
            finder.take(key, re.sub(r"^(?:my|the|that)_", "", bare), 0, len(finder.text))
        return
    typed: Any = found.value
    if value.kind in ("number", "integer") and (spoken := numbers(found.value)):
        typed = spoken[0].value
    elif value.kind == "boolean":
        typed = values.yes_or_no([token.low for token in tokens(found.value)])
    if fits(slug(found.key), key.schema) and fits(typed, value.schema):
        finder.take(key, slug(found.key), 0, len(finder.text))
        finder.take(value, typed, 0, len(finder.text))


def _assign(finder: _Finder, slots: list[Slot], spots: list[Spot], allowed: Callable[[Slot, Spot], bool]) -> list[Spot]:
    """Gives each slot the spot that the words around it speak for; returns the spots left over."""
    left = list(spots)
    pairs = [(slot, spot) for slot in slots for spot in spots if allowed(slot, spot)]
    order = {slot.name: index for index, slot in enumerate(slots)}
    pairs.sort(key=lambda each: (-_affinity(finder, *each), not each[0].required, order[each[0].name], each[1].start))
    for slot, spot in pairs:
        if slot.name not in finder.arguments and spot in left and finder.take(slot, spot.value, spot.start, spot.end):
            left.remove(spot)
    return left


def _affinity(finder: _Finder, slot: Slot, spot: Spot) -> int:
    before = finder.words_before(spot.start)
    after = [token.low for token in tokens(finder.text[spot.end : spot.end + 40])[:2]]
    score = 0
    role = _role(before)
    if role and slot.role:
        score += 3 if role == slot.role else -3
    own = {stem(word) for word in slot.words}
    near = {stem(word) for word in (*before, *after)}
    score += 2 * len(own & near) + len(near & slot.stems)
    if slot.name in before[-1:]:
        score += 2
    return score


def _role(before: list[str]) -> str:
    for word in reversed(before):
        if word == "from":
            return "origin"
        if word in ("to", "into", "in"):
            return "target"
    return ""


def _places(finder: _Finder) -> None:
    slots = finder.slots("lat", "lng", "place")
    groups = list(dict.fromkeys(slot.group for slot in slots))
    if not groups:
        return
    found = places.find_spans(finder.text)
    if len(groups) == 1:
        distinct = list(dict.fromkeys(spot.place for spot in found))[:_MAX_CALLS]
        filled = [{slot.name: _place_value(slot, place, finder.text) for slot in slots} for place in distinct]
        filled = [each for each in filled if all(fits(each[slot.name], slot.schema) for slot in slots)]
        if filled:
            finder.arguments |= filled[0]
            finder.alternatives = filled if len(filled) > 1 else []
            finder.used += [(spot.start, spot.end) for spot in found]
    else:
        _several_places(finder, slots, groups, found)
    if not found and len(slots) == 1 and slots[0].kind == "place":
        _unknown_place(finder, slots[0])


def _several_places(finder: _Finder, slots: list[Slot], groups: list[str], found: list[places.Found]) -> None:
    """Gives "from Paris to London" to the right slots; a place without "from" or "to" to the first that is free."""
    roles = {group: _wanted_role(slots, group) for group in groups}
    left = list(found)
    for sure in (True, False):
        for group in list(roles):
            for spot in left:
                role = _role(finder.words_before(spot.start, 1))
                if (role == roles[group]) if sure else (not role or role not in roles.values()):
                    for slot in slots:
                        if slot.group == group:
                            finder.take(slot, _place_value(slot, spot.place, finder.text), spot.start, spot.end)
                    left.remove(spot)
                    del roles[group]
                    break


def _wanted_role(slots: list[Slot], group: str) -> str:
    return next((slot.role for slot in slots if slot.group == group and slot.role), "")


def _place_value(slot: Slot, place: places.Place, text: str) -> Any:
    if slot.kind == "lat":
        return place.lat
    if slot.kind == "lng":
        return place.lng
    return place.korean if HANGUL.search(text) and place.korean else place.name


def _unknown_place(finder: _Finder, slot: Slot) -> None:
    match = _WHERE[slot.role].search(finder.text, match.end() if (match := _POLITE.match(finder.text)) else 0)
    if match:
        name = _STOP_AT.split(match.group(1), maxsplit=1)[0]
        if name and not numbers(name) and not values.dates(match.group()):
            finder.take(slot, name.title() if name.islower() else name, match.start(1), match.start(1) + len(name))


def _enums(finder: _Finder) -> None:
    slots = finder.slots("enum")
    spots = {slot.name: finder.free(values.choices(finder.text, slot.values)) for slot in slots}
    if len(slots) == 1 and not finder.alternatives:
        (slot,) = slots
        distinct = list(dict.fromkeys(spot.value for spot in spots[slot.name]))[:_MAX_CALLS]
        if len(distinct) > 1:
            finder.alternatives = [{slot.name: value} for value in distinct]
    every = list(dict.fromkeys(spot for each in spots.values() for spot in each))
    every.sort(key=lambda spot: spot.start)
    _assign(finder, slots, every, lambda slot, spot: spot in spots[slot.name])
    for slot in slots:
        for spot in spots[slot.name] if finder.alternatives else []:
            finder.used.append((spot.start, spot.end))


def _numbers(finder: _Finder) -> None:
    spots = finder.free([Spot(each.value, each.start, each.end) for each in numbers(finder.text)])
    _assign(finder, finder.slots("number", "integer", "lat", "lng"), spots, _number_fits)


def _number_fits(slot: Slot, spot: Spot) -> bool:
    return slot.kind not in ("lat", "lng")


def _booleans(finder: _Finder) -> None:
    words = tokens(finder.text)
    for slot in finder.slots("boolean"):
        own = {stem(word) for word in slot.words} - {"with", "is", "has", "includ", "enabl"}
        for at, word in enumerate(words):
            if stem(word.low) in own:
                before = [each.low for each in words[max(0, at - 2) : at]]
                after = [each.low for each in words[at + 1 : at + 2]]
                value = not any(values.is_no(each) for each in (*before, *after))
                finder.take(slot, value if word.low != "off" else False, word.start, word.end)
                break
        else:
            if not own - {"on", "off", "state", "power", "activ", "status"}:
                value_ = values.yes_or_no([word.low for word in words] or [""])
                if value_ is not None:
                    finder.take(slot, value_, 0, 0)


def _dates(finder: _Finder) -> None:
    _assign(finder, finder.slots("date"), finder.free(values.dates(finder.text)), lambda slot, spot: True)


def _arrays(finder: _Finder) -> None:
    for slot in finder.slots("array"):
        items = slot.schema.get("items")
        inner: dict[str, Any] = items if isinstance(items, dict) else {}
        choices = inner.get("enum")
        if isinstance(choices, list | tuple):
            spots = finder.free(values.choices(finder.text, tuple(choices)))
        elif inner.get("type") in ("number", "integer"):
            spots = finder.free([Spot(each.value, each.start, each.end) for each in numbers(finder.text)])
        elif inner.get("type", "string") == "string":
            rest, start, end = _rest(finder)
            names = [part.strip() for part in re.split(r",|\band\b|;", rest)]
            spots = [Spot(name, start, end) for name in names if name]
        else:
            spots = []
        if spots:
            finder.take(slot, [spot.value for spot in spots], spots[0].start, spots[-1].end)


def _strings(finder: _Finder) -> None:
    slots = finder.slots("string")
    for slot in slots:
        _cued(finder, slot)
    pair = {slot.name for slot in (finder.tool.key, finder.tool.value) if slot is not None}
    left = [slot for slot in slots if slot.name not in finder.arguments and slot.name not in pair]
    left.sort(key=lambda slot: not slot.required)
    for slot in left[:1] if len(left) == 1 or (left and left[0].required) else []:
        quotes = finder.free(values.quoted(finder.text))
        if quotes:
            finder.take(slot, quotes[0].value, quotes[0].start, quotes[0].end)
            continue
        rest, start, end = _rest(finder)
        if rest:
            finder.take(slot, rest, start, end)


def _cued(finder: _Finder, slot: Slot) -> None:
    """A string that its own name or a word such as "saying" announces."""
    text, words = finder.text, set(slot.words)
    if not _TEXTS.isdisjoint(words) and (saying := _SAYING.search(text)):
        value = values.tidy(text[saying.end() :])
        if value and finder.take(slot, value, saying.start(), len(text)):
            return
    if not _PEOPLE.isdisjoint(words) and (person := _PERSON.search(text)):
        finder.take(slot, person.group(1), person.start(), person.end())
        return
    link = r"is|of|as|called|named" + ("" if words & _TEXTS else "|to")
    match = re.search(rf"\b{re.escape(slot.spoken)}\b(?:\s+(?:{link})\b|\s*[:=])\s*(.+)", text, re.IGNORECASE)
    if match is None and slot.role == "target":
        match = re.search(r"\b(?:in)?to\s+(.+)", text)
    if match is not None:
        value = values.tidy(_STOP_AT.split(match.group(1), maxsplit=1)[0])
        if value:
            finder.take(slot, value, match.start(), match.start(1) + len(value))


def _rest(finder: _Finder) -> tuple[str, int, int]:
    """What is left of the sentence once the words that name the tool and the values taken are cut from its ends."""
    text = finder.text
    start = match.end() if (match := _POLITE.match(text)) else 0
    end = len(text)
    for used_start, used_end in finder.used:
        if used_end > start and used_start < end:
            if used_start - start > end - used_end:
                end = used_start
            else:
                start = max(start, used_end)
    own = {other for one in map(stem, finder.tool.words) for other in related(one)} | {
        other for slot in finder.tool.slots for one in map(stem, slot.words) for other in related(one)
    }
    described = own | finder.tool.description_stems
    words = tokens(text[start:end])
    first, last = 0, len(words)
    while first < last and (words[first].low in _FILLERS or stem(words[first].low) in described):
        first += 1
    tail = last
    while tail > first and (words[tail - 1].low in _FILLERS or stem(words[tail - 1].low) in described):
        tail -= 1
    if any(words[at].low in ("to", "on", "in", "from", "into", "with", "for") for at in range(tail, last)):
        last = tail
    if first >= last:
        return "", start, end
    low, high = start + words[first].start, start + words[last - 1].end
    return values.tidy(text[low:high]), low, high


def _answer(finder: _Finder, slot: Slot) -> None:
    """The whole text as the value, for a question that was asked about this slot."""
    whole = values.tidy(
        re.sub(r"^\W*(?:it is|it's|that is|it should be|make it)\s+", "", finder.text, flags=re.IGNORECASE)
    )
    if not whole:
        return
    if slot.kind in ("string", "date", "place"):
        finder.take(slot, whole, 0, len(finder.text))
    elif slot.kind == "boolean":
        value = values.yes_or_no([token.low for token in tokens(whole)] or [""])
        if value is not None:
            finder.take(slot, value, 0, len(finder.text))
    elif slot.kind == "other" and "type" not in slot.schema:
        finder.take(slot, whole, 0, len(finder.text))
