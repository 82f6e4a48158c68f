"""An agent that answers a telephone number: let Twilio connect its media stream to this app.

uvicorn --app-dir examples phone_agent:app --port 8080
"""

from __future__ import annotations

import os
from datetime import datetime

from duologue.agents import RealtimeAgent, RealtimeSession, SessionSettings
from duologue.transports.carriers.twilio import Twilio
from duologue.transports.phone import PhonePort, phone_app

URL = os.environ.get("DUOLOGUE_URL", "ws://127.0.0.1:8000/v1/realtime")


def get_time() -> str:
    """Tells the time."""
    return f"It is {datetime.now():%H:%M}."


agent = RealtimeAgent("Operator", "You are on the telephone. Be brief.", tools=[get_time], greeting="Good morning!")


async def answer(call: PhonePort) -> None:
    settings = SessionSettings(url=URL)
    async with RealtimeSession(agent, settings=settings, input_port=call, output_port=call) as session:
        await session.finished()


app = phone_app(Twilio(), answer)
