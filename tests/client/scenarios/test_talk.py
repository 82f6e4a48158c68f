"""Ten lines talk: typed words in, words and sound out, events by handler, by waiting and by loop."""

from __future__ import annotations

from typing import Any

from scenery import Place, answer_of, told

from duologue.audio.pcm16 import rms
from duologue.protocol.server_events import ResponseDone


def test_a_typed_question_is_answered_in_words_and_sound(place: Place) -> None:
    async def story() -> None:
        async with place.client() as client:
            session = await client.wait_for_session_created(10)
            assert session.id
            await client.update_session(instructions="Answer in one short sentence.", voice="alloy")
            answer = answer_of(client)
            await client.send_user_message_content([{"type": "text", "text": "Say hello."}])
            item = await answer
            assert item.formatted.transcript
            assert rms(item.formatted.audio) > 0.001
            assert [each.role for each in client.conversation.get_items()] == ["user", "assistant"]
            assert client.conversation.get_item(item.id) is item

    told(story())


def test_events_come_by_handler_by_waiting_and_by_loop(place: Place) -> None:
    async def story() -> None:
        names: list[str] = []
        async with place.client() as client:

            @client.on("conversation.item.appended")
            async def appended(update: Any) -> None:
                names.append(update.item.role)

            client.once("conversation.updated", lambda update: names.append("first update"))
            await client.send_user_message_content("Say hello.")
            async for event in client:
                if isinstance(event, ResponseDone):
                    assert event.response.status == "completed"
                    break
            assert client.usage.output_tokens > 0
        assert sorted(names) == ["assistant", "first update", "user"]

    told(story())
