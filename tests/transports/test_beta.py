from __future__ import annotations

import asyncio
import json

from duologue.transports.beta import BetaTransport
from duologue.transports.memory import memory_pair


def test_both_directions_are_translated() -> None:
    async def story() -> None:
        near, far = memory_pair()
        beta = BetaTransport(near)
        await beta.send(b'{"type":"session.update","session":{"type":"realtime","audio":{"output":{"voice":"ash"}}}}')
        frames = far.__aiter__()
        assert json.loads(await anext(frames))["session"] == {"voice": "ash"}
        heard = beta.__aiter__()
        await far.send(b'{"type":"response.audio_transcript.delta","event_id":"e","delta":"hi"}')
        assert json.loads(await anext(heard))["type"] == "response.output_audio_transcript.delta"
        await far.send(b"not json")
        assert await anext(heard) == b"not json"
        await beta.close(4001, "enough")
        assert beta.closed is not None
        assert beta.closed.code == 4001

    asyncio.run(asyncio.wait_for(story(), 5))
