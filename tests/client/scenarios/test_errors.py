"""What goes wrong arrives: in words, with what the server said, and whether a retry can help."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from scenery import Place, told

from duologue.client.client import RealtimeClient
from duologue.errors import ConnectFailed, DuologueError, TransportClosed


def test_a_wrong_key_ends_it_with_its_cause(place: Place) -> None:
    async def story() -> None:
        problems: list[Any] = []
        ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        client = place.client(api_key="sk-wrong")
        client.on("error", problems.append)
        client.on("close", ended.set_result)
        try:
            await client.connect()
            closed = await asyncio.wait_for(ended, 10)
        except TransportClosed as refused:  # the refusal may be faster than the first settings
            closed = refused
        assert closed.code == 3000
        assert not closed.retryable
        assert (problems[0].code, problems[0].grade) == ("invalid_api_key", "fatal")
        with pytest.raises(DuologueError):
            await client.send_user_message_content("anybody?")
        await client.disconnect()

    told(story())


def test_a_refused_event_is_benign_and_names_its_cause(place: Place) -> None:
    async def story() -> None:
        async with place.client() as client:
            problem = asyncio.create_task(client.wait_for_next("error", 10), name="problem")
            await client.wait_for_session_created(10)
            await client.delete_item("item_that_never_was")
            found = await problem
            assert (found.code, found.grade) == ("item_delete_invalid_item_id", "benign")
            assert client.is_connected

    told(story())


def test_where_nothing_listens_one_line_says_so() -> None:
    async def story() -> None:
        with pytest.raises(ConnectFailed, match="nothing listens there") as caught:
            await RealtimeClient("ws://127.0.0.1:9/v1/realtime").connect()
        assert caught.value.retryable

    told(story())


def test_a_key_may_come_from_a_function(place: Place) -> None:
    async def story() -> None:
        async def fresh() -> str:
            await asyncio.sleep(0)
            return place.api_key

        async with place.client(api_key=fresh) as client:
            assert (await client.wait_for_session_created(10)).id

    told(story())
