"""Values in a sentence, each with its place in it: choices of an enum, dates, quotes, yes and no, key and value."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from duologue.engines.scripted.words import HANGUL, numbers, split_name, stem, tokens, word_set

_ALIASES = {
    "usd": "dollars", "eur": "euros", "gbp": "pounds", "krw": "won", "jpy": "yen", "cny": "yuan", "chf": "francs",
    "inr": "rupees", "c": "celsius", "f": "fahrenheit", "k": "kelvin", "km": "kilometers", "m": "meters",
    "cm": "centimeters", "mm": "millimeters", "mi": "miles", "ft": "feet", "in": "inches", "kg": "kilograms",
    "g": "grams", "lb": "pounds", "lbs": "pounds", "oz": "ounces", "l": "liters", "ml": "milliliters", "h": "hours",
    "min": "minutes", "s": "seconds", "en": "english", "ko": "korean", "de": "german", "fr": "french",
    "es": "spanish", "it": "italian", "ja": "japanese", "zh": "chinese", "xs": "extra small", "xl": "extra large",
}  # fmt: skip
_YES = word_set("yes yeah yep sure true on enable enabled okay ok please right correct definitely 네 예 응 그래 좋아")
_NO = word_set("no nope false off disable disabled not without never don't dont 아니 아니요 아뇨 싫어")
_DAY = (
    r"(?:next |this |on )?(?:mon|tues|wednes|thurs|fri|satur|sun)day|today|tonight|tomorrow(?: morning"
    r"| evening| night)?"
    r"|(?:this |in the )(?:morning|afternoon|evening|weekend)|next (?:week|month|year)|noon|midnight|now"
)
_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
_HOUR = (
    r"(?:\d{1,2}(?::\d{2})?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
    r"(?: (?:o'clock|thirty|fifteen|forty five))?(?: ?(?:a\.?m\.?|p\.?m\.?)(?!\w))?(?: in the (?:morning"
    r"|evening|afternoon))?"
)
_DATE = re.compile(
    rf"\b(?:{_DAY}|{_MONTH} \w+|the \w+ of {_MONTH}|\d{{4}}-\d{{2}}-\d{{2}}(?:T[\d:]+)?|at {_HOUR}|\d{{1,2}}:\d{{2}}"
    rf"|\d{{1,2}} ?[ap]\.?m\b\.?|in \w+ (?:minutes?|hours?|days?|weeks?)|오늘|내일|모레|지금)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“”«「]([^\"“”»」]{1,300})[\"“”»」]|(?<!\w)['‘]([^'‘’]{1,300})['’](?!\w)")
_STORE = r"(?:remember|memori[sz]e|save|store|note|keep in mind|write down|don't forget|do not forget|record|put down)"
_TAIL = re.compile(r"[\s.,!?;:]+$|(?<=\w)[\s,]+(?:please|okay|ok|thanks|thank you)[\s.!?]*$", re.IGNORECASE)
_PAIRS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:\b{_STORE}\b|\bset\b)\W+(?P<value>.+?) (?:as|under) (?:my |the )?(?P<key>.+)",
        r"\b(?:set|change|update|make) (?:my |the )?(?P<key>.+?) (?:(?:to be|to|as)\b|[=:]) ?(?P<value>.+)",
        rf"(?:\b{_STORE}\b.*?\b)?my (?P<key>[^,.?!]+?)(?: is called| is| are| was|'s| =|:|=) (?P<value>.+)",
        rf"\b{_STORE}\b(?: that)? (?:the |a |our )?(?P<key>[^,.?!]+?)(?: is| are| was| =|:|=) ?(?P<value>.+)",
    )
)
_FACTS = tuple(
    (re.compile(pattern, re.IGNORECASE), key)
    for pattern, key in (
        (r"\b(?:call me|i am called|i'm called) (?P<value>.+)", "name"),
        (r"\b(?:i am|i'm) (?P<value>[\w ]+?) years old\b", "age"),
        (r"\bi (?:live|am living) in (?P<value>.+)", "home"),
        (r"\b(?:i come|i am|i'm) from (?P<value>.+)", "origin"),
        (r"\bi was born (?:in|on) (?P<value>.+)", "birthday"),
        (r"\bi work (?:as an?|as|at|for) (?P<value>.+)", "work"),
        (r"\bi (?:really )?(?:like|love) (?P<value>.+)", "likes"),
        (r"\bi prefer (?P<value>.+)", "preference"),
        (r"(?:내|제) 이름은 (?P<value>\S+?)(?:이야|야|이에요|예요|입니다|이?라고(?: \S+)*)?(?:[.!\s]|$)", "name"),
        (r"(?:나는|저는) (?P<value>\S+?)(?:에) 살아", "home"),
    )
)
_KOREAN_PAIR = re.compile(
    r"(?:내|제)(?:가)? (?P<key>.+?)(?:은|는) (?P<value>.+?)(?:이야|야|이에요|예요|입니다|이?라고)(?:[.!\s]|$)"
)
_KOREAN_KEYS = {"이름": "name", "나이": "age", "생일": "birthday", "좋아하는 색": "favorite color", "직업": "job"}
_STORES = re.compile(rf"\b{_STORE}\b|기억|저장", re.IGNORECASE)
_STORE_ALL = re.compile(rf"\b{_STORE}\b(?: that| to|:)? (?P<value>.+)", re.IGNORECASE)
_NOTHING = re.compile(r"(?:this|that|it|something|anything|these|things?)(?: (?:to|in|into|for) .*)?", re.IGNORECASE)
_ASKS = re.compile(
    r"^\W*(?:what|who|where|when|why|how|which|do|does|did|is|are|am|can|could|would|tell me what|whose)\b",
    re.IGNORECASE,
)


class Pair(NamedTuple):
    """A key and a value. `explicit` where the sentence asks to keep them, not only states them."""

    key: str
    value: str
    explicit: bool


class Spot(NamedTuple):
    """A value and where it stands, in characters."""

    value: Any
    start: int
    end: int


def tidy(text: str) -> str:
    """Without closing punctuation, quotes around it, and "please"."""
    bare = text.strip()
    while (shorter := _TAIL.sub("", bare)) != bare:
        bare = shorter
    return bare.strip(" \"“”'‘’").strip()


def spoken_choice(value: Any) -> str:
    """An enum value as one says it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    words = " ".join(split_name(str(value))) or str(value)
    return _ALIASES.get(words, words)


def choices(text: str, values: tuple[Any, ...]) -> list[Spot]:
    """The enum values that `text` names, in its order; a longer name hides a shorter one inside it."""
    words = tokens(text)
    have = [stem(word.low) for word in words]
    spots: list[Spot] = []
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool):
            spots += [Spot(value, number.start, number.end) for number in numbers(text) if number.value == value]
        elif isinstance(value, str):
            spots += _choice(value, text, [word.start for word in words], [word.end for word in words], have)
    spots.sort(key=lambda spot: (spot.start - spot.end, spot.start))
    kept: list[Spot] = []
    for spot in spots:
        if all(spot.end <= other.start or spot.start >= other.end for other in kept):
            kept.append(spot)
    return sorted(kept, key=lambda spot: spot.start)


def _choice(value: str, text: str, starts: list[int], ends: list[int], have: list[str]) -> list[Spot]:
    if HANGUL.search(value):
        at = text.find(value)
        return [Spot(value, at, at + len(value))] if at >= 0 else []
    name = split_name(value)
    forms = {tuple(map(stem, name)), tuple(stem(word) for word in spoken_choice(value).split())}
    if name and len("".join(name)) <= 2 and spoken_choice(value) != " ".join(name):
        forms.discard(tuple(map(stem, name)))
        forms |= {tuple(map(stem, name))} if re.search(rf"\b{re.escape(value)}\b", text) and value.isupper() else set()
    return [
        Spot(value, starts[at], ends[at + len(form) - 1])
        for form in forms
        if form
        for at in range(len(have) - len(form) + 1)
        if tuple(have[at : at + len(form)]) == form
    ]


def dates(text: str) -> list[Spot]:
    """Days and times as they are said: "tomorrow", "at five pm", "2026-11-21"; neighbours count as one."""
    spots: list[Spot] = []
    for match in _DATE.finditer(text):
        if spots and text[spots[-1].end : match.start()].strip(" ,") == "":
            start = spots.pop().start
            spots.append(Spot(text[start : match.end()], start, match.end()))
        else:
            spots.append(Spot(match.group(), match.start(), match.end()))
    return [Spot(re.sub(r"^(?:at|on) ", "", spot.value, flags=re.IGNORECASE), spot.start, spot.end) for spot in spots]


def quoted(text: str) -> list[Spot]:
    """What stands in quotation marks."""
    found = []
    for match in _QUOTED.finditer(text):
        group = 1 if match.group(1) is not None else 2
        found.append(Spot(match.group(group).strip(), match.start(), match.end()))
    return [spot for spot in found if spot.value]


def yes_or_no(words: list[str]) -> bool | None:
    """What an answer amounts to; None where it says neither or both."""
    yes, no = not _YES.isdisjoint(words), not _NO.isdisjoint(words)
    return yes if yes != no else (False if no and words[0] in _NO else None)


def is_no(word: str) -> bool:
    """Whether a word before a thing turns it down: "no", "without", "not"."""
    return word in _NO


def asks(text: str) -> bool:
    """Whether the text is a question."""
    return text.rstrip().endswith("?") or bool(_ASKS.match(text))


def pair(text: str, *, whole: bool = False) -> Pair | None:
    """The key and value that the text states ("my name is Anna") or asks to keep ("save 12 as my lucky number").

    With `whole`, something to remember without a key of its own becomes the value of the key "note".
    """
    explicit = bool(_STORES.search(text))
    if asks(text) and not explicit:
        return None
    for fact, key in _FACTS:
        if match := fact.search(text):
            return Pair(key, tidy(match["value"]), explicit) if tidy(match["value"]) else None
    if match := _KOREAN_PAIR.search(text):
        return Pair(_KOREAN_KEYS.get(match["key"], match["key"]), match["value"], explicit)
    for pattern in _PAIRS:
        match = pattern.search(text)
        if match and (value := tidy(match["value"])) and (key := match["key"].strip()) and len(key.split()) <= 6:
            if value.islower() and key.split()[-1] == "name":
                value = value.title()
            return Pair(key, value, explicit or pattern is _PAIRS[1])
    if whole and not asks(text) and (match := _STORE_ALL.search(text)) and (value := tidy(match["value"])):
        return None if _NOTHING.fullmatch(value) else Pair("note", value, True)
    return None
