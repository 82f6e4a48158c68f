"""What the responder can say without tools, in English and Korean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from duologue.engines.scripted import values
from duologue.engines.scripted.arithmetic import calculate
from duologue.engines.scripted.orders import Orders
from duologue.engines.scripted.words import count_word, join_words, korean_number, numbers, split_name, tokens

_MAX_COUNT = 200
_ADDRESS = r"(?:\s+(?:there|duologue|everyone|again|you|all|computer|assistant))*"
_OPENING = r"^\W*(?:(?:please|hey|ok|okay|now|so|well|and|can you|could you|would you|will you)\b\W*)*"
_GREETING = re.compile(
    rf"^\W*(?:(?:hello|hi|hey|howdy|greetings|hiya|good (?:morning|afternoon|evening|day))\b{_ADDRESS}\W*)+",
    re.IGNORECASE,
)
_KOREAN_GREETING = re.compile(r"^\W*(?:안녕(?:하세요|하십니까|하신가요)?|여보세요|반가워요?|반갑습니다|하이|헬로)\W*")
_EXACT: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(rf"^\W*(?:{pattern})\W*$", re.IGNORECASE), english, korean)
    for pattern, english, korean in (
        (r"(?:(?:okay|ok|please|now)\W+)?(?:stop(?: (?:it|that|this|them|there|talking|counting))?|be quiet|quiet|enough"
         r"|that's enough|shut up|"
         r"hush|cancel|never ?mind|forget it|wait|그만|멈춰|정지|취소|조용히 해)(?: please| now)?", "Okay.", "네."),
        (r"(?:(?:okay|ok|great|good|no)\W+)?(?:thanks?|thank you|thanks a lot|many thanks|thank you (?:so "
         r"|very )much|cheers)"
         r"(?: for .*)?|고마워요?|감사합니다|고맙습니다", "You are welcome.", "천만에요."),
        (r"(?:(?:okay|ok|thanks|thank you)\W+)?(?:good ?bye|bye|bye bye|see you(?: later| soon)?|good night|farewell)"
         r"(?: now| then)?|잘 가|안녕히 (?:계세요|가세요)|잘 자", "Goodbye!", "안녕히 가세요!"),
        (r"(?:hello |hi )?how are you(?: doing)?(?: today)?|how is it going"
         r"|잘 지내\S*", "I am fine, thank you.", "잘 지냅니다. 감사합니다."),
        (r"(?:yes|yeah|yep|no|nope|okay|ok|sure|alright|all right|fine|good|great)(?: please)?|(?:네|예|응"
         r"|아니요?|좋아요?)", "Okay.", "네."),
        (r"(?:can you|do you) hear me.*|are you there|testing|test|테스트", "I hear you.", "잘 들립니다."),
        (r"(?:i am |i'm )?sorry|excuse me|미안\S*|죄송\S*", "No problem.", "괜찮습니다."),
    )
)  # fmt: skip
_SAY = re.compile(
    _OPENING + r"(?:(?:just |only )?say(?: exactly)?|echo|repeat after me|repeat (?:the words?|this"
    r"|the following))\b(?!\s+(?:that|it) again)[\s:,]*(?P<words>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_KOREAN_SAY = re.compile(r"^\W*(?P<words>.+?)[\"'”’]?(?:이라고|라고) (?:말해|해 봐|해봐|따라)\S*.*$")
_AGAIN = re.compile(
    _OPENING
    + r"(?:repeat(?: that| it| yourself| what you (?:just )?said| please)?|(?:say|come) (?:that|it)? ?again|once more|"
    r"(?:i beg your )?pardon(?: me)?|what did you (?:just )?say|one more time|what was that|다시 (?:말해"
    r"|한번)\S*(?: 줘| 주세요)?|뭐라고\S*)(?: please)?\W*$",
    re.IGNORECASE,
)
_COUNT = re.compile(_OPENING + r"count\b(?:\s+(?P<down>down|backwards?))?(?P<rest>.*)$", re.IGNORECASE)
_KOREAN_COUNT = re.compile(r"(?P<rest>[\w]+?)까지 (?:세|숫자)")
_SPELL = re.compile(_OPENING + r"(?:how do you )?spell(?: out)?\s+(?:the word\s+)?(?P<word>.+)$", re.IGNORECASE)
_WHO = re.compile(
    r"\b(?:who|what) (?:exactly )?are you\b|\bare you (?:an? )?(?:ai|human|real|robot|bot|person|computer"
    r"|language model|machine)\b|"
    r"\bwhat model\b|\bintroduce yourself\b|누구(?:세요|야|니|십니까|신가요)|뭐 하는 (?:거|사람)|자기 ?소개",
    re.IGNORECASE,
)
_YOUR_NAME = re.compile(r"\bwhat(?:'s| is) your name\b|\byour name\b.*\?|이름이 뭐|너(?:의)? 이름", re.IGNORECASE)
_HELP = re.compile(
    r"^\W*help(?: me)?\W*$|\bwhat can (?:you|i) (?:do|say|ask)\b|\bwhat do you (?:know|do)\b|뭘? ?(?:할 수"
    r"|도와)|도움말",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\bwhat(?:'s| is)? (?:the )?(?:current )?time\b|\bwhat time\b|\bcurrent time\b|\bthe time\b(?: please"
    r"| now)?\W*$|몇 ?시|시간 알려|지금 시간",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\bwhat(?:'s| is) (?:the )?(?:date|day|today)|\bwhat (?:date|day|month|year)\b|\btoday'?s date\b"
    r"|\bthe date\b(?: please| today)?\W*$|며칠"
    r"|무슨 요일|오늘 날짜|몇 월",
    re.IGNORECASE,
)
_RECALL = re.compile(
    r"\b(?:what(?:'s| is| are| was)|who(?:'s| is)|do you (?:know|remember)"
    r"|tell me)\s+my (?P<key>[\w' ]+?)(?: again| please)?\W*$|(?:내|제) (?P<ko>.+?)[이가은는]? ?(?:뭐|뭔|무엇)",
    re.IGNORECASE,
)
_WHO_AM_I = re.compile(r"^\W*(?:who am i|do you know who i am|내가 누구\S*)\W*$", re.IGNORECASE)
_DAYS = ("월요일", "화요일", "수요일", "목요일", "금요일", "토요일", "일요일")
_NATIVE = ("하나", "둘", "셋", "넷", "다섯", "여섯", "일곱", "여덟", "아홉", "열")


def without_greeting(text: str) -> str:
    """The text after its greeting; empty where it is nothing else, unchanged where there is none."""
    rest = _KOREAN_GREETING.sub("", _GREETING.sub("", text, count=1), count=1)
    return rest.strip()


def greets(text: str) -> bool:
    """Whether the text is a greeting and nothing else."""
    return bool(text.strip()) and not without_greeting(text) and any(char.isalnum() for char in text)


def greeting(orders: Orders, language: str) -> str:
    """How the responder greets."""
    if orders.greeting or orders.say:
        return orders.greeting or orders.say
    if language == "ko":
        name = orders.name or "듀올로그의 각본 응답기"
        return f"안녕하세요! {name}입니다. 무엇을 도와드릴까요?"
    return f"Hello! I am {orders.name or 'the scripted responder of Duologue'}. How can I help you?"


def control(text: str, previous: str, language: str) -> str | None:
    """The answer to what is never meant for a tool: stop, thanks, repeat, say, count, spell."""
    for pattern, english, korean in _EXACT:
        if pattern.match(text):
            return korean if language == "ko" else english
    if _AGAIN.match(text):
        return previous or ("아직 아무 말도 하지 않았습니다." if language == "ko" else "I have not said anything yet.")
    if match := _SAY.match(text) or _KOREAN_SAY.match(text):
        words = match["words"].strip()
        spoken = values.quoted(words)
        words = spoken[0].value if spoken and spoken[0].start == 0 else words.strip(" \"“”'‘’")
        return words[:1].upper() + words[1:]
    return _count(text, language) or _spell(text)


def _count(text: str, language: str) -> str | None:
    if match := _KOREAN_COUNT.search(text):
        last = _NATIVE.index(match["rest"]) + 1 if match["rest"] in _NATIVE else korean_number(match["rest"])
        last = last or next((int(each.value) for each in numbers(match["rest"])), None)
        if last is None or not 1 <= last <= _MAX_COUNT:
            return None
        return ", ".join(_NATIVE[:last] if last <= 10 else map(str, range(1, last + 1))) + "."
    match = _COUNT.match(text)
    if match is None:
        return None
    found = [int(each.value) for each in numbers(match["rest"]) if float(each.value).is_integer()]
    if not found and match["rest"].strip(" .!?"):
        return None
    first, last = (found[0], found[1]) if len(found) > 1 else (1, found[0] if found else 10)
    if match["down"] and len(found) < 2:
        first, last = last, 1
    if abs(last - first) >= _MAX_COUNT:
        return f"That is too far for me: I count up to {_MAX_COUNT} numbers at a time."
    step = 1 if last >= first else -1
    said = ", ".join(count_word(value) if value >= 0 else str(value) for value in range(first, last + step, step))
    return said[0].upper() + said[1:] + "."


def _spell(text: str) -> str | None:
    match = _SPELL.match(text)
    if match is None:
        return None
    word = values.tidy(match["word"])
    letters = [char.upper() for char in word if char.isalnum()][:60]
    return f"{word[:1].upper()}{word[1:]}: {', '.join(letters)}." if letters else None


def information(
    text: str, *, orders: Orders, tools: Sequence[str], history: Sequence[str], now: datetime, language: str
) -> str | None:
    """The answer to what is asked of nobody in particular: identity, help, time, date, sums, what the user told.

    `tools` are the names of the tools at hand, `history` the user's former sentences, oldest first.
    """
    korean = language == "ko"
    if (sum_ := calculate(text, language)) is not None:
        return sum_
    if _WHO.search(text) or _YOUR_NAME.search(text):
        return identity(orders, language)
    if _HELP.search(text):
        return _help(tools, korean)
    if _TIME.search(text):
        return (
            f"지금은 {now.hour}시 {now.minute}분입니다."
            if korean
            else f"It is {now.hour % 12 or 12}:{now.minute:02d} {'AM' if now.hour < 12 else 'PM'}."
        )
    if _DATE.search(text):
        if korean:
            return f"오늘은 {now.year}년 {now.month}월 {now.day}일 {_DAYS[now.weekday()]}입니다."
        return f"Today is {now:%A}, {now:%B} {now.day}, {now.year}."
    return _recall(text, history, korean) or _noted(text, korean)


def identity(orders: Orders, language: str) -> str:
    """What the responder says it is."""
    if language == "ko":
        name = f"제 이름은 {orders.name}입니다. " if orders.name else ""
        return f"{name}저는 듀올로그의 각본 응답기입니다. 언어 모델이 아니라 정해진 대답만 합니다."
    name = f"My name is {orders.name}. " if orders.name else ""
    return f"{name}I am Duologue's scripted responder. I am not a language model: I only know scripted answers."


def fallback(language: str) -> str:
    """The answer to everything else."""
    if language == "ko":
        return "저는 정해진 대답만 알고 있습니다. --llm-url로 모델을 연결하세요."
    return "I only know scripted answers; connect a model with --llm-url."


def unheard(language: str) -> str:
    """The answer to an empty transcript."""
    return "죄송합니다, 잘 듣지 못했습니다." if language == "ko" else "Sorry, I did not catch that."


def _help(tools: Sequence[str], korean: bool) -> str:
    names = join_words((" ".join(split_name(name)) for name in tools[:8]), "그리고" if korean else "and")
    if korean:
        more = f" 쓸 수 있는 도구: {names}." if names else ""
        return f"인사하고, 따라 말하고, 숫자를 세고, 시간을 알려 주고, 간단한 계산을 합니다.{more}"
    more = f" I can also use these tools: {names}." if names else ""
    return f"I can greet, echo, repeat, count, spell, tell the time and the date, and do small sums.{more}"


def _recall(text: str, history: Sequence[str], korean: bool) -> str | None:
    match = _RECALL.search(text)
    if match is None and not _WHO_AM_I.match(text):
        return None
    wanted = ((match["key"] or match["ko"] or "name") if match else "name").strip().lower()
    wanted = {"이름": "name", "나이": "age"}.get(wanted, wanted)
    for said in reversed(history):
        pair = values.pair(said)
        if pair is not None and pair.key.lower().replace("_", " ") == wanted:
            return f"{pair.value}입니다." if korean else f"Your {wanted} is {pair.value}."
    return "아직 말씀하지 않으셨습니다." if korean else f"You have not told me your {wanted} yet."


def _noted(text: str, korean: bool) -> str | None:
    """An answer to "my name is Anna" where no tool keeps such things."""
    pair = values.pair(text)
    if pair is None or len(tokens(pair.value)) > 8:
        return None
    if pair.key == "name":
        return f"반갑습니다, {pair.value}님." if korean else f"Nice to meet you, {pair.value}."
    return f"알겠습니다: {pair.key}, {pair.value}." if korean else f"Noted: your {pair.key} is {pair.value}."
