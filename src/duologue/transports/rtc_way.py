"""Another way to a peer that has fallen silent, without a second offer.

A restart of ICE is a new offer with new credentials, and the Realtime API takes one offer a call. But the credentials of a
call stay good for as long as it lasts: the side that called may check every pair of addresses again, those of networks that
this machine has joined since included, and nominate one that answers (RFC 8445, 8.1.1).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aioice.ice import CandidatePair, get_host_addresses
from aioice.stun import TransactionError

log = logging.getLogger(__name__)

ANSWER_S = 0.8
"""How long a peer may take to answer a check."""
MOST_PAIRS = 32


async def find_way(connection: Any) -> bool:
    """Ask the peer on every pair of addresses of an aioice `Connection`, and go on where it answers first.

    False where it answers nowhere within a second, and on the side that was called, which may not choose. Cancelling it
    leaves everything as it was.
    """
    if not connection.ice_controlling or connection._closing:
        return False
    await _listen_on_new_addresses(connection)
    pairs = [
        connection._find_pair(protocol, remote) or CandidatePair(protocol, remote)
        for protocol in connection._protocols
        for remote in connection._remote_candidates
        if protocol.local_candidate.can_pair_with(remote)
    ]
    checks = [
        asyncio.create_task(_answers(connection, pair, nominate=False), name=f"rtc-check-{number}")
        for number, pair in enumerate(pairs[:MOST_PAIRS])
    ]
    try:
        for answering in asyncio.as_completed(checks):
            pair = await answering
            # Only one is nominated: the peer takes every nomination, and would take the last.
            if pair is not None and await _answers(connection, pair, nominate=True) and not connection._closing:
                if pair is not connection._nominated.get(pair.component):
                    log.info("a call goes on by way of %s", pair.remote_addr)
                connection._nominated[pair.component] = pair
                return True
        return False
    finally:
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)


async def _listen_on_new_addresses(connection: Any) -> None:
    known = {protocol.local_candidate.host for protocol in connection._protocols}
    fresh = [host for host in get_host_addresses(use_ipv4=True, use_ipv6=True) if host not in known]
    if not fresh:
        return
    # The check itself shows the peer what a STUN server would tell, and a relay that was reached once is still there.
    helpers = connection.stun_server, connection.turn_server
    connection.stun_server = connection.turn_server = None
    try:
        await connection.get_component_candidates(1, fresh)
    finally:
        connection.stun_server, connection.turn_server = helpers


async def _answers(connection: Any, pair: Any, *, nominate: bool) -> Any:
    """The pair if the peer answers on it, else None."""
    request = connection.build_request(pair, nominate=nominate)
    key = connection.remote_password.encode()
    try:
        async with asyncio.timeout(ANSWER_S):
            _, address = await pair.protocol.request(request, pair.remote_addr, integrity_key=key)
    except (TimeoutError, TransactionError, OSError):
        return None
    return pair if address == pair.remote_addr else None
