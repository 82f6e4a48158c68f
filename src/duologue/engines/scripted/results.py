"""What a tool answered, as a sentence to be spoken."""

from __future__ import annotations

import json
import re
from typing import Any

from duologue.engines.scripted.words import join_words, say_number, split_name, word_set

_MAX_FACTS = 6
_SKIPPED = word_set("lat lng lon latitude longitude id time timestamp interval elevation units unit code status type")
_ERRORS = ("error", "errors", "error_message")
_PLACES = word_set("location place city name town destination")
_UNITS = (
    (re.compile(r"\s*(?:°|º|deg(?:rees)?\s?)C(?:elsius)?\b"), " degrees Celsius", "도"),
    (re.compile(r"\s*(?:°|º|deg(?:rees)?\s?)F(?:ahrenheit)?\b"), " degrees Fahrenheit", "도(화씨)"),
    (re.compile(r"\s*[°º]"), " degrees", "도"),
    (re.compile(r"(-?[\d.]+)\s*(?:km/h|kmh|kph)\b"), r"\1 kilometers per hour", r"시속 \1킬로미터"),
    (re.compile(r"(-?[\d.]+)\s*m/s\b"), r"\1 meters per second", r"초속 \1미터"),
    (re.compile(r"(-?[\d.]+)\s*mp/?h\b"), r"\1 miles per hour", r"시속 \1마일"),
    (re.compile(r"\s*%"), " percent", "퍼센트"),
    (re.compile(r"(?<=\d)\s*hPa\b"), " hectopascals", "헥토파스칼"),
    (re.compile(r"(?<=\d)\s*mm\b"), " millimeters", "밀리미터"),
    (re.compile(r"(?<=\d)\s*cm\b"), " centimeters", "센티미터"),
    (re.compile(r"(?<=\d)\s*km\b"), " kilometers", "킬로미터"),
    (re.compile(r"(?<=\d)\s*kg\b"), " kilograms", "킬로그램"),
    (re.compile(r"(?<=\d)\s*kn\b"), " knots", "노트"),
)
_KEY_UNITS = {
    "c": "°C", "celsius": "°C", "f": "°F", "fahrenheit": "°F", "kmh": "km/h", "kph": "km/h", "mph": "mph", "ms": "m/s",
    "percent": "%", "pct": "%", "km": "km", "mm": "mm", "cm": "cm", "kg": "kg", "hpa": "hPa",
}  # fmt: skip
_KOREAN_KEYS = {
    "temperature": "기온", "wind speed": "풍속", "humidity": "습도", "precipitation": "강수량", "weather": "날씨",
    "location": "위치", "name": "이름", "condition": "상태", "apparent temperature": "체감 온도",
}  # fmt: skip

_KOREAN_REASONS = {
    "service_unreachable": "서비스에 연결할 수 없습니다. 네트워크 연결을 확인해 주세요",
    "service_refused": "서비스가 요청을 거절했습니다",
    "service_nonsense": "서비스의 답을 이해할 수 없습니다",
    "timeout": "제때 답이 오지 않았습니다",
    "not_found": "찾지 못했습니다",
    "rate_limit_exceeded": "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요",
}
"""What a tool's `error.code` says, where the answer is in Korean and the tool's message is not."""


def spoken_units(text: str, language: str = "en") -> str:
    """The text with signs such as ° and km/h written out."""
    for pattern, english, korean in _UNITS:
        text = pattern.sub(korean if language == "ko" else english, text)
    return text.strip()


def speak(output: str, *, tool: str, arguments: str, language: str = "en") -> str:
    """A sentence about `output`, what the function `tool` returned for `arguments` (JSON text both, as a rule)."""
    value = _json(output)
    given = _json(arguments)
    given = given if isinstance(given, dict) else {}
    failure = _failure(value, language)
    what = " ".join(split_name(tool)) or ("그 작업" if language == "ko" else "that")
    if failure is not None:
        return _sorry(what, spoken_units(failure, language).rstrip(" .:"), language)
    if _says_only_done(value):
        return _done(what, given, language)
    if isinstance(value, dict):
        value = {key: each for key, each in value.items() if key not in ("ok", "success")}
    if isinstance(value, str):
        return _sentence(spoken_units(value, language)) or _done(what, given, language)
    if isinstance(value, bool):
        return _sentence(
            {True: "Yes", False: "No"}[value] if language == "en" else {True: "네", False: "아니요"}[value]
        )
    place = _place(given) or (_place(value) if isinstance(value, dict) else "")
    facts = _facts(value, "", {place.lower()} if place else set(), 0)
    if not facts:
        return _done(what, given, language)
    return _sentence(_compose(facts[:_MAX_FACTS], place, language))


def _sorry(what: str, reason: str, language: str) -> str:
    opening = f"죄송합니다. {what} 도구가 실패했습니다" if language == "ko" else f"Sorry, {what} failed"
    if not reason:
        return f"{opening}."
    if ":" in reason:  # a second colon would not be understood when spoken
        return f"{opening}. {_sentence(reason)}"
    return f"{opening}: {reason}" + ("" if reason[-1] in "?!…" else ".")


def _compose(facts: list[tuple[str, str]], place: str, language: str) -> str:
    if language == "ko":
        parts = [f"{_KOREAN_KEYS.get(key, key)} {spoken_units(value, 'ko')}".strip() for key, value in facts]
        told = ", ".join(parts)
        last = ord(told[-1]) - ord("가")
        ending = "입니다" if 0 <= last < 11172 else ""
        return f"{place}: {told}{ending}" if place else f"{told}{ending}"
    parts = [f"the {key} is {spoken_units(value)}" if key else spoken_units(value) for key, value in facts]
    told = join_words(parts)
    return f"In {place}, {told}" if place else told


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _failure(value: Any, language: str) -> str | None:
    if not isinstance(value, dict):
        return None
    for key in _ERRORS:
        if value.get(key):
            code = value[key].get("code") if isinstance(value[key], dict) else None
            known = _KOREAN_REASONS.get(code) if language == "ko" and isinstance(code, str) else None
            return known or _reason(value[key])
    if value.get("ok") is False or value.get("success") is False:
        return _reason(value.get("message") or value.get("reason") or "it gave no reason")
    return None


def _reason(error: Any) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error.get("reason") or error.get("code") or next(iter(error.values()), "")
    if isinstance(error, list):
        error = error[0] if error else ""
    return _scalar(error)[:300]


def _says_only_done(value: Any) -> bool:
    if value is None or value in ("", {}, []):
        return True
    if isinstance(value, str):
        return value.strip().lower() in ("ok", "done", "success")
    if value is True:
        return True
    return (
        isinstance(value, dict)
        and set(value) <= {"ok", "success", "status", "result"}
        and all(
            each is True or (isinstance(each, str) and each.lower() in ("ok", "success", "done"))
            for each in value.values()
        )
    )


def _done(what: str, given: dict[str, Any], language: str) -> str:
    shown = [(key, _scalar(each)) for key, each in given.items() if not set(split_name(key)) & _SKIPPED]
    words = [" ".join(split_name(text)) if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", text) else text for _, text in shown]
    if len(shown) == 2 and split_name(shown[0][0])[-1:] in (["key"], ["name"], ["field"]):
        if language == "ko":
            return f"완료했습니다. {_KOREAN_KEYS.get(words[0], words[0])}: {words[1]}."
        return f"Done. I noted that {words[0]} is {words[1]}."
    told = join_words(
        f"{' '.join(split_name(key))} {word}" for (key, _), word in zip(shown, words, strict=True) if word
    )
    if language == "ko":
        return f"완료했습니다: {what}{', ' if told else ''}{told}."
    return f"Done: {what}{', ' if told else ''}{told}."


def _place(values: dict[Any, Any]) -> str:
    for key, value in values.items():
        words = split_name(str(key))
        if (
            isinstance(value, str)
            and words
            and ((words[-1] in _PLACES and words[-1] != "name") or set(words) & {"city", "location"})
        ):
            return value.strip()[:80]
    return ""


def _facts(value: Any, name: str, known: set[str], depth: int) -> list[tuple[str, str]]:
    """(name, value) of every leaf worth saying."""
    if depth > 4 or value is None:
        return []
    if isinstance(value, dict):
        if "value" in value and not isinstance(value["value"], dict | list):
            unit = next((value[key] for key in ("units", "unit") if isinstance(value.get(key), str)), "")
            return [(name, f"{_scalar(value['value'])} {unit}".strip())]
        return _mapping_facts(value, known, depth)
    if isinstance(value, list):
        if all(not isinstance(each, dict | list) for each in value):
            told = join_words(_scalar(each) for each in value[:_MAX_FACTS])
            return [(name, told)] if told else []
        return [fact for each in value[:3] for fact in _facts(each, name, known, depth + 1)]
    text = _scalar(value)
    return [] if not text or text.lower() in known else [(name, text)]


def _mapping_facts(value: dict[Any, Any], known: set[str], depth: int) -> list[tuple[str, str]]:
    facts = []
    for key, each in value.items():
        words = [word for word in split_name(str(key)) if not re.fullmatch(r"\d+\w?", word)]
        if not words or (set(words) & _SKIPPED and len(value) > 1) or words[-1] in ("units", "unit"):
            continue
        unit = _unit_of(str(key), words, value)
        if words[-1] in _KEY_UNITS and len(words) > 1 and unit:
            words = words[:-1]
        if isinstance(each, dict) and isinstance(value.get(f"{key}_units"), dict):
            labels = value[f"{key}_units"]
            each = {
                inner: {"value": leaf, "units": labels.get(inner, "")} if not isinstance(leaf, dict | list) else leaf
                for inner, leaf in each.items()
            }
        found = _facts(each, " ".join(words), known, depth + 1)
        is_number = isinstance(each, int | float) and not isinstance(each, bool)
        facts += [(name, f"{text} {unit}".strip()) if is_number else (name, text) for name, text in found]
    return facts


def _unit_of(key: str, words: list[str], siblings: dict[Any, Any]) -> str:
    for name in (f"{key}_unit", f"{key}_units", "unit", "units"):
        if isinstance(siblings.get(name), str):
            return str(siblings[name])
    return _KEY_UNITS.get(words[-1], "") if len(words) > 1 else ""


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return say_number(round(value, 1) if isinstance(value, float) and abs(value) < 1e15 else value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)[:200]
    text = " ".join(str(value).split())[:600] if value is not None else ""
    return text.replace("_", " ") if re.fullmatch(r"[a-z]+(_[a-z]+)+", text) else text


def _sentence(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
