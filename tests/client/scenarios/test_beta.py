"""A server of 2024 is spoken to in its own dialect; the program notices nothing."""

from __future__ import annotations

from scenery import Place, answer_of, told

from duologue.client.endpoint import ConnectionOptions


def test_a_beta_server_is_talked_to_all_the_same(local: Place) -> None:
    async def story() -> None:
        client = local.client(connection=ConnectionOptions(dialect="beta"))
        async with client:
            await client.update_session(instructions="Be kind.", voice="verse")
            answer = answer_of(client)
            await client.send_user_message_content("Say hello.")
            item = await answer
            assert item.formatted.transcript
            assert item.formatted.audio

    told(story())
