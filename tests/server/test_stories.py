"""Generated stories: whatever is said, in whatever order, the laws of a session hold."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from script import SILENCE, SPEECH, Script, pcm

from duologue.server import inputs
from duologue.server.commands import AbortUtterance, FinishUtterance, OpenUtterance, StartModel, StopModel

VAD = {"type": "server_vad", "silence_duration_ms": 200}
PHRASES = (
    "talk", "pause", "breathe", "write", "speak", "call a tool", "finish", "run out", "break down", "ask", "ask aside",
    "cancel", "type", "answer the tool", "understand", "misunderstand", "commit", "clear", "by hand", "by voice",
    "politely", "truncate", "delete", "retrieve", "nonsense", "wait",
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
    "late output dropped", "truncated while speaking",
}  # fmt: skip


class Teller:
    """Tells one story to one session; what a phrase needs (an item, a running model) it picks by `choice`."""

    def __init__(self, chunk_ms: int = 20) -> None:
        self.script = Script(audio={"input": {"turn_detection": VAD, "transcription": {"model": "x"}}})
        self.chunk_ms = chunk_ms
        self.sent_ids: set[str] = set()
        self.reached: Counter[str] = Counter()

    def tell(self, phrase: str, choice: int) -> None:
        handler = getattr(self, "_" + phrase.replace(" ", "_"))
        handler(choice)
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
        data = pcm(ms, sound)
        step = 48 * self.chunk_ms
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
        self.send("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}})

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


def note(teller: Teller) -> None:
    for event in teller.script.events():
        teller.reached[str(event["type"])] += 1
        if event["type"] == "response.done":
            response = event["response"]
            reason = (response["status_details"] or {}).get("reason") if response["status"] == "cancelled" else None
            teller.reached[f"response {response['status']}" + (f" by {reason}" if reason else "")] += 1


stories = st.lists(st.tuples(st.sampled_from(PHRASES), st.integers(0, 99)), min_size=15, max_size=45)


def hold_laws(examples: int) -> Counter[str]:
    reached: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(stories)
    def tell(story: list[tuple[str, int]]) -> None:
        teller = Teller()
        for phrase, choice in story:
            teller.tell(phrase, choice)
        check_laws(teller)
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


@pytest.mark.deep
def test_the_laws_hold_in_very_many_stories() -> None:
    report(hold_laws(20_000))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from(["talk", "pause", "breathe", "by hand", "by voice", "commit"]), st.integers(0, 99))
    ),
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
