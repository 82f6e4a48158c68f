"""Ways to the server: keys in headers of one's own, as Azure and as browsers send them, and through a proxy."""

from __future__ import annotations

import asyncio

import pytest
from scenery import KEY, Place, answer_of, told

from duologue.client.client import RealtimeClient
from duologue.client.endpoint import ConnectionOptions


@pytest.mark.parametrize(
    "options",
    [
        ConnectionOptions(headers={"Authorization": "Bearer {api_key}"}),
        ConnectionOptions(headers={"api-key": "{api_key}"}),
        ConnectionOptions(subprotocols=("realtime", "openai-insecure-api-key.{api_key}")),
    ],
    ids=["header", "azure", "subprotocol"],
)
def test_the_key_finds_its_place(local: Place, options: ConnectionOptions) -> None:
    async def story() -> None:
        async with local.client(connection=options) as client:
            assert (await client.wait_for_session_created(10)).id

    told(story())


def test_a_base_address_is_enough(local: Place) -> None:
    async def story() -> None:
        base = local.url.replace("ws://", "http://").removesuffix("/realtime")
        async with RealtimeClient(base, api_key=KEY, model="scripted") as client:
            assert (await client.wait_for_session_created(10)).id

    told(story())


def test_a_proxy_is_gone_through(local: Place) -> None:
    async def story() -> None:
        asked: list[bytes] = []

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.readuntil(b"\r\n\r\n")
            asked.append(request.split(b"\r\n")[0])
            host, port = request.split()[1].decode().split(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with local.client(connection=ConnectionOptions(proxy=address)) as client:
            answer = answer_of(client)
            await client.send_user_message_content("Say hello.")
            assert (await answer).formatted.transcript
        server.close()
        await server.wait_closed()
        assert asked[0].startswith(b"CONNECT 127.0.0.1:")

    asyncio.run(asyncio.wait_for(story(), 50))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(65536):
            target.write(piece)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()
