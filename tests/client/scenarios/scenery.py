"""What the scenarios share: a server in a process of its own, clips, and the frame of a story."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from duologue.audio.resample import resample
from duologue.audio.wav import parse_wav
from duologue.client.client import RealtimeClient

CLIPS = Path(__file__).parent.parent.parent / "clips"
KEY = "sk-of-the-scenarios"


class Place(Struct, frozen=True, kw_only=True):
    """A server, and what talking to it takes."""

    url: str
    api_key: str
    model: str
    ears: str
    live: bool = False

    def client(self, **options: Any) -> RealtimeClient:
        """A client for it."""
        return RealtimeClient(self.url, **{"api_key": self.api_key, "model": self.model, **options})


@contextmanager
def serving(*options: str) -> Iterator[Place]:
    """`duologue serve` while the block lasts."""
    command = [sys.executable, "-m", "duologue.cli.main", "serve", "--port", "0", "--api-key", KEY, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            yield Place(url=url, api_key=KEY, model="scripted", ears="pocketsphinx")
        finally:
            process.terminate()
            process.wait(20)


def told(story: Coroutine[Any, Any, None]) -> None:
    """Run a scenario; nothing of the client may be left after it."""

    async def run() -> None:
        before = asyncio.all_tasks()
        await story
        assert asyncio.all_tasks() == before

    asyncio.run(asyncio.wait_for(run(), 50))


def clip(name: str) -> bytes:
    """A recorded sentence: PCM16, 24 kHz, mono."""
    wav = parse_wav((CLIPS / f"{name}.wav").read_bytes())
    return resample(wav.mono(), wav.spec.rate_hz, 24_000)


def answer_of(client: RealtimeClient) -> asyncio.Future[Any]:
    """The next whole item of the assistant, to be awaited."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def completed(update: Any) -> None:
        if update.item.role == "assistant" and not future.done():
            future.set_result(update.item)

    client.on("conversation.item.completed", completed)
    return future
