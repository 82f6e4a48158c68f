"""A session that only transcribes: sound in, words out, no answers."""

from __future__ import annotations

import asyncio

from scenery import Place, clip, told

from duologue.client.endpoint import ConnectionOptions


def test_speech_becomes_words(place: Place) -> None:
    async def story() -> None:
        client = place.client(model=place.ears, connection=ConnectionOptions(transcription=True))
        async with client:
            words = asyncio.create_task(
                client.realtime.wait_for_next("server.conversation.item.input_audio_transcription.completed", 30),
                name="words",
            )
            await client.append_input_audio(clip("weather_in_paris"))
            await client.commit_input_audio()
            assert "paris" in (await words).transcript.lower()

    told(story())
