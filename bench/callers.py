"""The callers' process (`python -m bench.callers`), so that they can have their own core: a plan as JSON on stdin.

On stdout the line `begin` when all are connected, `end` when the time is up, and a line of JSON with the result.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import msgspec
import websockets

from bench.caller import CLIPS, Caller, Clip, Marathon, Plan, Result
from bench.interrupter import Interrupter


async def _ping(url: str, times_ms: list[float]) -> None:
    """Round trips of the smallest frame there is: how long the server's loop lets others wait."""
    async with websockets.connect(url, compression=None, ping_interval=None) as socket:
        while True:
            begin = time.monotonic()
            await (await socket.ping())
            times_ms.append(1000 * (time.monotonic() - begin))
            await asyncio.sleep(0.05)


async def measure(plan: Plan) -> Result:
    """Run the plan."""
    clips = [Clip(name, words) for name, words in CLIPS.items()]
    kind = Marathon if plan.doing == "hour" else Caller
    callers = [kind(plan, number, clips) for number in range(plan.callers)]
    interrupters = [Interrupter(plan, 1000 + number) for number in range(plan.interrupters)]
    everybody = [*callers, *interrupters]
    go, stop, ping_ms = asyncio.Event(), asyncio.Event(), list[float]()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number, caller in enumerate(everybody):
            ready = asyncio.Event()
            tasks.append(group.create_task(caller.run(ready, go, stop), name=f"caller-{number}"))
            await ready.wait()
        pings = group.create_task(_ping(plan.url, ping_ms), name="ping")
        go.set()
        print("begin", flush=True)
        if plan.doing == "hour":
            stop.set()
            await asyncio.wait(tasks)
        else:
            await asyncio.sleep(plan.seconds)
        print("end", flush=True)
        stop.set()
        pings.cancel()
    return Result(
        turns=[turn for caller in callers for turn in caller.turns],
        late_ms=[late for caller in everybody for late in caller.late_ms],
        ping_ms=ping_ms,
        errors=[error for caller in everybody for error in caller.errors],
        unasked=sum(caller.unasked for caller in callers),
        interruptions=[cut for caller in interrupters for cut in caller.interruptions()],
        missed=sum(caller.missed for caller in interrupters),
    )


def main() -> None:
    import uvloop  # not on every system, and neither is this measurement

    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    result = uvloop.run(measure(plan))
    print(msgspec.json.encode(result).decode(), flush=True)


if __name__ == "__main__":
    main()
