from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from acting import Endless, ScriptLlm, ScriptStt, acting
from hypothesis import given
from hypothesis import strategies as st
from rtc import LoudTts, level
from stagecraft import done, sound, whole, words
from test_pains import at
from test_scenarios import play
from wire import ToneVad, serving

from duologue.agents.agent import RealtimeAgent
from duologue.agents.history import readable
from duologue.agents.recall import Recall
from duologue.agents.session import RealtimeSession
from duologue.client.conversation import RealtimeConversation
from duologue.ids import CountingIds
from duologue.protocol import server_events as ev
from duologue.protocol.codec import encode
from duologue.protocol.items import Message, OutputAudio
from duologue.protocol.session import RealtimeSession as WireSession
from duologue.server.runner import Engines, RealtimeServer
from duologue.transports.memory import memory_pair

ANN = RealtimeAgent("Ann")
CUT = ev.ConversationItemTruncated(item_id="i1", content_index=0, audio_end_ms=100)
ALL = "all of its words"


def speech(text: str | None = None, status: Any = "completed") -> Message:
    content = () if text is None else (OutputAudio(transcript=text),)
    return Message(id="i1", role="assistant", status=status, content=content)


BEGINS = ev.ResponseOutputItemAdded(response_id="r1", output_index=0, item=speech(status="in_progress"))
ENDS = ev.ConversationItemDone(item=speech(ALL), previous_item_id=None)


class Talk:
    """A conversation with its recall, as a session has them."""

    def __init__(self) -> None:
        self.conversation = RealtimeConversation()
        self.recall = Recall(self.conversation.get_item, CountingIds())

    def hears(self, *events: Any) -> list[tuple[Any, str]]:
        """What is asked for, one after the other: event id and item."""
        asked = []
        for event in events:
            self.conversation.apply(event)
            asked += [(each.event_id, each.item_id) for each in self.recall.server(event)]
        return asked

    @property
    def text(self) -> str:
        (item,) = readable(self.conversation.items)
        return item.text


def test_the_words_of_cut_speech_are_those_that_the_server_kept() -> None:
    talk = Talk()
    assert talk.hears(BEGINS, words("all of "), whole(ALL), ENDS, done()) == []
    assert talk.hears(CUT) == [("event_1", "i1")]
    assert talk.text == ALL  # until it is known
    talk.hears(ev.ConversationItemRetrieved(item=speech("all of")))
    assert talk.text == "all of"
    assert talk.hears(CUT) == [("event_2", "i1")]


def test_speech_that_is_cut_while_it_grows_is_asked_for_when_its_answer_is_over() -> None:
    """The end of an answer brings all of its words once more."""
    talk = Talk()
    assert talk.hears(BEGINS, words("all of "), CUT, CUT, whole(ALL), ENDS, done("r0")) == []
    assert talk.hears(done("r1", "cancelled")) == [("event_1", "i1")]
    assert talk.hears(done("r1")) == []


def test_speech_that_never_ended_is_asked_for_all_the_same() -> None:
    talk = Talk()
    assert talk.hears(BEGINS, whole(ALL), done()) == []
    assert talk.hears(CUT) == [("event_1", "i1")]
    beside = Talk()  # joined in the middle: nobody said whose item it is
    assert beside.hears(ev.ConversationItemAdded(item=speech(status="in_progress"), previous_item_id=None), CUT)


def test_speech_that_was_cut_before_it_was_heard_has_no_words_and_nobody_has_to_be_asked() -> None:
    never = ev.ConversationItemTruncated(item_id="i1", content_index=0, audio_end_ms=0)
    talk = Talk()
    assert talk.hears(BEGINS, whole(ALL), ENDS, done(), never) == []
    assert talk.text == ""


def test_speech_whose_sound_is_here_is_cut_here() -> None:
    talk = Talk()
    cut_all = ev.ConversationItemTruncated(item_id="i1", content_index=0, audio_end_ms=0)
    assert talk.hears(BEGINS, sound(), whole(ALL), ENDS, done(), CUT, cut_all) == []
    assert talk.text == ""


@pytest.mark.parametrize(
    "content", [(), (OutputAudio(),), (OutputAudio(transcript=""),), (OutputAudio(audio=b"\0\0"),)]
)
def test_an_answer_without_words_takes_none_away(content: tuple[OutputAudio, ...]) -> None:
    answer = Message(id="i1", role="assistant", content=content)
    talk = Talk()
    talk.hears(BEGINS, whole(ALL), ENDS, done(), CUT, ev.ConversationItemRetrieved(item=answer))
    assert talk.text == ALL


def test_what_is_gone_is_not_asked_for_and_not_missed() -> None:
    talk = Talk()
    gone = ev.ConversationItemDeleted(item_id="i1")
    assert talk.hears(CUT) == []  # never seen
    assert talk.hears(BEGINS, CUT, gone, whole(ALL), done()) == []
    assert talk.hears(gone, CUT) == []
    late = Talk()
    ((event_id, _),) = late.hears(BEGINS, ENDS, done(), CUT)
    late.hears(gone, ev.ConversationItemRetrieved(item=speech("all")))
    assert late.conversation.items == []
    assert late.recall.is_answer(ev.Error(error=ev.ErrorDetails(type="t", message="gone", event_id=event_id)))
    assert not late.recall.is_answer(ev.Error(error=ev.ErrorDetails(type="t", message="other", event_id="event_x")))
    assert not late.recall.is_answer(ev.Error(error=ev.ErrorDetails(type="t", message="other")))


@given(st.lists(st.sampled_from([
    BEGINS, ENDS, CUT, words("all "), whole(ALL), sound(), done(), done("r2"),
    ev.ConversationItemDeleted(item_id="i1"), ev.ConversationItemRetrieved(item=speech("all")),
]), max_size=30))  # fmt: skip
def test_nothing_is_asked_for_more_often_than_it_was_cut(events: list[Any]) -> None:
    talk = Talk()
    asked = talk.hears(*events)
    assert len(asked) <= events.count(CUT)
    assert len(set(asked)) == len(asked)


# --- over the wire -------------------------------------------------------------------------------------------


async def hears(port: Any, ms: int) -> None:
    """Wait until so much sound has come over the call."""
    while ms > 0:
        piece = await port.read()
        assert piece, "the call ended"
        ms -= len(piece) // 48 if level(piece) > 200 else 0


@pytest.mark.parametrize("growing", [False, True])
def test_in_a_call_the_history_tells_what_was_heard(growing: bool) -> None:
    """Who speaks in between is answered; of the answer before, people read what they heard."""

    async def story() -> None:
        acts = Endless("so on ") if growing else "so on " * 100
        async with acting("webrtc", ANN, ScriptLlm(acts, "Yes?"), hears=("stop",)) as scene:
            await scene.session.send_message("Tell me everything.")
            await hears(scene.session.transport.connection.port, 400)  # type: ignore[union-attr]
            if not growing:
                await scene.answered()
            await scene.speaks()
            answer = await scene.came_in("conversation.item.retrieved")
            kept = answer["item"]["content"][0]["transcript"]
            said = await scene.until("transcript_done", where=lambda event: event.role == "assistant")
            assert said.text.startswith(kept)
            assert 0 < len(kept) < len(said.text)
            assert await scene.answered(2) == "Yes?"
            assert [item.text.strip() for item in scene.session.history] == [
                "Tell me everything.", kept.strip(), "stop", "Yes?",
            ]  # fmt: skip
            assert [each["item_id"] for each in scene.sent if each["type"] == "conversation.item.retrieve"] == [
                said.item_id
            ]
            assert not scene.of("error")

    play(story)


def test_beside_a_call_of_others_the_history_tells_what_was_heard() -> None:
    peers = pytest.importorskip("duologue.transports.rtc_peer")

    async def story() -> None:
        llm = ScriptLlm("so on " * 100)
        server = RealtimeServer(Engines(vad=ToneVad(), stt=ScriptStt(), llm=llm, tts=LoudTts()))
        async with serving(server) as url:
            session = RealtimeSession(ANN, model="script", settings=at(url))
            browser = peers.Peer(loopback=True)
            await browser.accept(await session.answer_webrtc_offer(await browser.offer()))
            await browser.connected()
            kept: list[str] = []
            told = asyncio.Event()

            def retrieved(event: Any) -> None:
                kept.append(event.item.content[0].transcript)
                told.set()

            shown: list[str] = []
            session.transport.on("conversation.item.retrieved", retrieved)
            session.on("history_updated", lambda event: shown.append(event.history[-1].text))
            await session.send_message("Tell me everything.")
            await hears(browser.port, 400)
            await session.interrupt()
            async with asyncio.timeout(20):
                await told.wait()
            assert session.history[-1].text == shown[-1] == kept[0]
            assert 0 < len(kept[0]) < 600
            assert len(kept) == 1
            await session.close()
            assert session.history[-1].text == kept[0]
            await browser.close()

    play(story)


@pytest.mark.parametrize("answer", ["refused", "none", "hung up before"])
def test_a_refusal_is_not_told_and_an_end_ends_the_waiting(answer: str) -> None:
    async def story() -> None:
        near, far = memory_pair()
        asked = 0

        async def server() -> None:
            nonlocal asked
            await far.send(encode(ev.SessionCreated(session=WireSession(id="sess_1"))))
            async for frame in far:
                event = json.loads(frame)
                if event["type"] == "session.update":
                    for each in (BEGINS, whole(ALL), ENDS, done(), CUT):
                        await far.send(encode(each))
                    if answer == "hung up before":
                        await far.close(1000)
                if event["type"] == "conversation.item.retrieve":
                    asked += 1
                    problem = ev.ErrorDetails(type="invalid_request_error", message="Gone.", event_id=event["event_id"])
                    if answer == "refused":
                        await far.send(encode(ev.Error(error=problem)))
                    await far.close(1000)

        session = RealtimeSession(ANN, near)
        types: list[str] = []
        session.on("*", lambda event: types.append(event.type))
        async with asyncio.TaskGroup() as group:
            group.create_task(server(), name="server")
            await session.connect()
            await session.finished()
            await session.close()
        assert "error" not in types
        assert types[-1] == "session_ended"
        assert session.history[-1].text == ALL
        assert asked == (answer != "hung up before")

    play(story)
