"""A connection that drops is replaced: the new session knows the settings, the words, and what was said meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from scenery import Place, answer_of, serving, told

from duologue.client.payloads import Restored
from duologue.client.reconnect import ReconnectPolicy

QUICK = ReconnectPolicy(first_delay_ms=10, longest_delay_ms=50)


class Cable:
    """TCP between client and server, to be cut."""

    def __init__(self, place: Place) -> None:
        self._host, self._port = urlsplit(place.url).hostname, urlsplit(place.url).port
        self._ends: list[asyncio.StreamWriter] = []
        self.url = ""

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Cable]:
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    def cut(self) -> None:
        """As when somebody stumbles over it."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        self._ends += [writer, far_writer]
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(65536):
            target.write(piece)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


def test_a_cut_cable_costs_no_word(local: Place) -> None:
    async def story() -> None:
        async with Cable(local).laid() as cable:
            client = local.client(reconnect=QUICK)
            client.realtime.url = f"{cable.url}?model=scripted"
            await client.update_session(instructions="Be kind.")
            await client.connect()
            answer = answer_of(client)
            await client.send_user_message_content("Say hello.")
            await answer
            back = asyncio.create_task(client.wait_for_next("connection.restored", 20), name="back")
            gone = asyncio.create_task(client.wait_for_next("connection.reconnecting", 20), name="gone")
            await asyncio.sleep(0)
            cable.cut()
            await gone
            await client.append_input_audio(bytes(9_600))
            restored: Restored = await back
            assert (restored.items, restored.lost, restored.sent_audio_ms) == (2, (), 200)
            session = await client.wait_for_session_created(10)
            assert getattr(session, "instructions", "") == "Be kind."
            for item in client.conversation.items:
                known = asyncio.create_task(
                    client.realtime.wait_for_next("server.conversation.item.retrieved", 10), name="known"
                )
                await asyncio.sleep(0)
                await client.realtime.send("conversation.item.retrieve", {"item_id": item.id})
                assert (await known).item.role == item.role
            answer = answer_of(client)
            await client.send_user_message_content("Say hello again.")
            assert (await answer).formatted.transcript
            await client.disconnect()

    asyncio.run(asyncio.wait_for(story(), 50))


def test_a_session_of_three_seconds_is_followed_by_another() -> None:
    async def story(place: Place) -> None:
        problems: list[Any] = []
        async with place.client(reconnect=QUICK) as client:
            client.on("error", problems.append)
            answer = answer_of(client)
            await client.send_user_message_content("Say hello.")
            await answer
            restored: Restored = await client.wait_for_next("connection.restored", 10)
            assert restored.planned
            assert restored.items == 2
            assert problems == []

    with serving("--session-minutes", "0.05", "--drain-seconds", "0") as place:
        told(story(place))
