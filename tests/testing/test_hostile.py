"""The hostile server, and what our client makes of it: it never crashes, hangs or leaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duologue.client.client import RealtimeClient
from duologue.client.conversation import Update
from duologue.client.payloads import ClientError, Reconnecting, Restored
from duologue.client.reconnect import ReconnectPolicy
from duologue.errors import DuologueError, TransportClosed
from duologue.protocol.server_events import ResponseDone
from duologue.testing.hostile import Cut, Expiry, Fault, HostileServer, Refusal, Silence, SlowReader, Twist

QUICK = ReconnectPolicy(first_delay_ms=1, longest_delay_ms=5, give_up_ms=3_000)
Story = Callable[[RealtimeClient, HostileServer], Awaitable[None]]


def against(faults: Sequence[Fault | None], story: Story, policy: ReconnectPolicy | bool = QUICK) -> None:
    """Tell the story, and see that nothing is left of it: no task, no connection."""

    async def run() -> None:
        async with HostileServer(faults) as server:
            before = asyncio.all_tasks()
            client = RealtimeClient(server.url, reconnect=policy)
            await story(client, server)
            await client.disconnect()
            await server.left()
            # The library's own tasks are gone; what is left belongs to the server's sockets.
            assert {name for task in asyncio.all_tasks() - before if (name := task.get_name())[:5] != "Task-"} == set()

    asyncio.run(asyncio.wait_for(run(), 30))


def answer_of(client: RealtimeClient) -> asyncio.Future[str]:
    """Words of the next whole answer."""
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def completed(update: Update) -> None:
        item = update.item
        if item.role == "assistant" and item.status == "completed" and not future.done():
            future.set_result(item.formatted.transcript)

    client.on("conversation.item.completed", completed)
    return future


def test_left_alone_it_speaks_the_protocol() -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        client.add_tool({"name": "look", "parameters": {"type": "object"}}, lambda args: "a cat")
        await client.connect()
        answer = answer_of(client)
        await client.send_user_message_content("use look")
        assert await answer == "Well, that is a long story."
        kinds = [item.type for item in client.conversation.items]
        assert kinds == ["message", "function_call", "function_call_output", "message"]
        await client.append_input_audio(bytes(4800))
        answer = answer_of(client)
        await client.create_response()
        await answer
        assert server.sessions[0].audio == bytes(4800)
        assert server.sessions[0].items == [item.id for item in client.conversation.items]

    against([], story)


# session.created, session.updated, the question twice, then the answer: 18 events
@pytest.mark.parametrize("code", [1001, 1006, 1011])
@pytest.mark.parametrize("after", range(1, 20))
def test_a_drop_at_each_step_is_survived(after: int, code: int) -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        back = asyncio.create_task(client.wait_for_next("connection.restored", 5), name="back")
        await client.update_session(instructions="be kind")
        await client.connect()
        first = answer_of(client)
        await client.send_user_message_content("hello")
        restored: Restored = await back
        if not restored.cut_response:
            # An answer that was cut off is not asked for again: the user has heard its beginning.
            await first
        second = answer_of(client)
        await client.send_user_message_content("hello again")
        await second
        last = server.sessions[-1]
        assert len(server.sessions) == 2
        assert last.settings["instructions"] == "be kind"
        assert [text for text in last.texts.values() if text.startswith("hello")] == ["hello", "hello again"]
        here = [item.id for item in client.conversation.items]
        assert last.items == [item_id for item_id in here if item_id not in {lost.item_id for lost in restored.lost}]

    against([Cut(after=after, code=code)], story)


@pytest.mark.parametrize("code", [3000, 4000])
@pytest.mark.parametrize("after", [2, 4, 9])
def test_a_refusal_ends_with_its_cause_and_is_not_tried_again(after: int, code: int) -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        ended: asyncio.Future[TransportClosed] = asyncio.get_running_loop().create_future()
        client.on("close", ended.set_result)
        await client.connect()
        await client.send_user_message_content("hello")
        assert (await asyncio.wait_for(ended, 5)).code == code
        assert len(server.sessions) == 1
        with pytest.raises(DuologueError):
            await client.send_user_message_content("anybody?")

    against([Cut(after=after, code=code)], story)


def test_a_key_that_is_refused_on_the_way_back_ends_it() -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        ended: asyncio.Future[TransportClosed] = asyncio.get_running_loop().create_future()
        problems: list[ClientError] = []
        client.on("close", ended.set_result)
        client.on("error", problems.append)
        await client.connect()
        await client.send_user_message_content("hello")
        assert (await asyncio.wait_for(ended, 5)).code == 3000
        assert [(problem.code, problem.grade) for problem in problems] == [("invalid_api_key", "fatal")]
        assert len(server.sessions) == 2

    against([Cut(after=4), Refusal()], story)


def test_a_session_that_never_begins_is_left_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duologue.client.lasting._ANSWER_S", 0.5)

    async def story(client: RealtimeClient, server: HostileServer) -> None:
        tries: list[Reconnecting] = []
        client.on("connection.reconnecting", tries.append)
        await client.connect()
        restored = asyncio.create_task(client.wait_for_next("connection.restored", 5), name="restored")
        await client.send_user_message_content("hello")
        await restored
        assert [each.attempt for each in tries] == [1, 2]
        assert len(server.sessions) == 3

    against([Cut(after=2), Silence()], story)


def test_disconnect_while_waiting_for_the_next_attempt_ends_at_once() -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        closes: list[TransportClosed] = []
        client.on("close", closes.append)
        await client.connect()
        told: Reconnecting = await client.wait_for_next("connection.reconnecting", 5)
        assert told.delay_ms > 25_000
        stuck = asyncio.create_task(client.send_user_message_content("hello"), name="stuck")
        await asyncio.sleep(0)
        await client.disconnect()
        with pytest.raises(DuologueError):
            await stuck
        assert [(close.code, close.by) for close in closes] == [(1000, "us")]

    against([Cut(after=1)], story, ReconnectPolicy(first_delay_ms=60_000, longest_delay_ms=60_000))


def test_reconnect_false_ends_with_the_drop() -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        await client.connect()
        assert (await client.wait_for_next("close", 5)).code == 1006
        assert len(server.sessions) == 1

    against([Cut(after=1)], story, policy=False)


def test_what_is_said_meanwhile_is_sent_afterwards() -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        await client.connect()
        await client.wait_for_session_created(5)
        await client.append_input_audio(b"\1\0" * 2400)
        gone = asyncio.create_task(client.wait_for_next("connection.reconnecting", 5), name="gone")
        back = asyncio.create_task(client.wait_for_next("connection.restored", 5), name="back")
        await client.delete_item("nothing")
        await client.update_session(instructions="the event that meets the cut")
        await gone
        await client.append_input_audio(b"\2\0" * 2400)
        await client.append_input_audio(b"\3\0" * 2400)
        restored: Restored = await back
        assert (restored.sent_audio_ms, restored.lost_audio_ms) == (300, 0)
        answer = answer_of(client)
        await client.create_response()
        await answer
        assert server.sessions[1].audio == b"\1\0" * 2400 + b"\2\0" * 2400 + b"\3\0" * 2400
        said = next(item for item in client.conversation.items if item.spoken)
        assert said.formatted.audio == server.sessions[1].audio

    against([Cut(after=2)], story)


def test_more_than_the_bound_is_dropped_and_said_so() -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        await client.connect()
        gone = asyncio.create_task(client.wait_for_next("connection.reconnecting", 5), name="gone")
        back = asyncio.create_task(client.wait_for_next("connection.restored", 5), name="back")
        await gone
        for sample in range(5):
            await client.append_input_audio(bytes([sample, 0]) * 2400)
        restored: Restored = await back
        assert (restored.sent_audio_ms, restored.lost_audio_ms) == (200, 300)

    policy = ReconnectPolicy(first_delay_ms=100, longest_delay_ms=100, audio_ms=200)
    against([Cut(after=1)], story, policy)


def test_a_tool_that_runs_across_the_drop_answers_the_new_session() -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        release = asyncio.Event()

        async def slow() -> str:
            await release.wait()
            return "a cat"

        client.add_tool({"name": "slow", "parameters": {"type": "object"}}, slow)
        await client.connect()
        back = asyncio.create_task(client.wait_for_next("connection.restored", 5), name="back")
        answer = answer_of(client)
        await client.send_user_message_content("use slow")
        restored: Restored = await back
        assert restored.items == 2
        release.set()
        await answer
        second = server.sessions[1]
        outputs = [event["item"]["output"] for event in second.received if "output" in event.get("item", {})]
        assert outputs == ["a cat"]
        assert [event["type"] for event in second.received].count("response.create") == 1

    # session.created, session.updated, the question twice, response.created, the call four times
    against([Cut(after=9)], story)


def test_a_session_of_three_seconds_is_left_in_a_pause_before_it_ends() -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        problems: list[ClientError] = []
        client.on("error", problems.append)
        await client.connect()
        answer = answer_of(client)
        await client.send_user_message_content("hello")
        await answer
        restored: Restored = await client.wait_for_next("connection.restored", 5)
        assert restored.planned
        assert (restored.items, restored.lost, restored.cut_response) == (2, (), False)
        assert problems == []
        assert next(iter(server.sessions[1].texts.values())) == "hello"

    against([Expiry(seconds=3)], story)


def test_a_server_that_reads_slowly_gets_everything() -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        await client.connect()
        for _ in range(20):
            await client.append_input_audio(bytes(48_000))
        answer = answer_of(client)
        await client.create_response()
        await answer
        assert len(server.sessions[0].audio) == 20 * 48_000

    against([SlowReader(rest_s=0.005)], story)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_no_twist_of_events_harms_the_client(seed: int) -> None:
    twisted(seed, 0.3)


@pytest.mark.deep
@settings(max_examples=400, deadline=None)
@given(st.integers(0, 1_000_000), st.floats(0.05, 0.9))
def test_no_twist_of_events_harms_the_client_at_length(seed: int, share: float) -> None:
    twisted(seed, share)


def twisted(seed: int, share: float) -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        defects: list[ClientError] = []
        client.on("error", lambda problem: defects.append(problem))
        client.on("conversation.updated", lambda update: update.item.formatted.transcript)
        client.add_tool({"name": "look", "parameters": {"type": "object"}}, lambda args: "a cat")
        await client.connect()
        for words in ("hello", "use look", "and then?"):
            await client.send_user_message_content(words)
            await client.append_input_audio(bytes(960))
            await client.commit_input_audio()
        await client.interrupt()
        # One more event that every server confirms with one of its own, whatever was lost before.
        await client.clear_input_audio()
        await server.sessions[0].heard("input_audio_buffer.clear")
        assert client.is_connected
        assert all(isinstance(problem.exception, DuologueError | None) for problem in defects)
        assert len({item.id for item in client.conversation.items}) == len(client.conversation.items)

    against([Twist(seed=seed, share=share)], story)


cuts = st.lists(
    st.builds(Cut, after=st.integers(1, 25), code=st.sampled_from([1001, 1006, 1011, 1012])), min_size=1, max_size=4
)


@settings(max_examples=10, deadline=None)
@given(cuts, st.booleans(), st.booleans())
def test_after_any_number_of_drops_the_last_word_is_answered(story: list[Cut], talks: bool, slow: bool) -> None:
    suffered(story, talks, slow)


@pytest.mark.deep
@settings(max_examples=300, deadline=None)
@given(cuts, st.booleans(), st.booleans())
def test_after_any_number_of_drops_the_last_word_is_answered_at_length(
    story: list[Cut], talks: bool, slow: bool
) -> None:
    suffered(story, talks, slow)


def suffered(drops: list[Cut], talks: bool, slow: bool) -> None:
    async def story(client: RealtimeClient, server: HostileServer) -> None:
        await client.connect()
        while len(server.sessions) <= len(drops):
            if talks:
                await client.append_input_audio(bytes(960))
            await client.send_user_message_content("hello")
            await asyncio.sleep(0.002)
        said = asyncio.Event()
        client.on("conversation.item.completed", lambda update: "last" in update.item.formatted.text and said.set())
        await client.send_user_message_content("the last word")
        await said.wait()
        # The answer to it ends with the last of what was wished for.
        async for event in client:
            if isinstance(event, ResponseDone) and client.conversation.items[-1].role == "assistant":
                break
        known = [text for text in server.sessions[-1].texts.values() if text == "the last word"]
        assert known == ["the last word"]
        assert server.sessions[-1].items == [item.id for item in client.conversation.items]

    against([*drops, SlowReader(rest_s=0.001) if slow else None], story)
