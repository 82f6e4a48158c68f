"""Two agents: the one at the front desk hands over to the one who knows about bills."""

from __future__ import annotations

import argparse
import asyncio

from duologue.agents import RealtimeAgent, RealtimeSession, SessionSettings


def last_invoice(customer: str) -> str:
    """Tells the last invoice of a customer.

    Args:
        customer: The customer's name.
    """
    return f"{customer} owes 12 euros."


billing = RealtimeAgent(
    "Billing",
    "You answer questions about invoices. Be brief.",
    tools=[last_invoice],
    handoff_description="Answers billing questions.",
)
front = RealtimeAgent("Front", "You are the front desk. Hand billing questions over.", handoffs=[billing])


async def main(url: str, questions: list[str]) -> None:
    async with RealtimeSession(front, settings=SessionSettings(url=url)) as session:
        session.on("handoff", lambda event: print(f"-- {event.from_agent.name} hands over to {event.to_agent.name}"))
        for question in questions:
            print(f"you: {question}")
            await session.send_message(question)
            async for event in session:
                if event.type == "agent_end" and event.text:
                    print(f"{event.agent.name}: {event.text}")
                    break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8000/v1/realtime")
    parser.add_argument("question", nargs="*", default=["transfer me to billing", "say good morning"])
    options = parser.parse_args()
    asyncio.run(main(options.url, options.question))
