"""The simple orders that instructions can give to a responder that understands no more: language, name, fixed words."""

from __future__ import annotations

import re

from msgspec import Struct

from duologue.engines.scripted.values import tidy
from duologue.engines.scripted.words import HANGUL

_END = r"(?=[.!?](?:\s|$)|\n|;|$)"
_QUOTE = r"[\"“'‘](?P<quoted>[^\"”\n]+?)[\"”'’](?!\w)"
_WHAT = rf"(?::\s*)?(?:{_QUOTE}|(?P<plain>[^\n]+?){_END})"
_ALWAYS = re.compile(
    r"\b(?:(?:always|only|just|simply) say(?: only| exactly)?|(?:say|answer|respond|reply) (?:only|exactly|just)(?: with)?)"
    rf"(?: exactly)?(?: the words?)?\s*{_WHAT}",
    re.IGNORECASE,
)
_REPLY = re.compile(
    r"\b(?:answer|respond|reply)(?: to)?(?: every \w+| everything| only| always)? with"
    r"(?P<exact> (?:exactly|only|just|nothing but))?(?: (?:the|one|a single) (?:words?|sentence)\b)?"
    rf"(?P<colon>:)?\s*{_WHAT}",
    re.IGNORECASE,
)
# "Reply with care" and "answer only in English" say how, not what.
_MANNER = re.compile(
    r"(?:in|an?|the|your|my|short|brief|simple|clear|concise|care|kindness|empathy|humou?r|respect|text|audio|json|one|if|when"
    r"|what|questions?|about|based|using|\w+ly)\b",
    re.IGNORECASE,
)
_SAY = re.compile(
    rf"^\W*(?:please\s+)?(?:say|repeat|tell the user|utter)\b(?:\s+the (?:words?|sentence))?\s*{_WHAT}",
    re.IGNORECASE,
)
_GREET = re.compile(
    rf"\b(?:greet(?: the user| them| users| everyone| people| callers)?|open|begin|start)"
    rf"(?: the (?:call|conversation))? (?:with|by saying|saying)\s*{_WHAT}",
    re.IGNORECASE,
)
_MENTION = re.compile(
    rf"\b(?:always|must|every answer should)\s+(?:mention|include)(?: the words?)?\s*{_WHAT}"
    rf"|\bmention (?P<bare>[^.\n]+?) in (?:every|each|all)",
    re.IGNORECASE,
)
_FINISH = re.compile(
    rf"\b(?:end|finish|close) (?:every|each|all|your)\b[^.\n]*? with(?: the words?)?\s*{_WHAT}", re.IGNORECASE
)
_PREFIX = re.compile(
    rf"\b(?:start|begin) (?:every|each|all|your) (?:answers?|repl(?:y|ies)|responses?"
    rf"|sentences?)\b[^.\n]*? with(?: the words?)?\s*{_WHAT}",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\b(?:your name is|you are called|you're called|call yourself"
    r"|you go by)\s+[\"“']?(?P<name>[^\W\d_][\w'-]*(?: [A-Z]\w+)?)"
    r"|\b[Yy]ou are (?P<title>(?!A\b|An\b|The\b)[A-Z][a-z]+)(?=[,.]|\s+(?:the|an?)\b)",
)
_NAME_LOOSE = re.compile(r"\b(?:your name is|call yourself)\s+(?P<name>\w+)", re.IGNORECASE)
_BRIEF = re.compile(
    r"\b(?:be|keep\b.*?|stay|answer|respond|reply|speak)\s+(?:very |extremely |it )?(?:brief|concise|short"
    r"|terse|briefly|concisely)\b",
    re.IGNORECASE,
)
_EVERYWHERE = re.compile(r"\s+(?:in|to|at|of) (?:the )?(?:every|each|all|your|end)\b.*$", re.IGNORECASE)
_IF_ASKED = re.compile(r"[^.\n]{0,30}\b(?:unless|if|when|or|by default|at first)\b", re.IGNORECASE)
_LANGUAGES = {"korean": "ko", "한국어": "ko", "한국말": "ko", "english": "en", "영어": "en"}
_LANGUAGE = re.compile(
    r"\b(?:speak|answer|respond|reply|talk|use|write|converse|communicate"
    r"|greet)\b[^.\n]{0,40}?\b(?P<en>korean|english)\b"
    r"|(?P<ko>한국어|한국말|영어)(?:로|만)|\blanguage\W+(?:is\W+)?(?P<set>korean|english)\b",
    re.IGNORECASE,
)


class Orders(Struct, frozen=True, kw_only=True):
    """What the instructions ask for; empty strings where they say nothing.

    `always` replaces every answer, `say` only the answer to nothing in particular.
    """

    always: str = ""
    say: str = ""
    greeting: str = ""
    mention: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    name: str = ""
    language: str = ""
    brief: bool = False


def read_orders(instructions: str) -> Orders:
    """The orders found in `instructions`; anything else in them is left alone."""
    text = instructions[:20_000]
    return Orders(
        always=_always(text),
        say=_said(text),
        greeting=_what(_GREET.search(text)),
        mention=tuple(dict.fromkeys(filter(None, map(_what, _MENTION.finditer(text))))),
        prefix=_what(_PREFIX.search(text)),
        suffix=_what(_FINISH.search(text)),
        name=_name(text),
        language=_language(text),
        brief=bool(_BRIEF.search(text)),
    )


def _what(match: re.Match[str] | None) -> str:
    if match is None:
        return ""
    groups = match.groupdict()
    words = groups.get("quoted") or groups.get("plain") or groups.get("bare") or ""
    return tidy(_EVERYWHERE.sub("", words)) if not groups.get("quoted") else words.strip()


def _always(text: str) -> str:
    """The words that are to answer everything."""
    match = _ALWAYS.search(text) or _REPLY.search(text)
    words = _what(match)
    if match is None or match["quoted"]:
        return words
    groups = match.groupdict()
    plain = groups.get("exact") or groups.get("colon") or ":" in match.group()
    return words if plain or not (_MANNER.match(words) or len(words.split()) > 6) else ""


def _said(text: str) -> str:
    """What a one-line order such as "Say hello to the user" wants to be said."""
    match = _SAY.match(text.strip())
    if match is None or len(text.strip()) > 300 or "\n" in text.strip():
        return ""
    words = _what(match)
    if match["quoted"]:
        return words
    words = re.sub(
        r"\s+(?:to|for) (?:the )?(?:user|caller|customer|them|me|everyone)\b.*$", "", words, flags=re.IGNORECASE
    )
    words = re.sub(r"^in (?:an?|one|two) (?:\w+ )?sentences? ", "", words, flags=re.IGNORECASE)
    words = re.sub(r",? and (?:then )?say ", ". ", words)
    words = re.sub(r"^that\s+", "", words, flags=re.IGNORECASE)
    if (_MANNER.match(words) and not match.group().lower().count(" that ")) or re.match(
        r"(?:just|only|nothing|slowly|clearly|like|as|with)\b", words, re.IGNORECASE
    ):
        return ""
    parts = (part[:1].upper() + part[1:] for part in words.split(". "))
    return ". ".join(parts)


def _name(text: str) -> str:
    match = _NAME.search(text) or _NAME_LOOSE.search(text)
    if match is None:
        return ""
    return next(value for value in match.groupdict().values() if value)


def _language(text: str) -> str:
    match = _LANGUAGE.search(text)
    if match is None or _IF_ASKED.match(text, match.end()):
        return ""
    return _LANGUAGES.get(next(value for value in match.groupdict().values() if value).lower(), "")


def is_korean(text: str) -> bool:
    """Whether there is Hangul in the text."""
    return bool(HANGUL.search(text))
