"""Generated stories: whatever is said, in whatever order, the laws of a session hold."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from script import FRAME_MS, SILENCE, SPEECH, Script, lines, pcm
from strict import check_events

from duologue.protocol.session import AudioFormat, PcmaFormat, PcmuFormat
from duologue.server import inputs
from duologue.server.commands import (
    AbortUtterance,
    FinishUtterance,
    OpenUtterance,
    ReportDropped,
    StartModel,
    StopModel,
)
from duologue.server.config import first_session
from duologue.server.formats import PCM, encoded
from duologue.server.rules import Rules

VAD = {"type": "server_vad", "silence_duration_ms": 200}
PHRASES = (
    "talk", "pause", "breathe", "write", "speak", "call a tool", "finish", "run out", "break down", "ask", "ask aside",
    "cancel", "type", "answer the tool", "understand", "misunderstand", "commit", "clear", "by hand", "by voice",
    "politely", "truncate", "delete", "retrieve", "nonsense", "wait",
    "guess", "give up early", "switch the format", "switch settings", "settings out of range", "ask with own sound",
    "ask with a reference", "ask in a voice of its own", "show a picture", "put in a line", "type it twice",
    "call by hand", "cancel one", "clear the loudspeaker", "stay silent", "write", "speak",
    # whole scenes, so that a story gets somewhere; those that matter most come more often
    "take a turn", "take a turn", "take a turn", "be answered", "be answered", "start answering", "start answering",
    "interrupt", "interrupt", "talk over it and cut",
)  # fmt: skip
MUST_REACH = {
    "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed",
    "input_audio_buffer.cleared", "conversation.item.truncated", "conversation.item.deleted", "error",
    "conversation.item.input_audio_transcription.completed", "conversation.item.input_audio_transcription.failed",
    "response completed", "response cancelled by turn_detected", "response cancelled by client_cancelled",
    "response incomplete", "response failed", "response.function_call_arguments.done", "out of band",
    "late output dropped", "truncated while speaking", "rate_limits.updated", "session.updated", "words while spoken",
    "conversation.item.input_audio_transcription.delta", "input_audio_buffer.timeout_triggered", "G.711 spoken",
    "context dropped", "rate limited", "own sound", "transcription session", "conversation.item.retrieved",
}  # fmt: skip


class Teller:
    """Tells one story to one session; what a phrase needs (an item, a running model) it picks by `choice`."""

    def __init__(self, chunk_ms: int = 20, *, scribe: bool = False) -> None:
        rules = Rules(frame_ms=FRAME_MS, context_tokens=800, tokens_per_minute=700)
        name = "x" if scribe else None
        start = first_session(session_id="sess_1", model="x", now_s=0, seconds=3600, transcriber=name, wish=None)
        self.script = Script(rules=rules, start=start)
        self.kind = "transcription" if scribe else "realtime"
        self.format: AudioFormat = PCM
        self.log: list[str] = []
        self.chunk_ms = chunk_ms
        self.sent_ids: set[str] = set()
        self.reached: Counter[str] = Counter()
        self._update(audio={"input": {"turn_detection": VAD, "transcription": {"model": "x"}}})

    def tell(self, phrase: str, choice: int) -> None:
        handler = getattr(self, "_" + phrase.replace(" ", "_"))
        before = len(self.script.commands)
        self.script.give(inputs.Tick())  # what was due is done before, so that the phrase shows only its own doing
        self.log.append(f">> {phrase} ({choice})")
        handler(choice)
        self.log += [f"<< {line}" for line in lines(self.script.commands[before:])]
        ledger = self.script.machine.audio_ledger()
        assert ledger.appended_bytes == ledger.committed_bytes + ledger.cleared_bytes + ledger.buffered_bytes

    def send(self, kind: str, **fields: Any) -> list[str]:
        event_id = f"mine_{len(self.sent_ids)}"
        self.sent_ids.add(event_id)
        before = len(self.script.events())
        out = self.script.client(kind, event_id=event_id, **fields)
        for event in self.script.events()[before:]:
            if event["type"] == "error":
                assert event["error"]["event_id"] == event_id
        return out

    def sound(self, ms: int, sound: bytes) -> None:
        data = encoded(pcm(ms, sound), self.format)
        step = (48 if self.format == PCM else 8) * self.chunk_ms
        for start in range(0, len(data), step):
            self.send("input_audio_buffer.append", audio=data[start : start + step])

    def running(self) -> list[str]:
        over = {c.response_id for c in self.script.commands if isinstance(c, StopModel)}
        over |= {e["response"]["id"] for e in self.script.events() if e["type"] == "response.done"}
        return [start.response_id for start in self.script.requests() if start.response_id not in over]

    def model(self, choice: int, make: Any) -> None:
        running = self.running()
        started = [start.response_id for start in self.script.requests()]
        if started and choice % 5 == 0:
            late = started[choice % len(started)]
            out = self.script.give(make(late))
            if late not in running:
                assert out == []
                self.reached["late output dropped"] += 1
        elif running:
            self.script.give(make(running[choice % len(running)]))

    def items(self) -> list[str]:
        return list(self.script.machine.conversation.history) or ["nobody"]

    def item(self, choice: int) -> str:
        return self.items()[choice % len(self.items())]

    def untranscribed(self) -> list[str]:
        commands = self.script.commands
        gone = {c.item_id for c in commands if isinstance(c, AbortUtterance)}
        finished = [c.item_id for c in commands if isinstance(c, FinishUtterance)]
        return [item_id for item_id in finished if item_id not in gone] or ["nobody"]

    # the phrases

    def _take_a_turn(self, choice: int) -> None:
        self._by_voice(choice)
        self._talk(choice)
        self._pause(choice)
        self.script.give(inputs.TranscriptReady(item_id=self.untranscribed()[-1], text="hello"))

    def _start_answering(self, choice: int) -> None:
        if not self.running():
            self._ask(choice)
        for response_id in self.running()[-1:]:
            for _ in range(1 + choice % 3):
                self.script.give(inputs.ModelText(response_id=response_id, text="some more words. "))
                self.script.give(inputs.VoiceAudio(response_id=response_id, audio=pcm(300 + choice)))
                self.script.give(inputs.VoiceMark(response_id=response_id, characters=17))

    def _be_answered(self, choice: int) -> None:
        self._start_answering(choice)
        for response_id in self.running()[-1:]:
            self.script.give(inputs.ModelDone(response_id=response_id, reason="stop"))

    def _interrupt(self, choice: int) -> None:
        self._by_voice(choice)
        self._start_answering(choice)
        self._talk(choice)

    def _talk_over_it_and_cut(self, choice: int) -> None:
        self._start_answering(choice)
        self._truncate(choice)
        if choice % 2:
            self._talk(choice)

    def _talk(self, choice: int) -> None:
        self.sound(100 + choice * 7, SPEECH)

    def _pause(self, choice: int) -> None:
        self.sound(250 + choice * 3, SILENCE)

    def _breathe(self, choice: int) -> None:
        self.sound(5 + choice % 50, SPEECH if choice % 2 else SILENCE)

    def _write(self, choice: int) -> None:
        self.model(choice, lambda r: inputs.ModelText(response_id=r, text=f"word{choice} "))

    def _speak(self, choice: int) -> None:
        self.model(choice, lambda r: inputs.VoiceAudio(response_id=r, audio=pcm(10 + choice * 9)))
        self.model(choice, lambda r: inputs.VoiceMark(response_id=r, characters=5))

    def _call_a_tool(self, choice: int) -> None:
        for name, arguments in (("look", ""), (None, '{"a":'), (None, "1}")):
            self.model(
                choice, lambda r, n=name, a=arguments: inputs.ModelToolCall(response_id=r, index=0, name=n, arguments=a)
            )

    def _finish(self, choice: int) -> None:
        self.model(choice, lambda r: inputs.ModelDone(response_id=r, reason="stop"))

    def _run_out(self, choice: int) -> None:
        self.model(choice, lambda r: inputs.ModelDone(response_id=r, reason="length"))

    def _break_down(self, choice: int) -> None:
        self.model(choice, lambda r: inputs.ModelFailed(response_id=r, code="server_error", message="gone"))

    def _ask(self, choice: int) -> None:
        self.send("response.create")

    def _ask_aside(self, choice: int) -> None:
        if "response.created" in self.send("response.create", response={"conversation": "none"}):
            self.reached["out of band"] += 1

    def _cancel(self, choice: int) -> None:
        self.send("response.cancel")

    def _type(self, choice: int) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        previous = (None, "root", self.item(choice))[choice % 3]
        self.send("conversation.item.create", item=item, previous_item_id=previous)

    def _answer_the_tool(self, choice: int) -> None:
        calls = [
            e["item"]["call_id"]
            for e in self.script.events()
            if e["type"] == "conversation.item.added" and e["item"]["type"] == "function_call"
        ]
        call_id = calls[choice % len(calls)] if calls else "nobody"
        output = {"type": "function_call_output", "call_id": call_id, "output": "{}"}
        self.send("conversation.item.create", item=output)

    def _understand(self, choice: int) -> None:
        waiting = self.untranscribed()
        text = "" if choice % 7 == 0 else "hello"
        self.script.give(inputs.TranscriptReady(item_id=waiting[-1 - choice % len(waiting)], text=text))

    def _misunderstand(self, choice: int) -> None:
        waiting = self.untranscribed()
        lost = inputs.TranscriptFailed(item_id=waiting[-1 - choice % len(waiting)], code="x", message="lost")
        self.script.give(lost)

    def _commit(self, choice: int) -> None:
        self.send("input_audio_buffer.commit")

    def _clear(self, choice: int) -> None:
        self.send("input_audio_buffer.clear")

    def _turns(self, detection: Any) -> None:
        self._update(audio={"input": {"turn_detection": detection}})

    def _update(self, **session: Any) -> list[str]:
        return self.send("session.update", session={"type": self.kind, **session})

    def _guess(self, choice: int) -> None:
        if choice % 3 == 0:
            delay = ("minimal", "low", "xhigh")[choice % 9 // 3]
            self._update(audio={"input": {"transcription": {"model": "x", "delay": delay}}})
        opened = [c.item_id for c in self.script.commands if isinstance(c, OpenUtterance)]
        words = ["one", "two", "three", "four", "five", "six"]
        for count in range(2, 3 + choice % 4):
            guess = inputs.TranscriptGuess(item_id=opened[-1] if opened else "nobody", text=" ".join(words[:count]))
            if self.script.give(guess) and self.untranscribed()[-1] != opened[-1]:
                self.reached["words while spoken"] += 1

    def _give_up_early(self, choice: int) -> None:
        opened = [c.item_id for c in self.script.commands if isinstance(c, OpenUtterance)]
        if opened:
            self.script.give(inputs.TranscriptFailed(item_id=opened[-1], code="engine_crashed", message="gone"))

    def _switch_the_format(self, choice: int) -> None:
        self.format = (PCM, PcmuFormat(), PcmaFormat())[choice % 3]
        both = {"format": msgspec.to_builtins(self.format)}
        self._update(audio={"input": both} if self.kind == "transcription" else {"input": both, "output": both})

    def _switch_settings(self, choice: int) -> None:
        wishes: tuple[dict[str, Any], ...] = (
            {"instructions": "be brief " * choice},
            {"output_modalities": ["text"]},
            {"output_modalities": ["audio"]},
            {"tools": [{"type": "function", "name": "look"}], "tool_choice": "required"},
            {"truncation": "disabled"},
            {"truncation": {"type": "retention_ratio", "retention_ratio": 0.5}},
            {"tracing": ("auto", None)[choice % 2]},
            {"audio": {"output": {"speed": 1 + choice / 400, "voice": ("ash", "verse")[choice % 2]}}},
            {"audio": {"input": {"transcription": None}}},
            {"audio": {"input": {"transcription": {"model": "x", "language": "en"}}}},
            {"max_output_tokens": 1 + choice},
        )
        self._update(**wishes[choice % len(wishes)])

    def _settings_out_of_range(self, choice: int) -> None:
        before = self.script.machine.settings
        self._update(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 2 + choice}}})
        assert self.script.machine.settings == before

    def _ask_with_own_sound(self, choice: int) -> None:
        part = {"type": "input_audio", "audio": encoded(pcm(100 + choice), self.format)}
        item = {"type": "message", "role": "user", "content": [part]}
        if "<OpenUtterance>" in self.send("response.create", response={"conversation": "none", "input": [item]}):
            self.reached["own sound"] += 1

    def _ask_with_a_reference(self, choice: int) -> None:
        chosen = [{"type": "item_reference", "id": self.item(choice)}]
        self.send("response.create", response={"conversation": ("none", "auto")[choice % 2], "input": chosen})

    def _ask_in_a_voice_of_its_own(self, choice: int) -> None:
        output = {"format": {"type": "audio/pcma"}, "voice": {"id": "voice_1"}}
        self.send("response.create", response={"conversation": "none", "audio": {"output": output}})

    def _show_a_picture(self, choice: int) -> None:
        part = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
        self.send("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})

    def _put_in_a_line(self, choice: int) -> None:
        role, kind = (("system", "input_text"), ("assistant", "output_text"))[choice % 2]
        item = {"type": "message", "role": role, "content": [{"type": kind, "text": "so it is. " * choice}]}
        self.send("conversation.item.create", item=item)

    def _type_it_twice(self, choice: int) -> None:
        item = {"type": "message", "id": f"mine_{choice % 3}", "role": "user", "content": []}
        for _ in range(2):
            self.send("conversation.item.create", item=item)

    def _call_by_hand(self, choice: int) -> None:
        call = {"type": "function_call", "name": "look", "arguments": "{}", "call_id": f"call_mine_{choice % 3}"}
        self.send("conversation.item.create", item=call)
        output = {"type": "function_call_output", "call_id": f"call_mine_{choice % 4}", "output": "x" * choice}
        self.send("conversation.item.create", item=output)

    def _cancel_one(self, choice: int) -> None:
        running = self.running()
        self.send("response.cancel", response_id=running[choice % len(running)] if running else "nobody")

    def _clear_the_loudspeaker(self, choice: int) -> None:
        assert self.send("output_audio_buffer.clear") == ["error"]

    def _stay_silent(self, choice: int) -> None:
        self._turns({**VAD, "idle_timeout_ms": 5000})
        self._be_answered(choice)
        self.script.now_ms += 30_000
        self.script.give(inputs.Tick())

    def _by_hand(self, choice: int) -> None:
        self._turns(None)

    def _by_voice(self, choice: int) -> None:
        self._turns(VAD)

    def _politely(self, choice: int) -> None:
        self._turns({**VAD, "interrupt_response": False})

    def _truncate(self, choice: int) -> None:
        spoken = [
            e["item"]["id"]
            for e in self.script.events()
            if e["type"] == "conversation.item.added" and e["item"].get("role") == "assistant"
        ]
        item_id = spoken[-1 - choice % min(2, len(spoken))] if spoken else "nobody"
        live = self.script.machine.active_response_id
        out = self.send("conversation.item.truncate", item_id=item_id, audio_end_ms=choice)
        if live and out == ["conversation.item.truncated"] and live in self.running():
            self.reached["truncated while speaking"] += 1

    def _delete(self, choice: int) -> None:
        self.send("conversation.item.delete", item_id=self.item(choice))

    def _retrieve(self, choice: int) -> None:
        self.send("conversation.item.retrieve", item_id=self.item(choice))

    def _nonsense(self, choice: int) -> None:
        self.send("conversation.item.truncate", item_id="nobody", audio_end_ms=choice - 50)

    def _wait(self, choice: int) -> None:
        self.script.now_ms += choice * 20
        self.script.give(inputs.Tick())


def check_laws(teller: Teller) -> None:
    events = teller.script.events()
    created, done, active = set(), set(), None
    known: set[str] = set()
    speaking = None
    for event in events:
        kind = str(event["type"])
        response_id = event.get("response_id")
        if response_id:
            assert response_id in created, f"{kind} before response.created"
            assert response_id not in done, f"{kind} after response.done"
        match kind:
            case "response.created":
                created.add(event["response"]["id"])
                if event["response"]["conversation_id"]:
                    assert active is None, "two active responses"
                    active = event["response"]["id"]
            case "response.done":
                assert event["response"]["id"] not in done
                done.add(event["response"]["id"])
                active = None if active == event["response"]["id"] else active
            case "response.output_item.added" | "conversation.item.added":
                known.add(event["item"]["id"])
            case "input_audio_buffer.speech_started":
                assert speaking is None
                speaking = event["item_id"]
            case "input_audio_buffer.speech_stopped":
                assert speaking == event["item_id"]
                speaking = None
            case "input_audio_buffer.committed" | "input_audio_buffer.cleared":
                speaking = None  # by hand, in mid-speech: no speech_stopped follows
        if kind.endswith(".delta") and kind.startswith("response."):
            assert event["item_id"] in known, f"{kind} before its item"
    opened = [c.item_id for c in teller.script.commands if isinstance(c, OpenUtterance)]
    assert len(opened) == len(set(opened))
    models = [c.response_id for c in teller.script.commands if isinstance(c, StartModel)]
    assert len(models) == len(set(models))


def check_sums(teller: Teller) -> None:
    """What was told piece by piece is what is told at the end, and numbers add up."""
    events = teller.script.events()
    heard: dict[str, str] = {}
    for event, following in zip(events, [*events[1:], {"type": "nothing"}], strict=True):
        kind = str(event["type"])
        assert teller.kind == "realtime" or not kind.startswith(("response.", "rate_limits.")), kind
        if kind == "response.done":
            assert following["type"] == "rate_limits.updated"
            check_usage(event["response"]["usage"])
        elif kind == "rate_limits.updated":
            for limit in event["rate_limits"]:
                assert 0 <= limit["remaining"] <= limit["limit"]
        elif kind.endswith("transcription.delta"):
            heard[event["item_id"]] = heard.get(event["item_id"], "") + event["delta"]
        elif kind.endswith("transcription.completed") and event["item_id"] in heard:
            assert heard.pop(event["item_id"]) == event["transcript"]


def check_usage(usage: dict[str, Any]) -> None:
    read, said = usage["input_token_details"], usage["output_token_details"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens"] == read["text_tokens"] + read["audio_tokens"] + read["image_tokens"]
    assert usage["output_tokens"] == said["text_tokens"] + said["audio_tokens"]
    assert read["cached_tokens"] <= usage["input_tokens"]


def note(teller: Teller) -> None:
    if teller.kind == "transcription":
        teller.reached["transcription session"] += 1
    for command in teller.script.commands:
        if isinstance(command, ReportDropped):
            teller.reached["context dropped"] += 1
    for event in teller.script.events():
        teller.reached[str(event["type"])] += 1
        if event["type"] == "response.done":
            response = event["response"]
            if ((response["status_details"] or {}).get("error") or {}).get("code") == "rate_limit_exceeded":
                teller.reached["rate limited"] += 1
            if response["audio"]["output"]["format"]["type"] != "audio/pcm" and response["output"]:
                teller.reached["G.711 spoken"] += 1
            reason = (response["status_details"] or {}).get("reason") if response["status"] == "cancelled" else None
            teller.reached[f"response {response['status']}" + (f" by {reason}" if reason else "")] += 1


stories = st.lists(st.tuples(st.sampled_from(PHRASES), st.integers(0, 99)), min_size=15, max_size=45)


def perform(story: list[tuple[str, int]], *, scribe: bool = False) -> Teller:
    """Tell a story and check the laws; where one is broken, the failure shows the story as a script."""
    teller = Teller(scribe=scribe)
    try:
        for phrase, choice in story:
            teller.tell(phrase, choice)
        check_laws(teller)
        check_sums(teller)
    except Exception as broken:
        broken.add_note("\n".join([f"the story ({teller.kind} session):", *teller.log]))
        raise
    return teller


def hold_laws(examples: int) -> Counter[str]:
    reached: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(stories, st.sampled_from([False, False, False, True]))
    def tell(story: list[tuple[str, int]], scribe: bool) -> None:
        teller = perform(story, scribe=scribe)
        note(teller)
        reached.update(teller.reached)

    tell()
    return reached


def report(reached: Counter[str]) -> None:
    print("\nreached by the stories:")
    for name, count in sorted(reached.items()):
        print(f"  {count:7d}  {name}")
    assert not MUST_REACH - reached.keys(), "the generator no longer reaches these"


def test_the_laws_hold_in_generated_stories() -> None:
    report(hold_laws(250))


def test_a_broken_law_shows_the_story_as_a_script() -> None:
    story = [("take a turn", 3), ("no such phrase", 7)]
    with pytest.raises(AttributeError) as broken:
        perform(story)
    (script,) = broken.value.__notes__
    told = script.splitlines()
    assert told[0] == "the story (realtime session):"
    assert told[1] == ">> take a turn (3)"
    assert "<< input_audio_buffer.speech_started" in told


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(stories, st.booleans())
def test_what_a_session_says_is_what_the_openai_models_expect(story: list[tuple[str, int]], scribe: bool) -> None:
    check_events(perform(story, scribe=scribe).script.events())


@pytest.mark.deep
def test_the_laws_hold_in_very_many_stories() -> None:
    report(hold_laws(8_000))


HEARD = ("talk", "pause", "breathe", "by hand", "by voice", "commit", "switch the format")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.sampled_from(HEARD), st.integers(0, 99))),
    st.sampled_from([1, 7, 33, 500]),
)
def test_chunking_is_invisible(story: list[tuple[str, int]], chunk_ms: int) -> None:
    def told(size: int) -> list[dict[str, Any]]:
        teller = Teller(size)
        for phrase, choice in story:
            teller.tell(phrase, choice)
        shown = [{k: v for k, v in e.items() if k != "event_id"} for e in teller.script.events()]
        # An error carries the number of the append it answers, which is what differs.
        return [e for e in shown if e["type"] not in ("error", "session.updated")]

    assert told(20) == told(chunk_ms)
