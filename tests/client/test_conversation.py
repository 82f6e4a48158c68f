from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from duologue.audio.wav import parse_wav
from duologue.client.conversation import RealtimeConversation
from duologue.client.replay import plan
from duologue.protocol import server_events as ev
from duologue.protocol.items import FunctionCall, InputAudio, InputText, Message, OutputAudio
from duologue.protocol.responses import Response
from duologue.protocol.session import Audio, AudioInput, AudioOutput, PcmaFormat, PcmuFormat, RealtimeSession

Where = dict[str, Any]
AT: Where = {"response_id": "r", "item_id": "a", "output_index": 0, "content_index": 0}


def user(item_id: str, text: str = "hi") -> Message:
    return Message(id=item_id, role="user", status="completed", content=(InputText(text=text),))


def assistant(item_id: str, status: Any = "in_progress", *content: OutputAudio) -> Message:
    return Message(id=item_id, role="assistant", status=status, content=content)


def added(item: Any, previous: str | None = None) -> ev.ConversationItemAdded:
    return ev.ConversationItemAdded(item=item, previous_item_id=previous)


def test_a_spoken_answer_grows_and_is_completed_once() -> None:
    talk = RealtimeConversation()
    kinds = []
    for event in [
        added(user("u")),
        ev.ResponseCreated(response=Response(id="r", status="in_progress", conversation_id="c")),
        ev.ResponseOutputItemAdded(response_id="r", output_index=0, item=assistant("a")),
        added(assistant("a"), "u"),
        ev.ResponseOutputAudioTranscriptDelta(**AT, delta="Good "),
        ev.ResponseOutputAudioDelta(**AT, delta=b"\1\0"),
        ev.ResponseOutputAudioTranscriptDelta(**AT, delta="day"),
        ev.ResponseOutputAudioDelta(**AT, delta=b"\2\0"),
        ev.ResponseOutputAudioTranscriptDone(**AT, transcript="Good day"),
        ev.ConversationItemDone(item=assistant("a", "completed", OutputAudio(transcript="Good day"))),
        ev.ResponseOutputItemDone(response_id="r", output_index=0, item=assistant("a", "completed")),
    ]:
        kinds += [update.kind for update in talk.apply(event)]
    assert [item.id for item in talk.items] == ["u", "a"]
    answer = talk.items[1]
    assert (answer.formatted.transcript, answer.formatted.audio) == ("Good day", b"\1\0\2\0")
    assert answer.formatted.file is not None
    assert answer.formatted.file[:4] == b"RIFF"
    assert (kinds.count("appended"), kinds.count("completed")) == (2, 1)


def test_old_sound_is_let_go_and_its_words_stay() -> None:
    talk = RealtimeConversation(keep_audio_bytes=1_000)
    for number in range(50):
        at = {**AT, "item_id": f"a{number}"}
        talk.apply(added(assistant(f"a{number}")))
        talk.apply(ev.ResponseOutputAudioTranscriptDelta(**at, delta=f"answer {number}"))
        talk.apply(ev.ResponseOutputAudioDelta(**at, delta=bytes(100)))
        kept = sum(len(item.formatted.audio) for item in talk.items)
        assert kept <= 1_000
    assert kept >= 700
    first, last = talk.items[0], talk.items[-1]
    assert (first.formatted.audio, first.formatted.transcript, first.parts()[0].heard) == (b"", "answer 0", "answer 0")
    assert len(last.formatted.audio) == 100
    talk.apply(ev.ConversationItemTruncated(item_id="a0", content_index=0, audio_end_ms=1))
    assert first.formatted.audio == b""
    talk.apply(ev.ResponseOutputAudioDelta(**{**AT, "item_id": "a49"}, delta=bytes(5_000)))
    assert len(last.formatted.audio) == 5_100, "what is being said is never let go"


def test_sound_of_items_that_never_come_is_let_go_too() -> None:
    talk = RealtimeConversation(keep_audio_bytes=1_000)
    for number in range(50):
        talk.apply(ev.ResponseOutputAudioDelta(**{**AT, "item_id": f"a{number}"}, delta=bytes(100)))
    kept = [talk.get_item(f"a{number}") for number in range(50)]
    assert sum(len(item.formatted.audio) for item in kept if item is not None) <= 1_000


def test_early_transcripts_and_sound_wait_for_their_item() -> None:
    talk = RealtimeConversation()
    talk.apply(ev.InputAudioTranscriptionCompleted(item_id="u", content_index=0, transcript="what is up"))
    assert talk.items == []
    talk.apply(added(Message(id="u", role="user", content=(InputAudio(transcript=None),))))
    assert talk.items[0].formatted.transcript == "what is up"


def test_order_follows_previous_item_id() -> None:
    talk = RealtimeConversation()
    for item, previous in [("b", None), ("d", "b"), ("c", "b"), ("a", None), ("e", "unknown")]:
        talk.apply(added(user(item), previous))
    assert [item.id for item in talk.items] == ["a", "b", "c", "d", "e"]
    talk.apply(ev.ConversationItemDeleted(item_id="c"))
    talk.apply(ev.ConversationItemDone(item=user("c")))
    assert [item.id for item in talk.items] == ["a", "b", "d", "e"]


def test_speech_and_answers_without_a_predecessor_come_last() -> None:
    talk = RealtimeConversation()
    talk.apply(added(user("a")))
    talk.apply(added(Message(id="b", role="user", content=(InputAudio(),))))
    talk.apply(added(assistant("c")))
    assert [item.id for item in talk.items] == ["a", "b", "c"]


def test_the_users_speech_is_cut_out_of_what_was_sent() -> None:
    talk = RealtimeConversation()
    for number in range(10):
        talk.input.append(bytes([number]) * 4800)
    talk.apply(ev.InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=150))
    talk.apply(ev.InputAudioBufferSpeechStopped(item_id="u", audio_end_ms=350))
    talk.apply(ev.InputAudioBufferCommitted(item_id="u"))
    talk.apply(added(Message(id="u", role="user", content=(InputAudio(),))))
    assert talk.items[0].formatted.audio == bytes([1]) * 2400 + bytes([2]) * 4800 + bytes([3]) * 2400


def test_truncated_speech_keeps_its_words_and_loses_its_tail() -> None:
    talk = RealtimeConversation()
    talk.apply(added(assistant("a")))
    talk.apply(ev.ResponseOutputAudioTranscriptDelta(**AT, delta="a long story"))
    talk.apply(ev.ResponseOutputAudioDelta(**AT, delta=bytes(48_000)))
    talk.apply(ev.ConversationItemTruncated(item_id="a", content_index=0, audio_end_ms=250))
    assert talk.apply(ev.ResponseOutputAudioDelta(**AT, delta=bytes(480))) == []
    item = talk.items[0]
    assert (item.cut_ms, len(item.formatted.audio), item.formatted.transcript) == (250, 12_000, "a long story")


def test_retrieved_sound_is_in_the_format_of_answers_and_is_let_go_like_any_other() -> None:
    talk = RealtimeConversation(keep_audio_bytes=1_000)
    audio = Audio(output=AudioOutput(format=PcmuFormat()))
    talk.apply(ev.SessionCreated(session=RealtimeSession(audio=audio)))
    for number in range(20):
        item_id = f"a{number}"
        talk.apply(added(assistant(item_id)))
        speech = OutputAudio(transcript="hello", audio=bytes(400))
        talk.apply(ev.ConversationItemRetrieved(item=assistant(item_id, "completed", speech)))
    assert sum(len(item.formatted.audio) for item in talk.items) <= 1_000
    assert isinstance(talk.items[-1].sound, PcmuFormat)
    assert {item.formatted.transcript for item in talk.items} == {"hello"}


def test_answers_outside_the_conversation_stay_outside() -> None:
    talk = RealtimeConversation()
    talk.apply(ev.ResponseCreated(response=Response(id="r", status="in_progress", conversation_id=None)))
    talk.apply(ev.ResponseOutputItemAdded(response_id="r", output_index=0, item=assistant("a")))
    talk.apply(ev.ResponseOutputTextDelta(**AT, delta="aside"))
    assert talk.items == []
    aside = talk.get_item("a")
    assert aside is not None
    assert aside.formatted.text == "aside"


def test_a_tool_call_grows() -> None:
    talk = RealtimeConversation()
    call = FunctionCall(id="a", call_id="c", name="look", arguments="")
    talk.apply(added(call))
    for piece in ['{"at":', '"me"}']:
        talk.apply(
            ev.ResponseFunctionCallArgumentsDelta(
                response_id="r", item_id="a", output_index=0, call_id="c", delta=piece
            )
        )
    tool = talk.items[0].formatted.tool
    assert tool is not None
    assert (tool.name, tool.call_id, tool.arguments) == ("look", "c", '{"at":"me"}')


ids = st.sampled_from(["a", "b", "c", "d"])
maybe = st.none() | ids | st.just("nobody")
places = st.builds(lambda i, n: {**AT, "item_id": i, "content_index": n}, ids, st.integers(0, 2))
words = st.text(max_size=4)
wire_items = st.one_of(
    st.builds(user, ids, words),
    st.builds(assistant, ids, st.sampled_from(["in_progress", "completed", "incomplete"])),
    st.builds(lambda i: FunctionCall(id=i, name="t", call_id="c"), ids),
    st.builds(lambda i: Message(id=i, role="user", content=(InputAudio(),)), ids),
    st.just(Message(role="user", content=())),
)
events = st.one_of(
    st.builds(added, wire_items, maybe),
    st.builds(lambda item, p: ev.ConversationItemDone(item=item, previous_item_id=p), wire_items, maybe),
    st.builds(lambda item: ev.ResponseOutputItemAdded(response_id="r", output_index=0, item=item), wire_items),
    st.builds(lambda item: ev.ResponseOutputItemDone(response_id="r", output_index=0, item=item), wire_items),
    st.builds(lambda item: ev.ConversationItemRetrieved(item=item), wire_items),
    st.builds(lambda i: ev.ConversationItemDeleted(item_id=i), ids),
    st.builds(lambda i, n, ms: ev.ConversationItemTruncated(item_id=i, content_index=n, audio_end_ms=ms), ids,
              st.integers(0, 2), st.integers(-5, 500)),
    st.builds(lambda p, w: ev.ResponseOutputAudioTranscriptDelta(**p, delta=w), places, words),
    st.builds(lambda p, w: ev.ResponseOutputAudioDelta(**p, delta=w), places, st.binary(max_size=64)),
    st.builds(lambda i, w: ev.InputAudioTranscriptionCompleted(item_id=i, content_index=0, transcript=w), ids, words),
    st.builds(lambda i, ms: ev.InputAudioBufferSpeechStarted(item_id=i, audio_start_ms=ms), ids, st.integers(-9, 900)),
    st.builds(lambda i, ms: ev.InputAudioBufferSpeechStopped(item_id=i, audio_end_ms=ms), ids, st.integers(-9, 900)),
    st.builds(lambda i: ev.InputAudioBufferCommitted(item_id=i), ids),
)  # fmt: skip


LOST = "the connection is lost"
sent_items = st.builds(lambda item: ("sent", item), wire_items)


@given(st.lists(events | st.just(LOST) | sent_items, max_size=50))
def test_no_sequence_raises_and_the_order_stays_whole(story: list[Any]) -> None:
    talk = RealtimeConversation()
    talk.input.append(bytes(9600))
    completed = []
    for event in story:
        match event:
            case str():
                updates = talk.connection_lost()
                assert all(item.completed for item in talk.items)
                told = plan(talk.items)
                assert len(told.items) + len(told.lost) == len(talk.items)
            case ("sent", item):
                talk.expect(item, "event_1")
                updates = []
            case _:
                updates = talk.process_event(event)
        completed += [id(update.item) for update in updates if update.kind == "completed"]
        order = [item.id for item in talk.items]
        assert len(order) == len(set(order))
        assert all(item.placed for item in talk.items)
        backwards = []
        item = talk._last
        while item is not None:
            backwards.append(item.id)
            item = item.previous
        assert backwards[::-1] == order
    assert len(completed) == len(set(completed))


@given(st.text(max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_splitting_deltas_changes_nothing_and_done_says_the_same(text: str, cuts: list[int]) -> None:
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut <= len(text))})
    talk = RealtimeConversation()
    talk.apply(added(assistant("a")))
    for start, end in itertools.pairwise(bounds):
        talk.apply(ev.ResponseOutputTextDelta(**AT, delta=text[start:end]))
    assert talk.items[0].formatted.text == text
    talk.apply(ev.ResponseOutputTextDone(**AT, text=text))
    assert talk.items[0].formatted.text == text


def test_a_cleared_conversation_is_empty_and_goes_on() -> None:
    talk = RealtimeConversation()
    talk.output_bytes_per_ms = 8
    talk.queue_input_audio(bytes(9600))
    talk.apply(added(user("a", "hi")))
    talk.clear()
    assert (talk.items, talk.input.position, talk.output_bytes_per_ms) == ([], 0, 8)
    talk.apply(added(user("b", "again")))
    assert [item.id for item in talk.items] == ["b"]


def test_items_know_the_format_of_their_sound() -> None:
    talk = RealtimeConversation()
    audio = Audio(input=AudioInput(format=PcmaFormat()), output=AudioOutput(format=PcmuFormat()))
    talk.apply(ev.SessionUpdated(session=RealtimeSession(audio=audio)))
    talk.clear()
    talk.queue_input_audio(bytes(800))
    talk.input.mark_commit()
    talk.apply(ev.InputAudioBufferCommitted(item_id="u"))
    talk.apply(added(user("u")))
    talk.apply(added(assistant("a"), "u"))
    talk.apply(ev.ResponseOutputAudioDelta(delta=bytes(800), **AT))
    assert [item.sound for item in talk.items] == [PcmaFormat(), PcmuFormat()]
    assert [parse_wav(item.formatted.file or b"").duration_ms for item in talk.items] == [100, 100]
