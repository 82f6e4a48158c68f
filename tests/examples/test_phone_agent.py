"""A caller behind a fake Twilio has a whole conversation with the app of examples/phone_agent.py and the embedded server."""

from __future__ import annotations

import asyncio
import importlib
import json
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from fake_twilio import FakeTwilio, dialled, hosted
from phone_ear import RATE
from realserver import CLIPS, duologue_serve
from wiretap import Wiretap, tapped

from duologue.audio.g711 import ulaw_decode, ulaw_encode
from duologue.audio.pcm16 import rms
from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav

MS = RATE // 1000
EXAMPLES = Path(__file__).parents[2] / "examples"
WITHIN_MS = 60
PATIENCE_S = 120
PAUSE = b"\xff" * (700 * MS)

Story = Callable[[Wiretap, FakeTwilio], Awaitable[None]]


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with duologue_serve() as address:
        yield address


@pytest.fixture
def phone_agent(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("phone_agent")


def spoken(name: str) -> bytes:
    """A recorded sentence as a telephone carries it."""
    wav = parse_wav((CLIPS / f"{name}.wav").read_bytes())
    return ulaw_encode(resample(wav.mono(), wav.spec.rate_hz, RATE))


def called(story: Story, phone_agent: Any, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Play a story with a call that was greeted; afterwards nobody is left, here or in the server."""

    async def whole() -> None:
        async with asyncio.timeout(PATIENCE_S), tapped(host) as (tap, url):
            monkeypatch.setattr(phone_agent, "URL", url)
            async with hosted(phone_agent.app) as number:
                async with dialled(number, back_ms=40) as twilio:
                    await answered(tap, twilio, 1)
                    await story(tap, twilio)
                await tap.until(lambda: tap.connections == 0)
        assert [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}] == []

    asyncio.run(whole())
    while sessions(host):
        pass


def sessions(host: str) -> int:
    """How many the server holds."""
    with urllib.request.urlopen(f"http://{host}/health") as reply:
        return int(json.load(reply)["sessions"])


async def answered(tap: Wiretap, twilio: FakeTwilio, count: int) -> None:
    """Wait until so many answers are complete, and all that was said has been heard."""

    def over() -> bool:
        done = [event for event in tap.came("response.done") if event["response"]["output"]]
        return len(done) >= count and len(twilio.ear.heard) >= len(tap.sound())

    await twilio.until(over)


def test_a_caller_is_greeted_helped_and_listened_to(
    phone_agent: Any, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(tap: Wiretap, twilio: FakeTwilio) -> None:
        greeting = tap.came("response.output_audio_transcript.done")[0]["transcript"]
        assert greeting.startswith("Good morning")
        assert rms(ulaw_decode(bytes(twilio.ear.heard))) > 0.02, "there is a voice"

        twilio.say(spoken("tell_me_the_time") + PAUSE)
        await answered(tap, twilio, 3)  # the greeting, the call of the tool, and what it told
        (output,) = [e["item"]["output"] for e in tap.went("conversation.item.create") if "output" in e["item"]]
        assert output.startswith("It is ")
        answer = tap.came("response.output_audio_transcript.done")[-1]["transcript"]
        assert output.removeprefix("It is ").rstrip(".") in answer
        assert bytes(twilio.ear.heard) == tap.sound(), "everything, in order, and not more"

        before = len(twilio.ear.heard)
        twilio.say(spoken("count_to_twenty") + PAUSE)
        await twilio.until(lambda: len(twilio.ear.heard) > before + 1_500 * MS)
        twilio.say(spoken("stop") + PAUSE)
        await twilio.until(lambda: bool(twilio.ear.cleared_at))
        heard = len(twilio.ear.heard)
        (cut,) = await tap.until(lambda: tap.went("conversation.item.truncate"))
        counting = tap.sound(cut["item_id"])
        assert bytes(twilio.ear.heard[before:heard]) == counting[: heard - before]
        assert abs(cut["audio_end_ms"] - (heard - before) / MS) <= WITHIN_MS + 2 * twilio.late_ms

        await tap.until(lambda: tap.came("conversation.item.truncated"))
        await tap.send("conversation.item.retrieve", item_id=cut["item_id"])
        (kept,) = await tap.until(lambda: tap.came("conversation.item.retrieved"))
        (part,) = kept["item"]["content"]
        whole = next(
            e["transcript"] for e in tap.came("response.output_audio_transcript.done") if e["item_id"] == cut["item_id"]
        )
        assert whole.startswith(part["transcript"])
        assert len(part["transcript"]) < len(whole)
        # Words are of different length: the text may be off by one of them.
        share = len(part["transcript"]) / len(whole)
        assert abs(share - (heard - before) / len(counting)) < 2 / len(whole.split())

        # Whatever is said from now on is another answer.
        await twilio.until(lambda: len(twilio.ear.heard) >= heard + 300 * MS)
        after = bytes(twilio.ear.heard[heard:])
        last = tap.came("response.output_audio.delta")[-1]["item_id"]
        assert last != cut["item_id"]
        assert after == tap.sound(last)[: len(after)], "nothing of the old answer after the interruption"

    called(story, phone_agent, host, monkeypatch)


def test_a_caller_who_hangs_up_in_mid_speech_leaves_nothing_behind(
    phone_agent: Any, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(tap: Wiretap, twilio: FakeTwilio) -> None:
        before = len(twilio.ear.heard)
        twilio.say(spoken("count_to_twenty") + PAUSE)
        await twilio.until(lambda: len(twilio.ear.heard) > before + 500 * MS)
        assert len(tap.sound()) > len(twilio.ear.heard), "it still speaks"

    called(story, phone_agent, host, monkeypatch)
