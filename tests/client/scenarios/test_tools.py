"""A Python function is a tool; one that fails, or that nobody knows, still leads to a spoken answer."""

from __future__ import annotations

import asyncio

from scenery import Place, answer_of, told

QUESTION = "What is the weather in Paris?"


def test_a_function_answers_the_model(place: Place) -> None:
    async def story() -> None:
        asked: list[str] = []
        async with place.client() as client:

            @client.tool
            async def get_weather(lat: float, lng: float, location: str) -> dict[str, object]:
                """Retrieves the weather for a place.

                Args:
                    lat: Latitude
                    lng: Longitude
                    location: Name of the location
                """
                asked.append(location)
                return {"temperature": {"value": 21.5, "units": "°C"}}

            answer = answer_of(client)
            await client.send_user_message_content(QUESTION)
            assert (await answer).formatted.transcript
            assert "Paris" in asked[0]
            kinds = [item.type for item in client.conversation.items]
            assert kinds == ["message", "function_call", "function_call_output", "message"]

    told(story())


def test_a_tool_that_fails_leads_to_an_answer(local: Place) -> None:
    async def story() -> None:
        async with local.client() as client:
            parameters = {"type": "object", "properties": {"location": {"type": "string"}}}

            def broken(arguments: dict[str, object]) -> None:
                raise ConnectionError("the weather station is silent")

            client.add_tool({"name": "get_weather", "parameters": parameters}, broken)
            answer = answer_of(client)
            await client.send_user_message_content(QUESTION)
            assert (await answer).formatted.transcript
            assert "silent" in client.conversation.items[2].output

    told(story())


def test_a_tool_past_its_deadline_leads_to_an_answer(local: Place) -> None:
    async def story() -> None:
        async with local.client() as client:

            @client.tool(timeout_s=0.05)
            async def get_weather(location: str = "") -> None:
                """Retrieves the weather for a place."""
                await asyncio.Event().wait()

            answer = answer_of(client)
            await client.send_user_message_content(QUESTION)
            await answer
            assert "took longer" in client.conversation.items[2].output

    told(story())
