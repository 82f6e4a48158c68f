"""A guarded agent: what it says is checked before it is heard, and what the user says before it is answered."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from duologue.agents import (
    GuardrailSettings,
    RealtimeAgent,
    RealtimeSession,
    SessionSettings,
    input_guardrail,
    output_guardrail,
)


@output_guardrail(policy_hint="Say that you cannot do sums.")
def no_sums(context: Any, agent: RealtimeAgent, text: str) -> bool:
    return "56" in text or "fifty-six" in text


@input_guardrail(policy_hint="Say that passwords are private.")
def no_passwords(context: Any, agent: RealtimeAgent, text: str) -> bool:
    return "password" in text.lower()


agent = RealtimeAgent("Guarded", "Be helpful.", output_guardrails=[no_sums], input_guardrails=[no_passwords])
settings = GuardrailSettings(hold_audio=True, by_sentence=True, max_retries=1, safe_phrase="I cannot help with that.")


async def main(url: str, questions: list[str]) -> None:
    async with RealtimeSession(agent, settings=SessionSettings(url=url, guardrails=settings)) as session:
        stopped: list[str] = []
        session.on("guardrail_tripped", lambda event: stopped.append(event.item_id))
        session.on("guardrail_tripped", lambda event: print(f"-- {event.guardrail} stopped: {event.text!r}"))
        session.on("input_guardrail_tripped", lambda event: print(f"-- {event.guardrail} declines: {event.text!r}"))
        for question in questions:
            print(f"you: {question}")
            await session.send_message(question)
            async for event in session:
                if event.type == "audio_end" and event.item_id not in stopped:
                    break  # only sound that passed is told at all
            print(f"heard: {session.history[-1].text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8000/v1/realtime")
    parser.add_argument("question", nargs="*", default=["say good morning", "what is seven times eight"])
    options = parser.parse_args()
    asyncio.run(main(options.url, options.question))
