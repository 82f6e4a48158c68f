"""Puts the packets of one RTP stream in order. Pure.

A packet in its place passes at once: nothing is held back for a loudspeaker's sake, because whoever plays the sound has
a buffer of its own. Only a gap is waited for, and only for as long as a few later packets take.
"""

from __future__ import annotations

from msgspec import Struct

PATIENCE_PACKETS = 6
"""So many packets behind a gap say that it will not fill: 120 ms at 20 ms each."""
FARTHEST_PACKETS = 200
"""A step further than this is a stream begun anew, not a gap."""


class Packet(Struct, frozen=True, kw_only=True):
    """One packet's payload and its RTP timestamp."""

    timestamp: int
    payload: bytes


class Sequence:
    """One stream: packets in as they come, packets out in order, None for each that is given up."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._held: dict[int, Packet] = {}
        self.lost = 0
        """Packets that never came, or came too late."""

    def add(self, number: int, packet: Packet) -> list[Packet | None]:
        """What packet `number` (16 bits) lets through; nothing where it waits, comes twice or comes too late."""
        if self._next is None:
            self._next = number
        ahead = (number - self._next + 0x8000 & 0xFFFF) - 0x8000
        if abs(ahead) > FARTHEST_PACKETS:
            self._held.clear()
            self._next, ahead = number, 0
        if ahead < 0:
            return []
        self._held[number] = packet
        passed: list[Packet | None] = self._run()
        while len(self._held) >= PATIENCE_PACKETS:
            passed.append(None)
            self.lost += 1
            self._next = self._next + 1 & 0xFFFF
            passed += self._run()
        return passed

    def _run(self) -> list[Packet | None]:
        """The packets that follow each other from here."""
        passed: list[Packet | None] = []
        assert self._next is not None
        while (packet := self._held.pop(self._next, None)) is not None:
            passed.append(packet)
            self._next = self._next + 1 & 0xFFFF
        return passed
