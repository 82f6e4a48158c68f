"""A call whose way is cut goes on by another, where there is one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("aiortc")

from lossy import CANDIDATE, LOOPBACK, Hop

from duologue.transports import rtc_peer, rtc_way
from duologue.transports.rtc_peer import Peer
from duologue.transports.rtc_way import find_way

ELSEWHERE = "127.0.0.2"
"""Another address of this machine, which it has not offered."""


@asynccontextmanager
async def two_ways(hop: Hop) -> AsyncIterator[tuple[Peer, Peer]]:
    """A call by way of the hop; its caller knows the other side's own address, too, and likes it less."""
    caller, callee = Peer(loopback=True), Peer(loopback=True)
    try:
        await hop.open()
        answer = await callee.answer(hop.offer(await caller.offer()))
        port = dict(CANDIDATE.findall(answer))[LOOPBACK]
        own = f"a=candidate:2 1 udp 1000 {LOOPBACK} {port} typ host\r\n"
        by_hop = hop.answer(answer)
        line = next(line for line in by_hop.splitlines(keepends=True) if line.startswith("a=candidate"))
        await caller.accept(by_hop.replace(line, line + own))
        async with asyncio.timeout(20):
            await caller.connected()
            await callee.connected()
        yield caller, callee
    finally:
        await caller.close()
        await callee.close()
        hop.close()


async def until_reachable(peer: Peer, reachable: bool) -> None:
    """Looked at with every packet's time, and these are sent in silence, too."""
    async with asyncio.timeout(30):
        while peer.reachable is not reachable:
            assert await peer.port.read(), peer.closed


def test_a_call_whose_way_is_cut_goes_on_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtc_peer, "QUIET_S", 0.5)
    monkeypatch.setattr(rtc_peer, "GRACE_S", 20.0)

    async def story() -> None:
        hop = Hop()
        async with two_ways(hop) as (caller, callee):
            await callee.send(b'{"n":0}')
            assert await anext(caller.__aiter__()) == '{"n":0}'
            carried = hop.carried
            assert carried > 0
            hop.silent = True
            await until_reachable(caller, False)
            await until_reachable(caller, True)
            for number, (near, far) in enumerate(((caller, callee), (callee, caller))):
                await near.send(b'{"n":%d}' % number)
                async with asyncio.timeout(20):
                    assert await anext(far.__aiter__()) == f'{{"n":{number}}}'
            assert callee.closed is None

    asyncio.run(story())


def test_new_addresses_of_this_machine_are_tried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has all of 127.0.0.0/8")
    monkeypatch.setattr(rtc_way, "get_host_addresses", lambda use_ipv4, use_ipv6: [ELSEWHERE])

    async def story() -> None:
        hop = Hop()
        async with two_ways(hop) as (caller, callee):
            hop.silent = True
            assert not await find_way(callee._ice), "the side that was called does not choose"
            assert await find_way(caller._ice)
            assert ELSEWHERE in {protocol.local_candidate.host for protocol in caller._ice._protocols}
            await caller.send(b"{}")
            async with asyncio.timeout(20):
                assert await anext(callee.__aiter__()) == "{}"

    asyncio.run(story())


def test_where_nobody_answers_there_is_no_way() -> None:
    async def story() -> None:
        caller, callee = Peer(loopback=True), Peer(loopback=True)
        await caller.accept(await callee.answer(await caller.offer()))
        await caller.connected()
        ice = caller._ice
        await callee.close()
        assert not await find_way(ice)
        await caller.close()
        assert not await find_way(ice)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())
