"""A supervisor joins a call beside its caller: reads along, whispers to the model, and is told when the call is over."""

from __future__ import annotations

import argparse
import asyncio

from duologue.agents import RealtimeAgent, RealtimeSession, SessionSettings


def opening_hours() -> str:
    """Tells when the shop is open."""
    return "from nine to five"


agent = RealtimeAgent("Supervised", "Be brief and kind.", tools=[opening_hours])


async def main(url: str, call_id: str) -> None:
    session = RealtimeSession(agent, settings=SessionSettings(url=url))
    await session.connect(call_id=call_id)
    print("joined", flush=True)
    await session.send_message("The caller is a good customer.", role="system", respond=False)
    async for event in session:
        if event.type == "transcript_done":
            print(f"{event.role}: {event.text}", flush=True)
        elif event.type == "session_ended":
            print(f"over: {event.reason}", flush=True)
    await session.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("call_id", help="the id of the call, as its Location header says: rtc_…")
    parser.add_argument("--url", default="ws://127.0.0.1:8000/v1/realtime")
    options = parser.parse_args()
    asyncio.run(main(options.url, options.call_id))
