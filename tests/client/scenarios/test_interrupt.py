"""The listener has heard enough: the answer stops, late sound is dropped, and the server keeps only what was heard."""

from __future__ import annotations

import asyncio
from typing import Any

from scenery import Place, told


def test_the_server_is_told_what_was_heard(place: Place) -> None:
    async def story() -> None:
        async with place.client() as client:
            sounding: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            late: list[Any] = []

            def updated(update: Any) -> None:
                if update.delta and update.delta.audio and client.playback.received_ms(update.item.id) >= 600:
                    if not sounding.done():
                        sounding.set_result(update.item)
                    elif interrupted:
                        late.append(update)

            interrupted: list[bool] = []
            client.on("conversation.updated", updated)
            await client.send_user_message_content("Tell me a story of ten sentences.")
            item = await asyncio.wait_for(sounding, 20)
            client.playback.played_item(item.id, 12_000)
            cut = asyncio.create_task(
                client.realtime.wait_for_next("server.conversation.item.truncated", 10), name="cut"
            )
            await asyncio.sleep(0)
            interrupted.append(True)
            await client.interrupt()
            event = await cut
            assert (event.item_id, event.audio_end_ms) == (item.id, 500)
            assert item.cut_ms == 500
            assert late == []

    told(story())
