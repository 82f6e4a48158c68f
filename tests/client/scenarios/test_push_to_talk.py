"""Without turn detection the client says when the turn is over; sound comes in any shape of 16-bit samples."""

from __future__ import annotations

from array import array

import pytest
from scenery import Place, answer_of, clip, told


def test_recorded_speech_is_committed_and_answered(place: Place) -> None:
    async def story() -> None:
        async with place.client() as client:
            await client.update_session(turn_detection="none", input_audio_transcription={"model": place.ears})
            assert client.get_turn_detection_type() is None
            speech = clip("weather_in_paris")
            half = len(speech) // 4 * 2
            with pytest.raises(ValueError, match="half a sample"):
                await client.append_input_audio(speech[:3])
            await client.append_input_audio(array("h", speech[:half]))
            await client.append_input_audio(memoryview(bytearray(speech[half:])))
            answer = answer_of(client)
            await client.create_response()
            assert (await answer).formatted.transcript
            question = client.conversation.items[0]
            assert question.formatted.audio == speech

    told(story())
