"""What may be said and asked: guardrails, and when each has to look. Pure.

The words of an answer are checked while they come and always once more when they are whole, so that a short answer is seen
too. An answer that trips is cut once. How often a turn may be tried again is bounded; after that a fixed phrase is said.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, overload

from duologue.agents.tools import Verdict
from duologue.protocol.server_events import ResponseOutputAudioDelta, ResponseOutputAudioDone

GuardrailFunction = Callable[..., Verdict | bool | Awaitable[Verdict | bool]]
"""Of (context, agent, text). True, or a tripped Verdict: this must not be said."""

_SENTENCE_END = re.compile(r"[.!?。！？]\s*$")


@dataclass(frozen=True, kw_only=True)
class OutputGuardrail:
    """A check of what the agent says. `policy_hint` tells the model what to do instead."""

    name: str
    execute: GuardrailFunction
    policy_hint: str = ""


@dataclass(frozen=True, kw_only=True)
class InputGuardrail:
    """A check of what the user says, before anything is answered. `policy_hint` tells the model how to decline."""

    name: str
    execute: GuardrailFunction
    policy_hint: str = ""


@overload
def output_guardrail(function: GuardrailFunction, /) -> OutputGuardrail: ...
@overload
def output_guardrail(*, name: str = "", policy_hint: str = "") -> Callable[[GuardrailFunction], OutputGuardrail]: ...


def output_guardrail(function: GuardrailFunction | None = None, *, name: str = "", policy_hint: str = "") -> Any:
    """Decorator: an OutputGuardrail of a function of (context, agent, text)."""
    if function is None:

        def decorate(decorated: GuardrailFunction) -> OutputGuardrail:
            return OutputGuardrail(name=name or decorated.__name__, execute=decorated, policy_hint=policy_hint)

        return decorate
    return OutputGuardrail(name=function.__name__, execute=function)


@overload
def input_guardrail(function: GuardrailFunction, /) -> InputGuardrail: ...
@overload
def input_guardrail(*, name: str = "", policy_hint: str = "") -> Callable[[GuardrailFunction], InputGuardrail]: ...


def input_guardrail(function: GuardrailFunction | None = None, *, name: str = "", policy_hint: str = "") -> Any:
    """Decorator: an InputGuardrail of a function of (context, agent, text)."""
    if function is None:

        def decorate(decorated: GuardrailFunction) -> InputGuardrail:
            return InputGuardrail(name=name or decorated.__name__, execute=decorated, policy_hint=policy_hint)

        return decorate
    return InputGuardrail(name=function.__name__, execute=function)


@dataclass(frozen=True, kw_only=True)
class GuardrailSettings:
    """When answers are checked and what follows.

    `debounce_text_length`: after so many new characters, 0 for the whole answer only; `by_sentence`: also at the end of each
    sentence. `hold_audio` keeps sound back until the words up to it were checked. After `max_retries` answers of one turn
    that tripped, `safe_phrase` is said instead.
    """

    debounce_text_length: int = 100
    by_sentence: bool = False
    hold_audio: bool = False
    max_retries: int = 1
    safe_phrase: str = "I am sorry, I cannot help with that."


@dataclass(frozen=True, kw_only=True)
class Check:
    """Words that the guardrails have to look at now. `whole`: nothing will be added to them."""

    check_id: int
    response_id: str
    item_id: str
    text: str
    whole: bool


Remedy = Literal["retry", "safe_phrase", "cut"]
"""Ask again, say the fixed phrase, or only stop: the user has spoken since."""
Sound = ResponseOutputAudioDelta | ResponseOutputAudioDone


class _Watched:
    """The words of one answer."""

    __slots__ = ("checked", "open", "over", "text", "tripped", "turn", "whole")

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self.text = ""
        self.checked = 0
        self.open: set[int] = set()
        self.tripped = False
        self.whole = False
        self.over = False


class OutputWatch:
    """Follows the words of all answers of a session."""

    def __init__(self, settings: GuardrailSettings) -> None:
        self._settings = settings
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._asked = 0
        self._retries = 0
        self._turn = 0
        self._exempt: set[str] = set()

    def user_spoke(self) -> None:
        """A new turn: its answers may be tried anew."""
        self._retries = 0
        self._turn += 1

    def exempt(self, response_id: str) -> None:
        """This answer says the safe phrase: to check it could go on for ever."""
        self._exempt.add(response_id)

    def said(self, response_id: str, item_id: str, delta: str) -> list[Check]:
        """More words of an answer; what has to be checked now, one check or none."""
        if response_id in self._exempt:
            return []
        watched = self._watched.setdefault((response_id, item_id), _Watched(self._turn))
        if watched.whole or watched.tripped:
            return []
        watched.text += delta
        length = self._settings.debounce_text_length
        due = length > 0 and len(watched.text) - watched.checked >= length
        if due or (self._settings.by_sentence and _SENTENCE_END.search(watched.text)):
            return [self._check(response_id, item_id, watched)]
        return []

    def said_all(self, response_id: str, item_id: str, text: str) -> list[Check]:
        """The words are whole. They are always checked, but for those that were checked just so."""
        if response_id in self._exempt:
            return []
        watched = self._watched.setdefault((response_id, item_id), _Watched(self._turn))
        if watched.whole or watched.tripped:
            return []
        watched.text, watched.whole = text, True
        if not text.strip():
            return []
        return [self._check(response_id, item_id, watched)]

    def found(self, check: Check, *, tripped: bool) -> Remedy | None:
        """A check has come back: what to do about the answer, once for each that trips; None where it may go on."""
        watched = self._watched.get((check.response_id, check.item_id))
        if watched is None:
            return None
        watched.open.discard(check.check_id)
        if watched.over and not watched.open:
            del self._watched[check.response_id, check.item_id]
        if not tripped or watched.tripped:
            return None
        for (response_id, _), each in self._watched.items():
            each.tripped = each.tripped or response_id == check.response_id
        if watched.turn != self._turn:
            return "cut"
        self._retries += 1
        return "retry" if self._retries <= self._settings.max_retries else "safe_phrase"

    def response_done(self, response_id: str) -> bool:
        """Nothing more of this answer comes; words whose checks have come back are forgotten. True where some have not."""
        self._exempt.discard(response_id)
        for key, watched in self._watched.items():
            watched.over = watched.over or key[0] == response_id
        for key in [key for key, watched in self._watched.items() if watched.over and not watched.open]:
            del self._watched[key]
        return self.knows(response_id)

    def knows(self, response_id: str) -> bool:
        """Whether words of this answer may still come, or are being checked."""
        return any(key[0] == response_id for key in self._watched)

    def is_exempt(self, response_id: str) -> bool:
        """Whether nothing of this answer is checked."""
        return response_id in self._exempt

    def _check(self, response_id: str, item_id: str, watched: _Watched) -> Check:
        self._asked += 1
        watched.checked = len(watched.text)
        watched.open.add(self._asked)
        return Check(
            check_id=self._asked, response_id=response_id, item_id=item_id, text=watched.text, whole=watched.whole
        )


class HeldAudio:
    """Sound that waits for the check of the words that came with it. Only for sessions that hold audio back."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], list[Sound]] = {}
        self._asked: dict[int, tuple[tuple[str, str], int]] = {}
        self._free: set[tuple[str, str]] = set()

    def put(self, sound: Sound) -> bool:
        """Sound of an answer, or its end. True where it is kept back."""
        key = (sound.response_id, sound.item_id)
        if key in self._free:
            return False
        self._waiting.setdefault(key, []).append(sound)
        return True

    def asked(self, check: Check) -> None:
        """All sound that came before this check waits for it."""
        key = (check.response_id, check.item_id)
        self._asked[check.check_id] = (key, len(self._waiting.get(key, ())))

    def passed(self, check: Check) -> tuple[Sound, ...]:
        """The sound that may be heard now, in order."""
        if check.check_id not in self._asked:
            return ()  # the answer was dropped meanwhile
        key, count = self._asked.pop(check.check_id)
        if check.whole:
            return self.free(*key)
        waiting = self._waiting.get(key, [])
        free = tuple(waiting[:count])
        del waiting[:count]
        # Checks of one item see ever more of the same words: an earlier one that comes back later finds its sound gone.
        self._asked = {
            other: (own, max(0, at - len(free)) if own == key else at) for other, (own, at) in self._asked.items()
        }
        return free

    def free(self, response_id: str, item_id: str) -> tuple[Sound, ...]:
        """Nothing of this item needs to wait any more."""
        self._free.add((response_id, item_id))
        return tuple(self._waiting.pop((response_id, item_id), ()))

    def drop(self, response_id: str) -> None:
        """The answer is over or was cut: what still waits of it is not heard."""
        for key in [key for key in self._waiting if key[0] == response_id]:
            del self._waiting[key]
        self._free = {key for key in self._free if key[0] != response_id}
        self._asked = {check: asked for check, asked in self._asked.items() if asked[0][0] != response_id}
