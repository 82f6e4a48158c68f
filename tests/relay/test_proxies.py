"""The recipes of docs/relay.md run: calls through nginx and through Caddy, to two processes of the relay."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from string import ascii_letters
from typing import Any

import httpx
import pytest
from command import Command, commanded
from msgspec import Struct
from proxies import NAME, Proxy, caddy, nginx
from running import CREATED
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus

TOKEN = "a-token-for-the-shop"
ENV = {"RELAY_SHOP_TOKEN": TOKEN, "RELAY_SIGNING_KEY": "s" * 40}
SETTINGS = """
[upstream]
url = "ws://127.0.0.1:{port}/v1/realtime"
[callers]
loopback_open = true
hosts = ["talk.example", "localhost"]
origins = ["https://shop.example"]
secret_env = "RELAY_SIGNING_KEY"
[[callers.tokens]]
user = "shop"
env = "RELAY_SHOP_TOKEN"
[limits]
sessions_per_user = 100
"""
APPEND = '{"type":"input_audio_buffer.append","audio":"%s"}' % ("AAAA" * 2500)
DELTA = (
    '{"type":"response.output_audio.delta","event_id":"event_2","response_id":"resp_1","item_id":"item_1",'
    '"output_index":0,"content_index":0,"delta":"%s"}' % ("AAAA" * 2500)
)
KEY = {"Authorization": f"Bearer {TOKEN}"}
FRONTS = {"nginx": nginx, "caddy": caddy}
Served = Callable[[Callable[["Site"], Coroutine[Any, Any, None]]], None]
Front = Callable[[Path, list[int]], AbstractAsyncContextManager[Proxy]]


class Site(Struct, frozen=True):
    """Two relays behind a proxy."""

    proxy: Proxy
    relays: list[Command]

    def call(self, path: str = "/v1/realtime", name: str = NAME, **options: Any) -> connect:
        """A WebSocket through the proxy, as a caller opens it that was given the site's name."""
        options = {"ssl": self.proxy.trust, "server_hostname": NAME, "compression": None, **options}
        return connect(f"wss://{name}{path}", host="127.0.0.1", port=self.proxy.port, **options)

    async def post(self, path: str, headers: dict[str, str], **options: Any) -> httpx.Response:
        """A request through the proxy."""
        async with httpx.AsyncClient(verify=self.proxy.trust) as http:
            url = f"https://127.0.0.1:{self.proxy.port}{path}"
            return await http.post(url, headers={"Host": NAME, **headers}, extensions={"sni_hostname": NAME}, **options)

    async def spread(self) -> list[int]:
        """How many calls each relay has."""
        async with httpx.AsyncClient() as http:
            answers = [await http.get(f"http://127.0.0.1:{relay.port}/health") for relay in self.relays]
        return [answer.json()["calls"] for answer in answers]


async def talkative(ws: ServerConnection) -> None:
    """An upstream that answers each event with sound."""
    await ws.send(CREATED)
    async for _ in ws:
        await ws.send(DELTA)


@asynccontextmanager
async def site(folder: Path, front: Front) -> AsyncIterator[Site]:
    async with AsyncExitStack() as ends:
        upstream = await ends.enter_async_context(serve(talkative, "127.0.0.1", 0, compression=None, max_size=None))
        config = folder / "relay.toml"
        config.write_text(SETTINGS.format(port=upstream.sockets[0].getsockname()[1]))
        both = (ends.enter_async_context(commanded(config, ENV, "--drain-seconds", "60")) for _ in range(2))
        relays = list(await asyncio.gather(*both))
        yield Site(await ends.enter_async_context(front(folder, [relay.port for relay in relays])), relays)


async def opened(ws: ClientConnection) -> dict[str, Any]:
    """The first event of a call."""
    event: dict[str, Any] = json.loads(await ws.recv())
    return event


async def talks(ws: ClientConnection) -> None:
    await ws.send(APPEND)
    assert await ws.recv() == DELTA


@pytest.fixture(scope="module", params=FRONTS.values(), ids=FRONTS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A site that several stories are told about; each has to leave no call behind."""
    with asyncio.Runner() as runner:
        ends = AsyncExitStack()
        here = runner.run(ends.enter_async_context(site(tmp_path_factory.mktemp("site"), request.param)))
        yield lambda story: runner.run(story(here))
        runner.run(ends.aclose())


def test_calls_pass_and_are_spread(served: Served) -> None:
    async def story(here: Site) -> None:
        async with AsyncExitStack() as ends:
            for _ in range(6):
                ws = await ends.enter_async_context(here.call(additional_headers=KEY))
                assert (await opened(ws))["type"] == "session.created"
                await talks(ws)
            assert await here.spread() == [3, 3]

    served(story)


def test_both_dialects_and_all_ways_to_show_a_credential(served: Served) -> None:
    async def story(here: Site) -> None:
        beta = {**KEY, "OpenAI-Beta": "realtime=v1"}
        async with here.call("/?model=gpt-4o-realtime-preview-2024-10-01", additional_headers=beta) as ws:
            assert "temperature" in (await opened(ws))["session"]
        key = f"openai-insecure-api-key.{TOKEN}"
        for offered in (["realtime", key], ["realtime", key, "openai-beta.realtime-v1"]):
            async with here.call(subprotocols=offered) as ws:
                assert ws.subprotocol == "realtime"
                session = (await opened(ws))["session"]
                assert ("temperature" in session) == (len(offered) == 3)
        made = await here.post("/v1/realtime/client_secrets", KEY)
        assert made.status_code == 200
        async with here.call(additional_headers={"Authorization": f"Bearer {made.json()['value']}"}) as ws:
            assert (await opened(ws))["type"] == "session.created"

    served(story)


def test_a_client_secret_with_a_long_session_fits(served: Served) -> None:
    async def story(here: Site) -> None:
        noise = "".join(random.Random(1).choices(ascii_letters, k=10_000))  # a session is packed
        session = {"type": "realtime", "instructions": noise}
        made = await here.post("/v1/realtime/client_secrets", KEY, json={"session": session})
        secret = made.json()["value"]
        assert len(secret) > 8192
        for options in (
            {"additional_headers": {"Authorization": f"Bearer {secret}"}},
            {"subprotocols": ["realtime", f"openai-insecure-api-key.{secret}"]},
        ):
            async with here.call(**options) as ws:
                assert (await opened(ws))["type"] == "session.created"

    served(story)


def test_the_relay_sees_the_real_name_and_page(served: Served) -> None:
    async def story(here: Site) -> None:
        async with here.call(origin="https://shop.example", additional_headers=KEY) as ws:
            assert (await opened(ws))["type"] == "session.created"
        with pytest.raises(InvalidStatus) as refused:
            await here.call(origin="https://evil.example", additional_headers=KEY)
        assert refused.value.response.status_code == 403
        foreign = await here.post("/v1/realtime/client_secrets", {**KEY, "Origin": "https://evil.example"})
        assert foreign.json()["error"]["code"] == "origin_not_allowed"
        with pytest.raises(InvalidStatus):  # by the relay behind nginx, by Caddy itself
            await here.call(name="evil.example", additional_headers=KEY)

    served(story)


def test_nobody_passes_for_loopback(served: Served) -> None:
    """Directly, callers of this machine need no credential here; through the proxy, which runs on it too, they do."""

    async def story(here: Site) -> None:
        async with connect("ws://localhost/", host="127.0.0.1", port=here.relays[0].port) as ws:
            assert (await opened(ws))["type"] == "session.created"
        for forged in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"Connection": "X-Forwarded-For"}):
            async with here.call(additional_headers=forged) as ws:
                assert (await opened(ws))["error"]["message"].startswith("Missing bearer")
        told = await asked_under_a_loopback_name(here.proxy)
        assert b"session.created" not in told

    served(story)


async def asked_under_a_loopback_name(proxy: Proxy) -> bytes:
    """What a call of `localhost` gets that tells the proxy to take the forwarding header off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=proxy.trust, server_hostname=NAME)
    writer.write(
        b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Connection: Upgrade, X-Forwarded-For, Forwarded, Via\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 101"):  # what is wrong with a caller is told in an event
        head += await reader.read(4096)
    writer.close()
    return head


@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
def test_a_process_that_drains_takes_nothing_from_the_service(tmp_path: Path, front: Front) -> None:
    async def story() -> None:
        async with AsyncExitStack() as ends:
            here = await ends.enter_async_context(site(tmp_path, front))
            ws = await ends.enter_async_context(here.call(additional_headers=KEY))
            await opened(ws)
            going = here.relays[(await here.spread()).index(1)]
            going.process.send_signal(signal.SIGTERM)
            await going.told("1 calls have 60 s to end")
            refusals = [await one_more(here, ends) for _ in range(10)]
            if front is nginx:  # Caddy learns within a second that the one with the fewest calls takes none
                assert sum(refusals) == 0
            assert [await one_more(here, ends) for _ in range(5)] == [0] * 5
            assert (await here.post("/v1/realtime/client_secrets", KEY)).status_code == 200
            await talks(ws)
            await ws.close()
            assert await going.stopped() == 0
            assert [await one_more(here, ends) for _ in range(5)] == [0] * 5

    async def one_more(here: Site, ends: AsyncExitStack) -> int:
        """Open a call that stays, and see that it works; how often that was refused before."""
        refusals = 0
        async with asyncio.timeout(10):
            while True:
                try:
                    ws = await ends.enter_async_context(here.call(additional_headers=KEY))
                except InvalidStatus as refused:
                    if refused.response.status_code != 503:
                        raise
                    refusals += 1
                    continue
                await opened(ws)
                await talks(ws)
                return refusals

    asyncio.run(story())
