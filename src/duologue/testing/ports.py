"""What every MediaPort must keep, as checks that you can run on one of your own.

A check gets a function that opens a port whose time passes by itself: where a port of yours lives by its reads, read it.

    @asynccontextmanager
    async def opened():
        port = await MyPort.open()
        yield port
        await port.close()

    @pytest.mark.parametrize("check", ports.CHECKS, ids=conformance.name_of)
    def test_my_port(check):
        asyncio.run(check(opened))

Every check raises AssertionError with what was broken, and lets exceptions of the port through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from duologue.audio.port import MediaPort
from duologue.testing.conformance import patience

Opened = Callable[[], AbstractAsyncContextManager[MediaPort]]
PortCheck = Callable[[Opened], Awaitable[None]]
PATIENCE_S = 20.0
_MOMENT_S = 0.005


async def what_was_written_is_played(opened: Opened) -> None:
    """Two tracks after one another, to the millisecond; then nothing is left to clear."""
    async with opened() as port, patience(PATIENCE_S):
        assert port.played_ms("unheard of") == 0, "a track that nobody wrote to was played"
        assert port.write(_sound(port, 130), "a"), "sound was refused by a port that had none"
        assert port.write(memoryview(_sound(port, 70)), "b"), "a second track was refused"
        await port.drained()
        played = port.played_ms("a"), port.played_ms("b")
        assert played == (130, 70), f"130 and 70 ms were written and drained, and {played} is said to be played"
        assert port.clear() == [], "clear() names tracks that were heard whole"


async def clearing_tells_what_was_heard(opened: Opened) -> None:
    """An interruption: silence at once, the truth about each track, nothing late, and room for what comes next."""
    async with opened() as port, patience(PATIENCE_S):
        for track, duration_ms in (("first", 100), ("second", 60_000), ("third", 1_000)):
            assert port.write(_sound(port, duration_ms), track), f"a minute of speech is not taken: {track}"
        while port.played_ms("second") <= 50:  # noqa: ASYNC110 - a port tells nobody how far it is
            await asyncio.sleep(_MOMENT_S)
        heard = port.clear()
        assert [each.track_id for each in heard] == ["second", "third"], f"cut were the second and third, told: {heard}"
        second, third = heard
        assert 50 < second.played_ms < second.received_ms == 60_000, f"the second is told as {second}"
        assert (third.played_ms, third.received_ms) == (0, 1_000), f"the third was never played, and is told as {third}"
        assert port.played_ms("first") == 100, "the first had been heard to its end"
        assert port.played_ms("second") == second.played_ms, "played_ms() and clear() disagree"
        assert not port.write(_sound(port, 20), "second"), "late sound of a track that was cut is taken"
        assert port.clear() == [], "a second clear() tells of something"
        await port.drained()
        assert port.write(_sound(port, 40), "fourth"), "after clear() nothing new is taken"
        await port.drained()
        assert port.played_ms("fourth") == 40, "what came after clear() was not played whole"


async def part_of_a_sample_is_refused(opened: Opened) -> None:
    """ValueError, where a sample has more than one byte; and the port lives on."""
    async with opened() as port:
        if port.spec.frame_bytes == 1:
            return
        try:
            port.write(b"\0", "odd")
        except ValueError:
            pass
        else:
            raise AssertionError("half a sample was taken")
        assert port.write(_sound(port, 20), "even"), "after half a sample nothing is taken"


async def closing_is_final(opened: Opened) -> None:
    """Twice is once. Reading ends, after what was heard before; nothing more is taken; nobody waits for the rest."""
    async with opened() as port, patience(PATIENCE_S):
        port.write(_sound(port, 60_000), "long")
        await port.close()
        await port.close()
        while sound := await port.read():
            assert len(sound) % port.spec.frame_bytes == 0, "read() gave part of a sample"
        assert not port.write(_sound(port, 20), "late"), "a closed port takes sound"
        await port.drained()


CHECKS: tuple[PortCheck, ...] = (
    what_was_written_is_played,
    clearing_tells_what_was_heard,
    part_of_a_sample_is_refused,
    closing_is_final,
)
"""All checks, each independent of the others."""


def _sound(port: MediaPort, duration_ms: int) -> bytes:
    """That much of something, coded as the port wants it."""
    return b"\x11" * port.spec.bytes_in(duration_ms)
