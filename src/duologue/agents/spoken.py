"""What is being said in each answer, for the application and for the guardrails: sound, words, beginning and end. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from duologue.agents.config import Cast
from duologue.agents.effects import CheckOutput, Cut, Effect, Note, Release, Respond, Tell
from duologue.agents.events import AudioData, AudioEnd, AudioStart, GuardrailTripped, TranscriptDelta, TranscriptDone
from duologue.agents.guardrails import (
    Check,
    GuardrailSettings,
    HeldAudio,
    InputGuardrail,
    OutputGuardrail,
    OutputWatch,
    Sound,
)
from duologue.agents.tools import Verdict
from duologue.protocol import server_events as ev

SAFE = "safe_phrase"
_REMEMBERED = 64
_POLICY = (
    "Your last answer was stopped before the user heard all of it: it must not be said ({names}).{hints} "
    "Answer the user again without it."
)


Finding = tuple[OutputGuardrail, Verdict]
"""What one guardrail found in a text."""


def names_of(findings: Sequence[tuple[OutputGuardrail | InputGuardrail, Verdict]]) -> str:
    """Whose findings they are."""
    return ", ".join(guardrail.name for guardrail, _ in findings)


def hints_of(findings: Sequence[tuple[OutputGuardrail | InputGuardrail, Verdict]]) -> str:
    """What the model is told to do instead."""
    return "".join(f" {hint}" for guardrail, verdict in findings if (hint := verdict.message or guardrail.policy_hint))


def heard(event: ev.ResponseOutputAudioDelta) -> AudioData:
    """The sound as the application gets it."""
    return AudioData(
        audio=event.delta, response_id=event.response_id, item_id=event.item_id, content_index=event.content_index
    )


class Spoken:
    """The answers of one session."""

    def __init__(self, settings: GuardrailSettings) -> None:
        self.settings = settings
        self.watch = OutputWatch(settings)
        self.playing = ""
        """The item that was spoken last."""
        self.sounded = False
        """Whether any sound was ever made: then the voice is fixed."""
        self.sounding = False
        """In a call: whether an answer is being played."""
        self._held = HeldAudio()
        self.begun: OrderedDict[str, None] = OrderedDict()
        """Items whose first sound was heard: more of it decides nothing."""
        self._made: OrderedDict[str, str] = OrderedDict()

    def hold(self, sound: Sound, cast: Cast) -> bool:
        """Whether the sound has to wait for a check."""
        if not (self.settings.hold_audio and cast.output_guardrails) or self.watch.is_exempt(sound.response_id):
            return False
        return self._held.put(sound)

    def sound(self, event: ev.ResponseOutputAudioDelta) -> list[Effect]:
        """Sound to be heard."""
        if event.item_id in self.begun:
            return [Tell(heard(event))]
        self.sounded = True
        self.playing = event.item_id
        self.begun[event.item_id] = None
        while len(self.begun) > _REMEMBERED:
            self.begun.popitem(last=False)
        return [Tell(AudioStart(response_id=event.response_id, item_id=event.item_id)), Tell(heard(event))]

    def makes(self, response_id: str, item_id: str) -> None:
        """An answer gets content: in a call, where no sound is in the events, this tells which item will be heard."""
        self._made[response_id] = item_id
        while len(self._made) > _REMEMBERED:
            self._made.popitem(last=False)

    def call_sounds(self, response_id: str) -> list[Effect]:
        """In a call: an answer begins to play."""
        self.sounded = self.sounding = True
        self.playing = self._made.get(response_id, "")
        return [Tell(AudioStart(response_id=response_id, item_id=self.playing))]

    def sound_ended(self, event: ev.ResponseOutputAudioDone) -> list[Effect]:
        """All sound of an item was made."""
        return [Tell(AudioEnd(response_id=event.response_id, item_id=event.item_id))]

    def words(self, response_id: str, item_id: str, delta: str, cast: Cast) -> list[Effect]:
        """More words."""
        effects: list[Effect] = [Tell(TranscriptDelta(role="assistant", item_id=item_id, delta=delta))]
        if not cast.output_guardrails:
            return effects
        return effects + self._check(self.watch.said(response_id, item_id, delta), cast)

    def all_words(self, response_id: str, item_id: str, text: str, cast: Cast) -> list[Effect]:
        """The words are whole."""
        effects: list[Effect] = [Tell(TranscriptDone(role="assistant", item_id=item_id, text=text))]
        if not cast.output_guardrails:
            return effects
        if not text.strip():
            return effects + self._release(self._held.free(response_id, item_id))
        return effects + self._check(self.watch.said_all(response_id, item_id, text), cast)

    def checked(self, check: Check, findings: Sequence[Finding], cast: Cast) -> list[Effect]:
        """The guardrails have looked."""
        tripped = [each for each in findings if each[1].tripped]
        remedy = self.watch.found(check, tripped=bool(tripped))
        if remedy is None:
            free = () if tripped else self._held.passed(check)
            if not self.watch.knows(check.response_id):
                self._held.drop(check.response_id)
            return self._release(free)
        self._held.drop(check.response_id)
        effects: list[Effect] = [
            Tell(
                GuardrailTripped(
                    agent=cast.agent,
                    guardrail=guardrail.name,
                    item_id=check.item_id,
                    text=check.text,
                    info=verdict.info,
                    remedy=remedy,
                )
            )
            for guardrail, verdict in tripped
        ]
        effects.append(Cut())
        if remedy == "retry":
            effects.append(Note(text=_POLICY.format(names=names_of(tripped), hints=hints_of(tripped))))
            effects.append(Respond())
        elif remedy == "safe_phrase":
            effects.append(Respond(instructions=self.settings.safe_phrase, verbatim=True, purpose=SAFE))
        return effects

    def response_done(self, response_id: str) -> list[Effect]:
        """Nothing more of it comes. Sound whose words were never told was never checked, and is not heard."""
        if not self.watch.response_done(response_id):
            self._held.drop(response_id)
        return []

    def _check(self, checks: list[Check], cast: Cast) -> list[Effect]:
        for check in checks:
            self._held.asked(check)
        return [CheckOutput(check=check, cast=cast) for check in checks]

    def _release(self, sounds: tuple[Sound, ...]) -> list[Effect]:
        return [Release(sounds)] if sounds else []
