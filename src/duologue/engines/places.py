"""Cities by name: where words in a sentence are on the map. Pure but for reading the table once, on first use.

The table (`data/places.tsv.gz`) holds the cities of the world from 40,000 inhabitants up, and all capitals, most
populous first, with Korean names. Where several places share a name, the most populous one is meant.
"""

from __future__ import annotations

import gzip
import re
import unicodedata
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

_TOKEN = re.compile(r"[^\W_]+")
_HANGUL = re.compile(r"[가-힣]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LONGEST_NAME = 6
"""Tokens in the longest name looked up."""

_PREPOSITIONS = _words("in at near around for from to of outside inside over toward towards about")
_AFTER_PLACE = _words(
    "and or to now today tomorrow tonight please like right this next on at for then is was will with"
)
# Names of cities that are more often something else. They count only where the sentence places them: after "in",
# as a capitalised word inside a sentence, or alone.
_COMMON_WORDS = _words(
    """acre apex bath bend best brest bury cali canton chas chico clay come como date delta derby dome eden enterprise
    essen fuji gap gary gay grace hove hub hull humble independence jackson jordan lens lincoln lynn mach mali
    male man mary marine media mission mobile mons moss most nada nancy nice normal of orange paradise perm providence
    pueblo reading redding reservoir rugby sale same san sandy see split spring surprise temple tire tours troy turbo
    union van victoria vita warren worms anna charlotte carlos madison leon marion tyler wayne kent page ray henry
    bell""")  # fmt: skip
_KOREAN_COMMON = _words(
    """가자 가지 구나 구리 고리 기장 나가 다만 도선 로드 마리 만사 모빌 미리 미션 바리 사리 사방 서리 세일 세트 여주 영광
    오산 이리 조리 카드 캔디 크루 템플 토메 팔월 프롬 호프 홀로 후에 이심 하미 나소 다카 사나 통크 시중""")  # fmt: skip
_UNIT = "(?:시|특별시|광역시)?"
_PARTICLES = "은|는|이|가|을|를|까지|부터|랑|이랑|와|과|하고|도|로|으로|요|이요|이에요|예요|입니다"
_LOCATIVES = "의|에|에서|에선|에는|날씨.*|기온.*"
_PARTICLE = re.compile(f"{_UNIT}(?:{_PARTICLES}|{_LOCATIVES})?")
_LOCATIVE = re.compile(f"{_UNIT}(?:{_LOCATIVES})")


class Place(NamedTuple):
    """A city. `lat` and `lng` in degrees north and east, `population` in people rounded to thousands, `country` as
    two letters of ISO 3166; `korean` is empty where no Korean name is known."""

    name: str
    lat: float
    lng: float
    population: int
    country: str
    korean: str


class Found(NamedTuple):
    """A place and where its name stands in the text, in characters."""

    place: Place
    start: int
    end: int


class _Table(NamedTuple):
    rows: list[list[str]]
    by_name: dict[str, int]


def _fold(text: str) -> str:
    """Lower case without diacritics; Hangul stays whole."""
    if text.isascii():
        return text.lower()
    bare = "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))
    return unicodedata.normalize("NFC", bare).lower()


def _key(name: str) -> str:
    return _fold(name) if name.isalpha() else " ".join(_TOKEN.findall(_fold(name)))


@lru_cache(maxsize=1)
def _table() -> _Table:
    packed = resources.files("duologue.engines").joinpath("data/places.tsv.gz").read_bytes()
    rows = [line.split("\t") for line in gzip.decompress(packed).decode().split("\n")]
    by_name: dict[str, int] = {}
    for index, row in enumerate(rows):
        by_name.setdefault(_key(row[0]), index)
        if row[1]:
            for name in row[1].split("|"):
                by_name.setdefault(_key(name), index)
    return _Table(rows, by_name)


def _place(index: int) -> Place:
    name, others, lat, lng, thousands, country = _table().rows[index]
    korean = next((other for other in others.split("|") if _HANGUL.search(other)), "")
    return Place(name, float(lat), float(lng), int(thousands) * 1000, country, korean)


def find(text: str) -> list[Place]:
    """The places named in `text`, in the order of the text; each mention counts."""
    return [found.place for found in find_spans(text)]


def find_spans(text: str) -> list[Found]:
    """As `find`, with positions. The longest name wins: "New York" is not also York."""
    tokens = list(_TOKEN.finditer(text))
    words = [_fold(token.group()) for token in tokens]
    found: list[Found] = []
    at = 0
    while at < len(tokens):
        for length in range(min(_LONGEST_NAME, len(tokens) - at), 0, -1):
            index, cut = _lookup(words[at : at + length])
            if index is not None and _meant(text, tokens, words, at, length):
                end = tokens[at + length - 1].end() - cut
                found.append(Found(_place(index), tokens[at].start(), end))
                at += length
                break
        else:
            at += 1
    return found


def _lookup(words: list[str]) -> tuple[int | None, int]:
    """The row of the name that `words` make, and how many characters of a Korean particle follow the name."""
    by_name = _table().by_name
    name = " ".join(words)
    if name in by_name:
        return by_name[name], 0
    last = words[-1]
    if _HANGUL.match(last):
        for size in range(len(last) - 1, 1, -1):
            index = by_name.get(" ".join((*words[:-1], last[:size])))
            if index is not None and _PARTICLE.fullmatch(last[size:]):
                return index, len(last) - size
    return None, 0


def _meant(text: str, tokens: list[re.Match[str]], words: list[str], at: int, length: int) -> bool:
    """Whether a name that is in the table is likely meant as a place here."""
    word = words[at]
    if length == len(words):
        return len(word) > 1
    if _HANGUL.match(word):
        stem = next((common for common in _KOREAN_COMMON if word.startswith(common)), None) if length == 1 else None
        return stem is None or bool(_LOCATIVE.fullmatch(word[len(stem) :]))
    if length > 1 or (len(word) > 3 and word not in _COMMON_WORDS):
        return True
    if len(word) < 3:
        return False
    token = tokens[at]
    if token.group()[0].isupper() and at > 0 and not text.istitle():
        return True
    if at == 0 or words[at - 1] not in _PREPOSITIONS:
        return False
    return (
        at + 1 == len(words)
        or words[at + 1] in _AFTER_PLACE
        or not text[token.end() : tokens[at + 1].start()].isspace()
    )


@lru_cache(maxsize=8)
def spoken(limit: int) -> tuple[str, ...]:
    """Up to `limit` names for a speech grammar, most populous first, without repetition: lower case, only the letters
    a-z and apostrophes, blanks between words."""
    names: dict[str, None] = {}
    for row in _table().rows:
        if len(names) >= limit:
            break
        for name in (row[0], *row[1].split("|")):
            words = _fold(name).replace("’", "'").replace("-", " ")
            if len(words) > 2 and re.fullmatch(r"[a-z']+(?: [a-z']+)*", words):
                names.setdefault(words)
    return tuple(names)[:limit]
