"""Whether words make a finished utterance: English, and the endings of Korean. Pure.

Rules and no model: what is dangling at the end ("the", "because", "um") nearly always goes on, what has the form of a
question, an order or an answer is mostly over. Other languages are left to the sound.
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DANGLING = _words(
    "a an the my your his her its our their this these those some any every each and or but because if when while "
    "although unless until since so than that which who whose whom of in on at to for from with by about into onto "
    "over under between near through without during after before around against per is are was were am be been "
    "being do does did have has had will would can could should shall may might must plus minus times divided "
    "multiplied not very really just also as i'm it's that's what's you're we're they're i'll you'll i'd"
)
FILLERS = _words("um uh er erm hmm hm ah eh well so like")
PARTICLES = _words("on off up down in out over away about for to from with at of like")
PRONOUNS = _words("i you he she it we they me him her us them that this there here one")
AUXILIARIES = _words("is are was were am be do does did have has had will would can could should may might")
ANSWERS = _words(
    "yes no yeah yep nope okay ok sure thanks hello hi hey bye goodbye stop cancel continue help maybe never always "
    "right correct wrong exactly alright"
)
ASKING = _words("what who where when why how which whose is are was were do does did can could will would")
ORDERING = _words(
    "tell show give turn switch play stop set remember call send count open close start find add say sing read make "
    "remind wake take put go come repeat spell translate book order buy"
)
WAITING_ORDERS = _words("tell remember call play set send find add say make remind put spell book give")
UNFINISHED = (
    re.compile(r"(remember|tell \w+|say|i think|i know|i hope|i mean|i guess)( that)?( (my|his|her|the|our) \w+)?"),
    re.compile(r"(can|could|would|will|do|did) (you|i|we|they)( please)?"),
    re.compile(r"(i|we) (want|need|like|have|would like|am looking)( to)?( \w+)?"),
    re.compile(r"(what|where|who|when|how)( is| are| was| far| many| much| long| old| about)?( the| my)?"),
    re.compile(r".*\b(you know|i mean|let me (see|think)|what is it)"),
)
STAYING = re.compile(
    r"(how (are|about)|what about|where|who) (you|it|that)|thank you|i (don't|do not) (know|care)|i am"
)
KOREAN_FINAL = re.compile(r"(다|요|까|죠|지|네|니|냐|자|어|아|해|줘|야)$")
KOREAN_OPEN = re.compile(
    r"(고|는데|은데|서|면|지만|니까|려고|하고|이랑|랑|에서|한테|에게|부터|까지|을|를|은|는|이|가|의|음|어+|저기)$"
)
HANGUL = re.compile(r"[가-힣]")


def completeness(text: str) -> float:
    """Evidence, as log odds, that the user has finished: -4 surely not, 0 nothing to go by, 3 surely."""
    text = text.strip().lower()
    if text.endswith(("...", "…", ",", "-", "—")):
        return -3.0
    if HANGUL.search(text):
        return _korean(re.sub(r"[^\w\s]", "", text))
    words = re.findall(r"[a-z']+|\d+", text)
    if not words:
        return 0.0
    spoken = " ".join(words)
    if spoken in ANSWERS or STAYING.fullmatch(spoken) or (len(words) <= 3 and words[0] in ANSWERS):
        return 3.0 if words[-1] not in FILLERS | DANGLING or STAYING.fullmatch(spoken) else -3.0
    if words[-1] in FILLERS:
        return -3.5
    if words[-1] in DANGLING:
        closes = len(words) > 2 and words[-2] in PRONOUNS and words[-1] in PARTICLES | AUXILIARIES
        return 0.5 if closes or (words[-1] in ("that", "this") and len(words) > 2) else -4.0
    if any(pattern.fullmatch(spoken) for pattern in UNFINISHED):
        return -3.0
    return _form(words)


def _form(words: list[str]) -> float:
    """What the first words promise, when the last one leaves nothing open."""
    while len(words) > 1 and words[0] in FILLERS | {"please", "and", "but", "okay", "hey", "now", "then"}:
        words = words[1:]
    if words[0] in ASKING:
        return 2.5 if len(words) >= 3 else 0.0
    if words[0] in ORDERING:
        if len(words) == 1:
            return -2.5 if words[0] in WAITING_ORDERS else 1.0
        return 2.0 if len(words) >= 3 else 0.0
    if words[0] in PRONOUNS or words[0] in ("my", "the"):
        return 1.5 if len(words) >= 4 else 0.5 if len(words) == 3 else -0.5
    return 0.5 if len(words) >= 3 else 0.0


def _korean(text: str) -> float:
    text = text.strip()
    if KOREAN_FINAL.search(text) and not re.search(r"(는데|지만|니까|어+|그리고)$", text.rsplit(" ", 1)[-1]):
        return 2.0
    return -3.0 if KOREAN_OPEN.search(text) or text.endswith(("그리고", "그런데", "그래서")) else 0.0
