"""Words of a sentence: tokens, light stems, synonyms, numbers spoken or written. English, and Korean where marked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

HANGUL = re.compile(r"[가-힣]")
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DIGITS = re.compile(r"(?<![\w.:])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w:]*:)")


def word_set(text: str) -> frozenset[str]:
    """The words of `text` as a set: how word lists are written here."""
    return frozenset(text.split())


def word_list(text: str) -> tuple[str, ...]:
    """The words of `text` in their order; `~` stands for a blank inside one."""
    return tuple(word.replace("~", " ") for word in text.split())


STOP_WORDS = word_set(
    """a an the of to in at for and or is are was be been am it its that this these those with as by from into me my you
    your i we our us do does did can could would should will please tell show give what which who how when where's
    where what's whats how's like about s t there some any if so then also want know let lets need just not no"""
)
# Words that many tools' names and descriptions share, so that they say nothing about which tool is meant.
GENERIC_WORDS = word_set(
    """get set fetch retrieve return make do run create show call tool function data info information user given specify
    new update perform handle execute use value name api current string number object allow specific provide var"""
)
# First words of tools that do something; what such a tool does is not asked for by naming its object alone.
ACTION_VERBS = word_set(
    """turn switch play stop pause book reserve order send convert add delete remove open close start call set find
    search buy translate schedule cancel lock unlock dim raise lower increase decrease check show list track move go
    write read take pick choose change update create record roll draw"""
)
_SYNONYMS = (
    "weather forecast temperature rain raining rainy sunny wind windy cold hot warm snow umbrella",
    "memory remember memorize memorise save store note memo keep",
    "play listen",
    "music song track tune",
    "book reserve reservation booking",
    "turn switch",
    "light lamp lights",
    "convert exchange translate",
    "call phone dial ring",
    "timer alarm countdown",
    "remind reminder",
    "search find look lookup google",
    "delete remove forget erase clear",
    "buy order purchase",
    "email mail",
    "calendar schedule meeting appointment event",
    "stop halt cancel pause",
    "open unlock",
    "close lock shut",
    "door gate",
    "taxi cab ride",
    "news headline",
    "volume loud louder quiet quieter",
    "stock share",
    "joke funny",
    "heat heating thermostat",
    "picture photo image",
    "time clock",
    "distance far",
    "add append put",
)
# Korean word beginnings and the English words that tools are written in.
_KOREAN = {
    "날씨": "weather", "기온": "temperature", "더워": "hot", "더운": "hot", "추워": "cold", "추운": "cold", "비가": "rain",
    "기억": "remember", "저장": "save", "불": "light", "조명": "light", "켜": "turn on", "꺼": "turn off",
    "끄": "turn off", "틀어": "play", "재생": "play", "노래": "song", "음악": "music", "예약": "book", "검색": "search",
    "찾아": "search", "환전": "convert", "변환": "convert", "번역": "translate", "전화": "call", "메시지": "message",
    "문자": "message", "보내": "send", "알람": "alarm", "타이머": "timer", "일정": "calendar", "주문": "order",
    "삭제": "delete", "뉴스": "news", "문": "door", "열어": "open", "닫아": "close", "택시": "taxi", "음량": "volume",
}  # fmt: skip

_UNITS = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000}
_KOREAN_DIGITS = {char: value for value, char in enumerate("영일이삼사오육칠팔구")} | {"공": 0, "육": 6, "륙": 6}
_KOREAN_SCALES = {"십": 10, "백": 100, "천": 1000, "만": 10_000}
_PRONOUN_BEFORE_ONE = word_set("this that which the no any every another each some only")


class Token(NamedTuple):
    """A word, its lower case, and where it stands, in characters."""

    text: str
    low: str
    start: int
    end: int


class Number(NamedTuple):
    """A number and where it stands, in characters."""

    value: int | float
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """The words of `text`; an apostrophe belongs to its word."""
    return [
        Token(match.group(), match.group().lower().replace("’", "'"), match.start(), match.end())
        for match in _TOKEN.finditer(text)
    ]


def split_name(name: str) -> list[str]:
    """The words in an identifier: `turn_on_light`, `turnOnLight` and `turn-on-light` alike, in lower case."""
    return [word.lower() for word in re.split(r"[^0-9A-Za-z가-힣]+", _CAMEL.sub(" ", name)) if word]


def stem(word: str) -> str:
    """A word without the usual endings, for comparing only: lights, lighting, lighted -> light."""
    word = word.lower().removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    for ending in ("ing", "ed", "es", "s"):
        bare = word.removesuffix(ending)
        if bare != word and len(bare) >= 3 and not (ending == "s" and bare.endswith(("s", "u", "i"))):
            if ending in ("ing", "ed") and bare[-1] == bare[-2] and bare[-1] not in "lsz":
                bare = bare[:-1]
            return bare.removesuffix("e")
    return word.removesuffix("e") if len(word) > 3 else word


_RELATED: dict[str, frozenset[str]] = {}
for _group in _SYNONYMS:
    _stems = frozenset(map(stem, _group.split()))
    for _each in _stems:
        _RELATED[_each] = _RELATED.get(_each, frozenset()) | _stems


def related(one: str) -> frozenset[str]:
    """Stems with a like meaning, the given stem among them."""
    return _RELATED.get(one, frozenset()) | {one}


def stems(text: str) -> list[str]:
    """The stems of all words; a Korean word counts as the English words it stands for."""
    found: list[str] = []
    for token in tokens(text):
        if HANGUL.match(token.low):
            for korean, english in _KOREAN.items():
                if token.low.startswith(korean):
                    found += map(stem, english.split())
        else:
            found.append(stem(token.low))
    return found


def content_stems(words: Iterable[str]) -> list[str]:
    """The stems of those words that tell tools apart, each once, in order."""
    kept = (stem(word) for word in words if word not in STOP_WORDS and word not in GENERIC_WORDS)
    return [one for one in dict.fromkeys(kept) if one not in GENERIC_WORDS and one not in _GENERIC_STEMS]


_GENERIC_STEMS = frozenset(stem(word) for word in GENERIC_WORDS)


def numbers(text: str) -> list[Number]:
    """Every number in `text`, in digits ("12.5", "1,000", "-3") or English words ("minus twenty one point five")."""
    found = []
    for match in _DIGITS.finditer(text):
        digits = match.group().replace(",", "")[:300]
        value = float(digits) if "." in digits else int(digits)
        if abs(value) < 1e300:
            found.append(Number(value, match.start(), match.end()))
    found += _spoken_numbers(text)
    found.sort(key=lambda number: number.start)
    return found


def _spoken_numbers(text: str) -> list[Number]:
    words = tokens(text.replace("-", " "))
    found: list[Number] = []
    at = 0
    while at < len(words):
        value, size = _read_number([word.low for word in words[at : at + 16]])
        if size == 0 or (size == 1 and value == 1 and at > 0 and words[at - 1].low in _PRONOUN_BEFORE_ONE):
            at += 1
            continue
        start = words[at].start
        if at > 0 and words[at - 1].low in ("minus", "negative") and not (found and found[-1].end + 8 > start):
            value, start = -value, words[at - 1].start
        found.append(Number(value, start, words[at + size - 1].end))
        at += size
    return found


def _read_number(words: list[str]) -> tuple[int | float, int]:
    """The number that `words` begin with, and of how many words it is made; 0 words where there is none."""
    total = group = size = 0
    room = 1000
    at = 1 if words[0] == "a" and len(words) > 1 and words[1] in ("hundred", "thousand", "million", "dozen") else 0
    group = at
    while at < len(words):
        word = words[at]
        if word in _UNITS and (room >= 100 or (room == 10 and 0 < _UNITS[word] < 10)):
            group, room = group + _UNITS[word], 1
        elif word in _TENS and room >= 100:
            group, room = group + _TENS[word], 10
        elif word == "hundred" and 0 < group < 100:
            group, room = group * 100, 100
        elif word in _SCALES and word != "hundred" and group:
            total, group, room = total + group * _SCALES[word], 0, 1000
        elif word == "dozen" and 0 < group < 20:
            return group * 12, at + 1
        elif word == "and" and size and words[at - 1] in _SCALES and words[at + 1 : at + 2] and words[at + 1] in {
            **_UNITS, **_TENS
        }:  # fmt: skip
            at += 1
            continue
        else:
            break
        at += 1
        size = at
    if size and words[size : size + 1] == ["point"]:
        return _read_fraction(words, total + group, size)
    return total + group, size


def _read_fraction(words: list[str], whole: int, size: int) -> tuple[int | float, int]:
    digits = ""
    at = size + 1
    while at < len(words) and _UNITS.get(words[at], 10) < 10:
        digits += str(_UNITS[words[at]])
        at += 1
    return (float(f"{whole}.{digits}"), at) if digits else (whole, size)


def korean_number(word: str) -> int | None:
    """A Sino-Korean number written in Hangul (이십오 -> 25), or None."""
    total = digit = 0
    if not word or any(char not in _KOREAN_DIGITS and char not in _KOREAN_SCALES for char in word):
        return None
    for char in word:
        if char in _KOREAN_DIGITS:
            digit = _KOREAN_DIGITS[char]
        else:
            total, digit = total + (digit or 1) * _KOREAN_SCALES[char], 0
    return total + digit


def say_number(value: int | float) -> str:
    """A number as one reads it: at most four decimals, none that are zero."""
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return "not a number"
        value = round(value, 4)
        if value.is_integer():
            value = int(value)
    return str(value)


def count_word(value: int) -> str:
    """0-100 in English words, larger ones in digits."""
    names = {number: word for word, number in (_UNITS | _TENS).items()}
    if value == 100:
        return "one hundred"
    if value in names:
        return names[value]
    if 20 < value < 100:
        return f"{names[value - value % 10]} {names[value % 10]}"
    return str(value)


def join_words(words: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    *front, end = list(words) or [""]
    return f"{', '.join(front)} {last} {end}" if front else end
