"""What users are likely to say, for recognizers that listen with a grammar.

Phrases and slots hold only lower-case words of the letters a-z and apostrophes. The more likely comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from duologue.engines import places
from duologue.engines.base import SpeechHints
from duologue.engines.scripted.schema import Slot, Tool, read_tool
from duologue.engines.scripted.values import spoken_choice
from duologue.engines.scripted.words import ACTION_VERBS, GENERIC_WORDS, count_word, stem, tokens, word_list, word_set
from duologue.protocol.session import FunctionTool

_WORDS = re.compile(r"[a-z']+(?: [a-z']+)*")
_SLOT = re.compile(r"<([a-z]+)>")
_PARTICLES = word_set("on off up down in out")
_STORING = frozenset(map(stem, ("memory", "remember", "save", "store", "note", "record")))
_ARTICLES = ("the ", "a ", "")
_VERB_TWINS = {"turn": ("switch",), "switch": ("turn",)}
_Known = tuple[Slot, str]
_MAX_PROMPT_PHRASES = 100
_MAX_CHOICES = 200
_MAX_CITIES = 100

_BUILT_IN = """hello
hi
hey
hi there
good morning
good afternoon
good evening
stop
stop it
stop talking
be quiet
wait
never mind
cancel
yes
no
yes please
no thank you
okay
thank you [very much]
thanks
goodbye
bye
bye bye
see you later
good night
how are you [today]
how are you doing
what time is it [now]
what is the time
tell me the time
tell me the date
what is the current time
what's the time
what day is it [today]
what is the date [today]
what's the date [today]
count to <number>
count down from <number>
repeat that [please]
repeat please
can you repeat that
say that again [please]
what did you say
who are you
what are you
what is your name
what's your name
what can you do
help [me]
can you hear me
who am i
what is my <namekey>
what's my <namekey>
spell <word>
say <word>
echo <word>
<whatis> <number> <operator> <number>
<number> <operator> <number>""".splitlines()

_NAMES = word_list(
    """anna john mary james maria david sarah michael emma peter laura robert linda thomas lisa daniel susan paul karen
    mark julia george sophia kevin alice tom kate ben jane jack lucy sam olivia max grace adam eva alex nina bob helen
    eric diana frank martha henry rose bill amy chris claire steve charlotte martin victoria simon jennifer andrew
    elizabeth william barbara richard jessica joseph nancy charles margaret matthew sandra anthony ashley emily steven
    michelle kenneth carol joshua amanda brian melissa edward deborah ronald stephanie timothy rebecca jason sharon
    jeffrey cynthia ryan kathleen jacob angela"""
)
_COLORS = word_list("blue red green yellow orange purple black white pink brown gray gold silver turquoise")
_FOODS = word_list("pizza pasta sushi bread rice chocolate cheese chicken soup salad ice~cream cake steak fish")
_ANIMALS = word_list("dog cat horse bird fish rabbit tiger lion elephant dolphin")
_MONTHS = word_list("january february march april may june july august september october november december")
_WORD_SAMPLES = ("hello", "hello world", "banana", "apple", "computer", "weather", "music", "goodbye", *_NAMES[:20])
# What people ask to be remembered: "<keep> my <…key> is <…>". Slots for whole beginnings keep the grammar small: each
# mention of a slot is a copy of all its words there.
_FACTS = (
    "<keepmy> <namekey> is <name>",
    "<keepmy> <colorkey> is <color>",
    "<keepmy> favorite food is <food>",
    "<keepmy> favorite animal is <animal>",
    "<keepmy> <numberkey> is <number>",
    "<keepmy> <citykey> is <city>",
    "<keepmy> birthday is in <month>",
    "set [my] <colorkey> to <color>",
    "what is my <factkey>",
    "what's my <factkey>",
    "i live in <city>",
    "call me <name>",
    "i like <food>",
)
_OWN_SLOTS = {
    "whatis": ("what is", "what's", "how much is"),
    "operator": ("plus", "minus", "times", "divided by"),
    "keepmy": ("my", "remember that my", "remember my", "please remember that my", "save that my", "note that my"),
    "namekey": ("name", "dog's name", "cat's name", "wife's name", "husband's name", "mother's name"),
    "colorkey": ("favorite color", "favourite colour", "favorite colour", "favourite color"),
    "numberkey": ("favorite number", "lucky number", "age"),
    "citykey": ("favorite city", "home town", "city"),
    "factkey": ("favorite color", "favourite colour", "favorite food", "favorite number", "favorite city", "age"),
    "lead": ("in", "and in", "what about", "how about", "and", "for"),
    "name": _NAMES,
    "color": _COLORS,
    "food": _FOODS,
    "animal": _ANIMALS,
    "month": _MONTHS,
    "word": _WORD_SAMPLES,
    "day": (
        "today", "tomorrow", "tonight", "now", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
        "sunday", "this evening", "tomorrow morning", "tomorrow evening", "next week", "this weekend",
    ),
}  # fmt: skip


def speech_hints(tools: Sequence[FunctionTool], prompt: str | None, *, places_limit: int) -> SpeechHints:
    """Phrases and slots for `tools`, the built-in answers, and the phrases of the transcription prompt.

    `places_limit` bounds the names of cities; slots that no phrase uses are left out.
    """
    slots: dict[str, tuple[str, ...]] = {}
    phrases: list[str] = []
    for index, each in enumerate(tools):
        phrases += _tool_phrases(read_tool(each), index, slots)
    phrases += _prompt_phrases(prompt or "")
    phrases += [*_BUILT_IN, "<keepmy> <namekey> is <name>"]
    kept = list(dict.fromkeys(phrase for phrase in map(_clean, phrases) if phrase))
    used = {name for phrase in kept for name in _SLOT.findall(phrase)}
    common = {**_OWN_SLOTS, "number": tuple(count_word(value) for value in _number_order())}
    for name, limit in (("place", places_limit), ("city", min(_MAX_CITIES, places_limit))):
        if name in used:
            common[name] = places.spoken(limit)
    slots = {name: values for name, values in {**common, **slots}.items() if name in used and values}
    return SpeechHints(phrases=tuple(p for p in kept if set(_SLOT.findall(p)) <= set(slots)), slots=slots)


def _number_order() -> Iterable[int]:
    return (*range(21), *range(30, 101, 10), *(value for value in range(21, 100) if value % 10))


def _clean(phrase: str) -> str:
    """The phrase with single blanks, empty where it holds anything but words, `<slots>` and `[optional words]`."""
    phrase = " ".join(phrase.replace("’", "'").split())
    return phrase if re.fullmatch(r"[a-z' <>\[\]]+", phrase) else ""


def _words(text: str) -> str:
    """Only what can be spoken: letters and apostrophes, numbers written out; empty where nothing is left."""
    words = []
    for token in tokens(text.replace("_", " ").replace("-", " ")):
        if token.low.isascii() and token.low.isdigit():
            words.append(count_word(int(token.low[:6])))
        else:
            words.append(token.low)
    joined = " ".join(words)
    return joined if _WORDS.fullmatch(joined) else ""


def _prompt_phrases(prompt: str) -> list[str]:
    """The transcription prompt's lines and list entries that are short enough to be said in one go."""
    parts = re.split(r"[\n,;.:!?|]+", prompt[:10_000])
    found = [_words(part) for part in parts]
    return [part for part in dict.fromkeys(found) if part and len(part.split()) <= 10][:_MAX_PROMPT_PHRASES]


def _tool_phrases(tool: Tool, index: int, slots: dict[str, tuple[str, ...]]) -> list[str]:
    """How one would ask for this tool; adds the slots of its own to `slots`."""
    if tool.key is not None and _stores(tool):
        return list(_FACTS)
    refs: dict[str, str] = {}
    groups: set[str] = set()
    for slot in tool.slots:
        ref = _reference(slot, index, slots)
        if ref and not (ref == "<place>" and slot.group in groups):
            refs[slot.name] = ref
            groups |= {slot.group} if ref == "<place>" else set()
    known = [(slot, refs[slot.name]) for slot in tool.slots if slot.name in refs]
    phrases = _acting(tool, known, index, slots) if _is_action(tool) else _asking(tool, known, index, slots)
    asked = any("] <place>" in phrase for phrase in phrases)
    told = [form for slot, ref in known for form in _answers(slot, ref)]
    return [*phrases, *(form for form in told if not (asked and "<place>" in form))]


def _reference(slot: Slot, index: int, slots: dict[str, tuple[str, ...]]) -> str:
    """`<slot>` for what may be said for the parameter; empty where it can be anything."""
    match slot.kind:
        case "place" | "lat":
            return "<place>"
        case "number" | "integer":
            return "<number>"
        case "date":
            return "<day>"
        case "enum":
            return _choices(slot.values, slot, index, slots)
        case "array":
            items = slot.schema.get("items")
            values = items.get("enum") if isinstance(items, dict) else None
            return _choices(tuple(values), slot, index, slots) if isinstance(values, list | tuple) else ""
    return ""


def _choices(values: Sequence[Any], slot: Slot, index: int, slots: dict[str, tuple[str, ...]]) -> str:
    spoken = tuple(dict.fromkeys(word for value in values[:_MAX_CHOICES] if (word := _words(spoken_choice(value)))))
    if not spoken:
        return ""
    letters = "".join(char for word in slot.words for char in word if "a" <= char <= "z")
    name = f"{letters}of{_letters(index)}"
    slots[name] = spoken
    return f"<{name}>"


def _letters(index: int) -> str:
    """A number in letters, for names of slots: 0 -> a, 26 -> ba."""
    return (_letters(index // 26) if index >= 26 else "") + chr(ord("a") + index % 26)


def _stores(tool: Tool) -> bool:
    return not _STORING.isdisjoint({*tool.name_stems, *tool.description_stems})


def _is_action(tool: Tool) -> bool:
    return (
        bool(tool.words)
        and tool.words[0] in ACTION_VERBS
        and (len(tool.words) == 1 or tool.words[0] not in GENERIC_WORDS)
    )


def _noun(tool: Tool) -> str:
    """What the tool is about, as one says it: the name without its verb."""
    words = [word for word in tool.words if word not in GENERIC_WORDS]
    return _words(" ".join(words or tool.words))


def _asking(tool: Tool, known: Sequence[_Known], index: int, slots: dict[str, tuple[str, ...]]) -> list[str]:
    """Questions to a tool that tells something: "what is the weather in <place>"."""
    noun = _noun(tool)
    if not noun:
        return []
    name = f"askof{_letters(index)}"
    heads = (f"what is the {noun}", f"what's the {noun}", f"how is the {noun}", f"how's the {noun}", noun)
    likes = tuple(f"{head} like" for head in heads[:2])
    slots[name] = (*heads, *likes, f"tell me the {noun}", f"show me the {noun}", f"get the {noun}", f"and the {noun}")
    ask = f"<{name}>"
    phrases = [ask]
    for slot, ref in known:
        if ref == "<place>" and not slot.role:
            # One phrase for all ways to name a place, alone too: each mention of that slot copies thousands of words.
            slots[f"in{name}"] = (*(f"{head} in" for head in slots[name]), *_OWN_SLOTS["lead"])
            phrases.append(f"[<in{name}>] {ref} [and in <city>] [today]")
        else:
            phrases.append(f"{ask} {_with(slot, ref)}")
    if len(known) > 1:
        phrases.append(f"{ask} {' '.join(_with(slot, ref) for slot, ref in known)}")
    return phrases


def _with(slot: Slot, ref: str) -> str:
    """The parameter inside a sentence."""
    name = _words(slot.spoken)
    if slot.kind in ("number", "integer"):
        counted = name.endswith(("s", "people")) and not name.endswith("ss")
        return f"for {ref} {name}" if counted else f"at {ref}{_percent(slot)}"
    if ref == "<place>":
        return {"origin": f"from {ref}", "target": f"to {ref}"}.get(slot.role, f"in {ref}")
    if slot.kind == "date":
        return ref
    return {"origin": f"from {ref}", "target": f"to {ref}"}.get(slot.role, f"in the {ref}")


def _percent(slot: Slot) -> str:
    return " [percent]" if slot.schema.get("maximum") in (1, 100) or "percent" in slot.stems else ""


def _acting(tool: Tool, known: Sequence[_Known], index: int, slots: dict[str, tuple[str, ...]]) -> list[str]:
    """Orders to a tool that does something: "turn on the <room> light", "book a table for <number> people"."""
    verb, *rest = map(_words, tool.words)
    particle = rest.pop(0) if rest and rest[0] in _PARTICLES else ""
    thing = " ".join(word for word in rest if word)
    verbs = (verb, *_VERB_TWINS.get(verb, ())) if particle else (verb,)
    acts = [f"{each} {particle}".strip() for each in verbs]
    heads = [f"{act} {article}{thing}" for act in acts for article in _ARTICLES] if thing else acts
    if particle and thing:
        heads += [f"{each} the {thing} {particle}" for each in verbs]
    name = f"actof{_letters(index)}"
    slots[name] = tuple(dict.fromkeys(head.strip() for head in heads))
    head = f"[please] <{name}>"
    phrases = [head, *(f"{head} {_with(slot, ref)}" for slot, ref in known)]
    for slot, ref in known:
        if slot.kind == "enum" and not slot.role:
            phrases += [f"[please] {act} [the] {ref} {thing}" for act in acts]
            phrases += [f"[please] {each} the {ref} {thing} {particle}" for each in verbs if particle and thing]
            phrases.append(f"{head} to {ref}")
        if slot.kind in ("number", "integer"):
            phrases += [f"{head} to {ref}{_percent(slot)}", f"{head} for {ref}"]
    if len(known) > 1:
        phrases.append(f"{head} {' '.join(_with(*each) for each in known)}")
    return phrases + _converting(verb, known)


def _converting(verb: str, known: Sequence[_Known]) -> list[str]:
    """An amount from one thing to another."""
    amount = next((ref for slot, ref in known if slot.kind in ("number", "integer")), None)
    left = next((ref for slot, ref in known if slot.role == "origin" and slot.kind == "enum"), None)
    right = next((ref for slot, ref in known if slot.role == "target" and slot.kind == "enum"), None)
    if amount is None or left is None or right is None:
        return []
    return [f"{verb} {amount} {left} to {right}", f"[how much is] {amount} {left} in {right}"]


def _answers(slot: Slot, ref: str) -> list[str]:
    """How one answers the question for this parameter, and changes it afterwards."""
    if slot.kind in ("number", "integer"):
        return [f"[for] {ref} [{name}]" if (name := _words(slot.spoken)) else ref]
    if ref == "<place>":
        return [ref, f"<lead> {ref}"]
    if slot.kind == "date":
        return [ref]
    return [f"[the] {ref} [please]", f"<lead> the {ref}"]
