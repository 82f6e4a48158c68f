"""What callers may see of the upstream's events. Pure.

Sessions and responses are shown by an allow list of fields; instructions and tools only where they are the caller's own.
Behind that hangs a net: a string that quotes a secret does not pass, wherever it stands. What the model says is its own
word and is only searched for keys: no filter keeps a model from telling what it was told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from duologue.protocol.session import Tool
from duologue.relay.inbound import Inbound, tool_name
from duologue.relay.settings import Rules
from duologue.relay.shapes import canonical

Json = dict[str, Any]

SESSION_FIELDS = frozenset((
    "type", "object", "id", "model", "output_modalities", "instructions", "tools", "tool_choice", "max_output_tokens",
    "tracing", "truncation", "prompt", "expires_at", "audio", "include", "reasoning", "parallel_tool_calls",
))  # fmt: skip
RESPONSE_FIELDS = frozenset((
    "object", "id", "status", "status_details", "output", "conversation_id", "output_modalities", "max_output_tokens",
    "audio", "usage", "metadata",
))  # fmt: skip
_PLAIN_ITEMS = ("message", "function_call", "function_call_output")
_SPEECH = ("delta", "text", "transcript", "audio", "arguments", "output")
_SPEAKS = ("response.", "conversation.item.")
_GATHERED = ("instructions", "description", "prompt", "variables", "keywords", "server_url", "authorization", "headers")
_KEYS = re.compile(r"\b(?:sk|ek|rk|org|proj|sess)[-_][A-Za-z0-9*_-]{6,}")
SHORTEST_LINE = 12
QUOTE = 16
"""A message that repeats as many characters of a secret text in a row quotes it."""
LONGEST_MESSAGE = 2000
WITHHELD = "The upstream reported an error whose text is withheld."


class Scrubber:
    """Knows the secrets of one call, and takes them out of what goes to the caller."""

    def __init__(self, rules: Rules, session: Mapping[str, Any], secret_tools: tuple[Tool, ...],
                 secrets: Iterable[str], inbound: Inbound) -> None:  # fmt: skip
        self._rules = rules
        self._inbound = inbound
        self._names = [tool_name(tool) for tool in secret_tools]
        self._texts = [text for text in _strings(session, gathering=False) if text.strip()]
        self._hard = [text for text in secrets if len(text) >= 4]
        soft = {line for text in self._texts for line in _lines(text)}
        self._soft = sorted(soft, key=len, reverse=True)
        self._hard_marks = [_spelled(text) for text in self._hard]
        self._soft_marks = [_spelled(text) for text in self._soft]
        names = "|".join(map(re.escape, self._names))
        self._named = re.compile(rf"(?<![\w-])(?:{names})(?![\w-])") if names else None

    def session(self, session: Any) -> Json:
        """A session as the caller may see it."""
        if not isinstance(session, dict):
            return {}
        shown = {key: value for key, value in session.items() if key in SESSION_FIELDS}
        own = self._inbound
        if "instructions" in shown and shown["instructions"] != own.own_instructions:
            shown["instructions"] = ""
        if "tools" in shown:
            tools = shown["tools"] if isinstance(shown["tools"], list) else []
            shown["tools"] = [tool for tool in tools if isinstance(tool, dict) and _label(tool) in own.own_tools]
        choice = shown.get("tool_choice")
        if isinstance(choice, dict) and _label(choice) not in own.own_tools:
            shown["tool_choice"] = "auto"
        for name in ("prompt", "tracing"):
            if name in shown and name in self._rules.locked:
                shown[name] = None
        return shown

    def response(self, response: Any) -> Json:
        """A response as the caller may see it, but for its items."""
        if not isinstance(response, dict):
            return {}
        return {key: value for key, value in response.items() if key in RESPONSE_FIELDS}

    def error(self, error: Any) -> Json:
        """An error's details as the caller may see them. One that quotes a secret keeps its code only."""
        details = error if isinstance(error, dict) else {}
        shown = {key: details.get(key) for key in ("type", "code", "message", "param", "event_id")}
        for key in ("type", "code", "message", "param"):
            value = shown[key]
            if not isinstance(value, str) and value is not None:
                shown[key] = None
            elif isinstance(value, str) and self.quotes(value):
                shown[key] = WITHHELD if key == "message" else None
        message = shown["message"] if isinstance(shown["message"], str) else WITHHELD
        shown["message"] = _KEYS.sub("***", message[:LONGEST_MESSAGE])
        shown["type"] = shown["type"] or "server_error"
        return shown

    def quotes(self, text: str) -> bool:
        """True if the text repeats something of the secrets."""
        if self._named is not None and self._named.search(text):
            return True
        if any(line in text for line in (*self._hard, *self._soft)):
            return True
        text = text[:LONGEST_MESSAGE]
        pieces = {text[start : start + QUOTE] for start in range(max(0, len(text) - QUOTE + 1))}
        return any(piece in secret for secret in self._texts for piece in pieces)

    def shows(self, item: Any) -> bool:
        """May the caller know of this item? Tools of the server's are `hidden_tools`' business."""
        if not isinstance(item, dict):
            return False
        kind = item.get("type")
        if kind in _PLAIN_ITEMS:
            role = item.get("role")
            return kind != "message" or role in ("user", "assistant") or role in self._rules.roles
        own = kind == "mcp_approval_response" or _label(item, "server_label") in self._inbound.own_tools
        return own and self._rules.caller_mcp

    def names_key(self, frame: bytes) -> bool:
        """True if an event in its one spelling holds one of the secrets that not even the model may say."""
        return any(mark in frame for mark in self._hard_marks)

    def encoded(self, event: Json) -> bytes:
        """The event on its way to the caller, after the net. Raises ValueError for one that cannot be encoded."""
        frame = canonical(event)
        if self.names_key(frame) or any(mark in frame for mark in self._soft_marks):
            kind = str(event.get("type"))
            cleaned = self._cleaned(event, "", speaks=kind.startswith(_SPEAKS))
            frame = canonical({**cleaned, "type": event["type"]})
        return frame

    def _cleaned(self, value: Any, key: str, *, speaks: bool) -> Any:
        if isinstance(value, dict):
            return {
                name: self._cleaned(child, name, speaks=speaks)
                for name, child in value.items()
                if not self._caught(name, speech=False)
            }
        if isinstance(value, list):
            return [self._cleaned(child, key, speaks=speaks) for child in value]
        if isinstance(value, str) and self._caught(value, speech=speaks and key in _SPEECH):
            return ""
        return value

    def _caught(self, text: str, *, speech: bool) -> bool:
        if any(secret in text for secret in self._hard):
            return True
        return not speech and any(line in text for line in self._soft)


def _label(tool: Json, key: str = "") -> str | None:
    """What a tool on the wire goes by; None where that is no name."""
    named = tool.get(key or ("server_label" if tool.get("type") == "mcp" else "name"))
    return named if isinstance(named, str) else None


def _strings(value: Any, *, gathering: bool) -> list[str]:
    """The texts of a session that are nobody's business: all strings below the keys that carry them."""
    if isinstance(value, str):
        return [value] if gathering else []
    if isinstance(value, Mapping):
        return [
            text for key, child in value.items()
            for text in _strings(child, gathering=gathering or key in _GATHERED)
        ]  # fmt: skip
    if isinstance(value, list | tuple):
        return [text for child in value for text in _strings(child, gathering=gathering)]
    return []


def _lines(text: str) -> set[str]:
    """The whole text if it is short, else its lines: a peer that quotes rarely quotes all."""
    lines = {line.strip() for line in text.splitlines()}
    long = {line for line in lines if len(line) >= SHORTEST_LINE}
    whole = text.strip()
    return long or ({whole} if len(whole) >= 4 else set())


def _spelled(text: str) -> bytes:
    """The text as it stands inside of an encoded string: there, every character has one spelling."""
    return canonical(text)[1:-1]
