"""One answer at a time: a wish that the server refuses because of another answer is kept, and comes true after it."""

from __future__ import annotations

import asyncio
from typing import Any

from scenery import Place, told

from duologue.protocol.server_events import ResponseDone


def test_a_wish_that_lost_the_race_is_granted_later(place: Place) -> None:
    async def story() -> None:
        async with place.client() as client:
            problems: list[Any] = []
            refused: list[Any] = []
            client.on("error", problems.append)
            client.realtime.on("server.error", refused.append)
            await client.send_user_message_content("Say hello.", respond=False)
            # Somebody else's wish is first at the server, and nobody here knows of it.
            await client.realtime.send("response.create")
            await client.create_response()
            done = 0
            async for event in client:
                done += isinstance(event, ResponseDone)
                if done == 2:
                    break
            assert [event.error.code for event in refused] == ["conversation_already_has_active_response"]
            assert problems == []
            assert [item.role for item in client.conversation.items] == ["user", "assistant", "assistant"]

    told(story())


def test_a_tool_in_the_background_speaks_twice(local: Place) -> None:
    async def story() -> None:
        async with local.client() as client:
            release = asyncio.Event()

            @client.tool(background=True)
            async def get_weather(location: str = "") -> str:
                """Retrieves the weather for a place."""
                await release.wait()
                return "sunny"

            await client.send_user_message_content("What is the weather in Paris?")
            done = 0
            async for event in client:
                done += isinstance(event, ResponseDone)
                if done == 2:
                    release.set()
                if done == 3:
                    break
            types = [item.type for item in client.conversation.items]
            assert types == ["message", "function_call", "function_call_output", "message", "message", "message"]
            assert "sunny" in client.conversation.items[4].formatted.text

    told(story())
