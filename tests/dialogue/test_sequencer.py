from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from duologue.dialogue.sequencer import ACTIVE_RESPONSE, ResponseSequencer
from duologue.ids import CountingIds
from duologue.protocol.client_events import ResponseCreate
from duologue.protocol.responses import Response, ResponseCreateParams
from duologue.protocol.server_events import Error, ErrorDetails, ResponseCreated, ResponseDone


def created(response_id: str) -> ResponseCreated:
    return ResponseCreated(response=Response(id=response_id, status="in_progress", conversation_id="conv"))


def done(response_id: str, status: str = "completed") -> ResponseDone:
    return ResponseDone(response=Response(id=response_id, status=status, conversation_id="conv"))  # type: ignore[arg-type]


def refused(wish: ResponseCreate) -> Error:
    details = ErrorDetails(type="invalid_request_error", code=ACTIVE_RESPONSE, message="", event_id=str(wish.event_id))
    return Error(error=details)


def test_a_wish_waits_for_the_response_under_way() -> None:
    turns = ResponseSequencer(CountingIds())
    assert len(turns.want()) == 1
    turns.apply(created("r1"))
    assert turns.want() == []
    assert turns.want() == []
    assert len(turns.apply(done("r1"))) == 1
    turns.apply(created("r2"))
    assert turns.apply(done("r2")) == []


def test_two_calls_of_one_response_are_answered_by_one() -> None:
    turns = ResponseSequencer(CountingIds())
    turns.apply(created("r1"))
    turns.call_started("r1", "c1")
    turns.call_started("r1", "c2")
    assert turns.call_answered("r1", "c1") == []
    assert turns.apply(done("r1")) == []
    assert len(turns.call_answered("r1", "c2")) == 1
    assert turns.call_answered("r1", "c2") == []


def test_a_wish_that_lost_the_race_is_sent_after_the_other_response() -> None:
    turns = ResponseSequencer(CountingIds())
    (wish,) = turns.want(ResponseCreateParams(instructions="be brief"))
    turns.apply(created("servers_own"))
    assert turns.apply(refused(wish)) == []
    (again,) = turns.apply(done("servers_own"))
    assert again.response == wish.response
    assert again.event_id != wish.event_id


def test_a_refusal_without_a_known_response_waits_for_any_end() -> None:
    turns = ResponseSequencer(CountingIds())
    (wish,) = turns.want()
    assert turns.apply(refused(wish)) == []
    assert turns.want() == []
    assert len(turns.apply(done("unseen"))) == 1


def test_a_cancelled_response_with_calls_asks_for_nothing() -> None:
    turns = ResponseSequencer(CountingIds())
    turns.apply(created("r1"))
    turns.call_started("r1", "c1")
    turns.apply(done("r1", "cancelled"))
    assert turns.call_answered("r1", "c1") == []


def test_responses_outside_the_conversation_never_wait() -> None:
    turns = ResponseSequencer(CountingIds())
    turns.apply(created("r1"))
    assert len(turns.want(ResponseCreateParams(conversation="none"))) == 1
    turns.apply(ResponseCreated(response=Response(id="side", status="in_progress", conversation_id=None)))
    assert turns.active == "r1"


@example(["vad", "end", "want", "vad"])
@given(st.lists(st.sampled_from(["want", "vad", "end", "deliver", "drop"]), max_size=60))
def test_against_a_server_with_races_every_wish_is_answered_at_last(story: list[str]) -> None:
    """The server keeps one response; events travel late, so wishes meet responses of the server's own making."""
    turns = ResponseSequencer(CountingIds())
    ids = CountingIds()
    to_server: list[ResponseCreate] = []
    to_client: list[object] = []
    active: str | None = None
    wished_after_answer = False

    def server_takes() -> None:
        nonlocal active, wished_after_answer
        while to_server:
            wish = to_server.pop(0)
            if active is None:
                active = ids("resp")
                wished_after_answer = False
                to_client.append(created(active))
            else:
                to_client.append(refused(wish))

    for step in [*story, *["end", "deliver"] * (len(story) + 4)]:
        if step == "want":
            wished_after_answer = True
            to_server += turns.want()
            server_takes() if len(to_server) > 1 else None
        elif step == "drop":
            active = None
            to_server.clear()
            to_client.clear()
            turns.lost(again=True)
            assert turns.want() == []
            to_server += turns.resumed()
        elif step == "vad" and active is None:
            active = ids("resp")
            to_client.append(created(active))
        elif step == "end":
            server_takes()
            if active is not None:
                to_client.append(done(active))
                active = None
        elif step == "deliver":
            while to_client:
                to_server += turns.apply(to_client.pop(0))  # type: ignore[arg-type]
            server_takes()
    assert not wished_after_answer


def test_calls_answered_quietly_ask_for_nothing_unless_one_of_them_is_to_be_spoken_about() -> None:
    sequencer = ResponseSequencer(CountingIds())
    sequencer.call_started("resp_1", "call_1")
    sequencer.call_started("resp_1", "call_2")
    sequencer.apply(done("resp_1"))
    assert sequencer.call_answered("resp_1", "call_1", respond=False) == []
    assert sequencer.call_answered("resp_1", "call_2", respond=False) == []
    sequencer.call_started("resp_2", "call_3")
    sequencer.call_started("resp_2", "call_4")
    sequencer.apply(done("resp_2"))
    assert sequencer.call_answered("resp_2", "call_3") == []
    assert len(sequencer.call_answered("resp_2", "call_4", respond=False)) == 1
