"""Small sums as people say them: "what is seven times eight", "12.5 / 4", "칠 곱하기 팔"."""

from __future__ import annotations

import re

from duologue.engines.scripted.words import korean_number, numbers, say_number

_ASKING = re.compile(
    r"^\W*(?:(?:and|so|now|please|hey|ok|okay|can you|could you|tell me)\W+)*"
    r"(?:what is|what's|whats|how much is|how much are|calculate|compute|work out|what are|what do you get for)?\W*",
    re.IGNORECASE,
)
_OPERATORS = (
    ("+", re.compile(r"\s*(?:\+|\bplus\b|\band\b(?= \w+$)|더하기)\s*", re.IGNORECASE)),
    ("-", re.compile(r"\s*(?:(?<=[\w\s])[-−–](?=\s*\w)|\bminus\b|\bless\b|빼기)\s*", re.IGNORECASE)),
    ("*", re.compile(r"\s*(?:[*×]|(?<=\d)\s*x\s*(?=\d)|\btimes\b|\bmultiplied by\b|곱하기)\s*", re.IGNORECASE)),
    ("/", re.compile(r"\s*(?:[/÷]|\bdivided by\b|\bover\b|나누기)\s*", re.IGNORECASE)),
)
_SAID = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
_KOREAN_SAID = {"+": "더하기", "-": "빼기", "*": "곱하기", "/": "나누기"}
_FORMS = (
    (re.compile(r"(?:the )?sum of (.+) and (.+)", re.IGNORECASE), "+"),
    (re.compile(r"(?:the )?difference (?:of|between) (.+) and (.+)", re.IGNORECASE), "-"),
    (re.compile(r"(?:the )?product of (.+) and (.+)", re.IGNORECASE), "*"),
    (re.compile(r"add (.+) (?:and|to) (.+)", re.IGNORECASE), "+"),
    (re.compile(r"multiply (.+) (?:by|and|with) (.+)", re.IGNORECASE), "*"),
    (re.compile(r"divide (.+) by (.+)", re.IGNORECASE), "/"),
)
_KOREAN_TAIL = re.compile(r"(?:은|는|이|가|을|를)?(?:\s*(?:뭐|얼마|몇|계산)\S*)?[\s?.!]*$")


def calculate(text: str, language: str = "en") -> str | None:
    """The sum in `text` with its result as a sentence; None where the text is no sum of two to eight numbers."""
    rest = _ASKING.sub("", text, count=1).strip()
    rest = re.sub(r"\s*(?:please|equals?|is)?[\s?.!=,]*$", "", rest, flags=re.IGNORECASE)
    for form, sign in _FORMS:
        if (match := form.fullmatch(rest)) is not None:
            rest = f"{match[1]} {_SAID[sign]} {match[2]}"
    values, signs = _parse(_KOREAN_TAIL.sub("", rest))
    if not signs:
        return None
    said = _KOREAN_SAID if language == "ko" else _SAID
    told = say_number(values[0]) + "".join(
        f" {said[sign]} {say_number(value)}" for sign, value in zip(signs, values[1:], strict=True)
    )
    result = _evaluate(values, signs)
    if result is None:
        return "0으로는 나눌 수 없습니다." if language == "ko" else "Nothing can be divided by zero."
    if language == "ko":
        return f"{told}, 답은 {say_number(result)}입니다."
    about = "is about" if isinstance(result, float) and round(result, 4) != result else "is"
    return f"{told[0].upper()}{told[1:]} {about} {say_number(result)}."


def _parse(text: str) -> tuple[list[int | float], list[str]]:
    values: list[int | float] = []
    signs: list[str] = []
    start = 0
    cuts = sorted(
        (match.start(), match.end(), sign) for sign, operator in _OPERATORS for match in operator.finditer(text)
    )
    for low, high, sign in cuts:
        if low < start:
            continue
        value = _number(text[start:low])
        if value is None:
            if sign == "-" and not text[start:low].strip():
                continue
            return [], []
        values.append(value)
        signs.append(sign)
        start = high
    last = _number(text[start:])
    if last is None or not 1 <= len(signs) <= 7:
        return [], []
    return [*values, last], signs


def _number(text: str) -> int | float | None:
    bare = text.strip()
    found = numbers(bare)
    if len(found) == 1 and found[0].start == 0 and found[0].end == len(bare) and abs(found[0].value) < 1e15:
        return found[0].value
    return korean_number(bare)


def _evaluate(values: list[int | float], signs: list[str]) -> int | float | None:
    """Times and divided before plus and minus; None for a division by zero."""
    terms: list[int | float] = [values[0]]
    for sign, value in zip(signs, values[1:], strict=True):
        if sign == "*":
            terms[-1] *= value
        elif sign == "/":
            if value == 0:
                return None
            quotient = terms[-1] / value
            terms[-1] = int(quotient) if quotient.is_integer() else quotient
        else:
            terms.append(value if sign == "+" else -value)
    return sum(terms)
