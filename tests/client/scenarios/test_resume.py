"""A conversation is saved to a file and taken up by another program."""

from __future__ import annotations

import asyncio
from pathlib import Path

from scenery import Place, answer_of, told


def test_a_saved_conversation_goes_on(place: Place, tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "talk.json"
        async with place.client() as client:
            await client.update_session(instructions="Answer in one short sentence.")
            answer = answer_of(client)
            await client.send_user_message_content("My name is Ada. Say hello.")
            said = (await answer).formatted.transcript
            client.save(path)
        other = place.client()
        other.load(path)
        assert [item.formatted.text for item in other.conversation.items] == ["My name is Ada. Say hello.", said]
        await other.connect()
        last = other.conversation.items[-1].id
        known = asyncio.create_task(
            other.realtime.wait_for_next("server.conversation.item.retrieved", 10), name="known"
        )
        await asyncio.sleep(0)
        await other.realtime.send("conversation.item.retrieve", {"item_id": last})
        assert (await known).item.content[0].text == said
        answer = answer_of(other)
        await other.send_user_message_content("What is my name?")
        words = (await answer).formatted.transcript
        assert words
        assert not place.live or "Ada" in words
        assert len(other.conversation.items) == 4
        await other.disconnect()

    told(story())
